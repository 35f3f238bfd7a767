//! Replicas that live on the archive: what ails one. Asks no archive itself.

use haa_core::observe::Server;
use haa_core::routes::Status;
use haa_core::units::{MemberName, Millis};

use super::{lately, silent};

/// One is well while the archive has what comes next; the primary may have thrown it away by then.
pub(super) fn ail(status: &Status, now: Millis, name: &MemberName) -> Option<String> {
    let end = match *name == status.me {
        true => status.own_standby().map(|standby| standby.position),
        false => match lately(status, now, name) {
            Some(beat) => beat.position,
            None => return Some(silent(name)),
        },
    };
    let Some(end) = end else { return Some(format!("the Postgres of {name} does not answer yet")) };
    let (leader, _) = status.leader.as_ref()?;
    let oldest = match (*leader == status.me, status.postgres.as_ref().map(|facts| &facts.server)) {
        (true, Some(Server::Primary(primary))) => primary.oldest,
        (true, _) => None,
        (false, _) => lately(status, now, leader).and_then(|beat| beat.oldest),
    };
    (end.lsn < oldest?).then(|| {
        format!(
            "the archive has not brought {name} what {leader} has thrown away; its log says why"
        )
    })
}
