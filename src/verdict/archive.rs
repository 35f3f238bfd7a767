//! Replicas that live on the archive: what ails one. Asks no archive itself.

use haa_core::observe::Server;
use haa_core::routes::Status;
use haa_core::units::{MemberName, Millis, Position};

use super::lately;

/// One whose WAL ends there is well while the primary still has what comes next: then the archive will, too.
pub(super) fn ail(
    status: &Status,
    now: Millis,
    name: &MemberName,
    end: Option<Position>,
) -> Option<String> {
    let Some(end) = end else { return Some(format!("the Postgres of {name} does not run")) };
    let (leader, _) = status.leader.as_ref()?;
    let oldest = match (*leader == status.me, status.postgres.as_ref().map(|facts| &facts.server)) {
        (true, Some(Server::Primary(primary))) => primary.oldest,
        (true, _) => None,
        (false, _) => lately(status, now, leader).and_then(|beat| beat.oldest),
    };
    (end.lsn < oldest?).then(|| {
        format!(
            "{name} lacks WAL that {leader} has thrown away: the archive has it, and it catches up, or its log says \
             what the archive lacks"
        )
    })
}
