//! Changing whom commits wait for, and seeing that the change is effective: in the postmaster, in every walsender
//! and, where commits begin to wait, in the checkpointer. Never decides on the list.

use std::io;
use std::time::Duration;

use haa_core::lease::Leadership;
use haa_core::list::List;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::error::JobError;
use super::jobs::{in_time, running};
use super::process::{self, Process};
use super::site::Site;
use super::sql::{Row, Session};
use super::{conninfo, list, reload};

const PAUSE: Duration = Duration::from_millis(2);

/// A walsender takes a reload when it next wakes, which a signal makes it do.
const PATIENCE: Duration = Duration::from_secs(5);

/// Settings that a new session must show.
pub(super) const SETTING: &str = "synchronous_standby_names";

/// What is known of the list of the Postgres that runs.
pub(super) struct Known(watch::Sender<Standing>);

#[derive(Clone, Default)]
struct Standing {
    /// Effective everywhere.
    proven: Option<List>,
    /// Commits do wait: the checkpointer has seen a list that is not empty, and none that is since.
    enforced: bool,
}

impl Known {
    pub(super) fn nothing() -> Self {
        Self(watch::Sender::new(Standing::default()))
    }

    /// Postgres is gone, or is about to be told otherwise.
    pub(super) fn forget(&self) {
        self.0.send_replace(Standing::default());
    }

    /// Postgres was started with this list: all its processes began with it.
    pub(super) fn started(&self, list: &List) {
        let enforced = *list != List::Nothing;
        self.0.send_replace(Standing { proven: Some(list.clone()), enforced });
    }

    /// The list that is effective everywhere.
    pub(super) fn proven(&self) -> Option<List> {
        let standing = self.0.borrow();
        let proven = standing.proven.as_ref();
        proven.filter(|list| standing.enforced || **list == List::Nothing).cloned()
    }

    fn is_enforced(&self) -> bool {
        self.0.borrow().enforced
    }

    fn enforced(&self) {
        self.0.send_modify(|standing| standing.enforced = true);
    }

    fn prove(&self, list: &List) {
        self.0.send_modify(|standing| standing.proven = Some(list.clone()));
    }

    /// From the write on, until the new one is proven.
    pub(super) fn doubt(&self, next: &List) {
        self.0.send_modify(|standing| {
            standing.proven = None;
            standing.enforced &= *next != List::Nothing;
        });
    }
}

/// Makes `list` the one that commits of this primary wait for. Done when it is effective; done again, it changes
/// nothing.
///
/// On the way to it, two other lists may be effective for a few milliseconds, both stricter: `Nobody` when commits
/// did not wait before, for one must be seen waiting; and `FirstPadded` when `k` grows, which `Any` does not show.
pub(super) async fn apply(site: &Site, proof: Leadership, list: &List) -> Result<(), JobError> {
    if !list.is_sound() {
        return Err(JobError::Refused(format!("no commit can wait for {}", list::text(list))));
    }
    in_time(proof)?;
    let postmaster = running(site)?;
    let session = Session::open(site).await?;
    if session.value("SELECT pg_is_in_recovery()").await?.as_deref() != Some("f") {
        return Err(JobError::Refused("a standby's list is not a leader's to change".to_owned()));
    }
    let shown = session.value("SELECT current_setting('synchronous_standby_names')").await?;
    let before = list::parse(&shown.unwrap_or_default());
    drop(session);
    for step in steps(before.as_ref(), site.sync.is_enforced(), list) {
        match step {
            Step::See(before) => seen(site, &Session::open(site).await?, &before).await?,
            Step::Set(next) => {
                in_time(proof)?;
                set(site, &postmaster, &next).await?;
            }
            Step::Wait => waiting(site).await?,
        }
    }
    Ok(())
}

#[derive(Debug, PartialEq)]
enum Step {
    /// It was written before, perhaps by an agent that ended there and then.
    See(List),
    /// Write it, and see it.
    Set(List),
    /// See a commit wait.
    Wait,
}

/// From what is shown to what is wanted, so that each list can be told from the one before it.
fn steps(before: Option<&List>, enforced: bool, wanted: &List) -> Vec<Step> {
    if matches!(wanted, List::Nothing) {
        return vec![Step::Set(List::Nothing)];
    }
    let set = || Step::Set(wanted.clone());
    let (Some(before), true) = (before, enforced) else {
        let mut steps = vec![Step::Set(List::Nobody), Step::Wait];
        if *wanted != List::Nobody {
            steps.push(set());
        }
        return steps;
    };
    let mut steps = match wanted {
        List::Nobody | List::Nothing => vec![],
        List::Any { .. } | List::FirstPadded { .. } if before == wanted => vec![],
        List::Any { .. } | List::FirstPadded { .. } => vec![Step::See(before.clone())],
    };
    match (before, wanted) {
        (List::Any { k: fewer, .. }, List::Any { k, names }) if fewer < k => {
            steps.push(Step::Set(List::FirstPadded { k: *k, names: names.clone() }));
        }
        (List::FirstPadded { k: fewer, .. }, List::FirstPadded { k, names }) if fewer < k => {
            steps.push(Step::Set(List::Any { k: *fewer, names: names.clone() }));
        }
        _ => {}
    }
    steps.push(set());
    steps
}

async fn set(site: &Site, postmaster: &Process, next: &List) -> Result<(), JobError> {
    let session = put(site, postmaster, next).await?;
    seen(site, &session, next).await
}

/// The postmaster has it: new sessions, and walsenders that begin, go by it.
async fn put(site: &Site, postmaster: &Process, next: &List) -> Result<Session, JobError> {
    let text = write(site, next)?;
    reload::until_shown(site, postmaster, &[(SETTING, text)]).await
}

/// Writes `list`; returns what [`SETTING`] will be.
pub(super) fn write(site: &Site, list: &List) -> Result<String, JobError> {
    write_by(list::write, site, list)
}

/// The same for a standby that is about to be promoted: seeing it in a new session is enough, because all walsenders of
/// its leadership begin with it. A standby's own, of followers that came early, show no place on it whatever they took,
/// and look again when the new timeline begins. Whether commits wait for it is known from the start on, or proven
/// afterwards by [`apply`]. Not synced, for clients wait: a standby's list was the one at rest.
pub(super) fn write_ahead(site: &Site, list: &List) -> Result<String, JobError> {
    write_by(list::write_unsynced, site, list)
}

fn write_by(
    write: fn(&Site, &List) -> io::Result<()>,
    site: &Site,
    list: &List,
) -> Result<String, JobError> {
    if !list.is_sound() {
        return Err(JobError::Refused(format!("no commit can wait for {}", list::text(list))));
    }
    if site.sync.proven().as_ref() != Some(list) {
        site.sync.doubt(list);
    }
    write(site, list).map_err(JobError::file("write", &list::file(site)))?;
    Ok(list::text(list))
}

const WALSENDERS: &str = "SELECT application_name, sync_priority, flush_lsn IS NULL, \
       backend_start > pg_conf_load_time() \
     FROM pg_stat_get_wal_senders() JOIN pg_stat_get_activity(NULL) USING (pid)";

/// Lets a standby that runs have what it would start with; a primary's list is its leader's.
pub(super) async fn rest(site: &Site) -> Result<(), JobError> {
    let Some(postmaster) = process::postmaster(site.data()).map_err(JobError::Signal)? else {
        return Ok(());
    };
    let session = Session::open(site).await?;
    if session.value("SELECT pg_is_in_recovery()").await?.as_deref() != Some("t") {
        return Ok(());
    }
    drop(put(site, &postmaster, &list::at_rest(site)).await?);
    Ok(())
}

/// Waits until every walsender has taken `list`, which the postmaster has. `session` was opened after that.
async fn seen(site: &Site, session: &Session, list: &List) -> Result<(), JobError> {
    let mut late = String::new();
    let all = async {
        loop {
            let rows = session.rows(WALSENDERS).await?;
            match rows.iter().find(|row| !has_taken(row, list)) {
                Some(row) => row.text(0).unwrap_or_default().clone_into(&mut late),
                None => return Ok::<(), JobError>(()),
            }
            sleep(PAUSE).await;
        }
    };
    let all = timeout(PATIENCE, all).await;
    all.map_err(|_| {
        JobError::Refused(format!("the walsender of {late} does not take {}", list::text(list)))
    })??;
    site.sync.prove(list);
    Ok(())
}

/// One that has no flush position yet shows priority 0 whatever it has taken: only if it is younger than the reload
/// did it certainly begin with this list. Who does not bear a name of ours was never on any.
fn has_taken(row: &Row, list: &List) -> bool {
    let Some((member, incarnation)) = row.text(0).and_then(conninfo::parse_application_name) else {
        return true;
    };
    if row.is_true(2) {
        return row.is_true(3);
    }
    let place = list.names().and_then(|names| {
        let place = names.keys().position(|name| *name == member)?;
        (names.get(&member) == Some(&incarnation)).then_some(place)
    });
    let expected = match (list, place) {
        (List::Nobody | List::Nothing, _) | (_, None) => 0,
        (List::Any { .. }, Some(_)) => 1,
        (List::FirstPadded { .. }, Some(place)) => place + 2,
    };
    row.parse(1) == Some(expected)
}

/// Sees a commit wait, under a list that nobody satisfies: the checkpointer has told all backends that commits are
/// to wait. A cancelled wait ends in a commit with a warning; the commit is empty.
async fn waiting(site: &Site) -> Result<(), JobError> {
    let watching = Session::open(site).await?;
    let probing = Session::open(site).await?;
    let pid = probing.value("SELECT pg_backend_pid()").await?.unwrap_or_default();
    let wait = format!("SELECT wait_event = 'SyncRep' FROM pg_stat_get_activity({pid})");
    let seen = async {
        loop {
            tokio::select! {
                // It came back: nobody made it wait.
                done = probing.rows_within(PROBE, PATIENCE) => { done?; }
                waits = until(&watching, &wait) => return waits,
            }
            sleep(PAUSE).await;
        }
    };
    let seen = timeout(PATIENCE, seen).await;
    // However it ended, nobody is to wait for ever.
    watching.rows(&format!("SELECT pg_terminate_backend({pid})")).await?;
    seen.map_err(|_| {
        JobError::Refused("commits do not wait though Postgres has taken the list".to_owned())
    })??;
    site.sync.enforced();
    Ok(())
}

const PROBE: &str = "SET synchronous_commit = on; SELECT pg_logical_emit_message(true, 'haa', '')";

async fn until(session: &Session, question: &str) -> Result<(), JobError> {
    while session.value(question).await?.as_deref() != Some("t") {
        sleep(PAUSE).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use haa_core::units::Incarnation;

    use super::*;

    #[test]
    fn each_list_can_be_told_from_the_one_before() {
        let names = || (1..=3).map(|n| (format!("n{n}").parse().expect("legal"), Incarnation(n)));
        let any = |k| List::Any { k, names: names().collect() };
        let first = |k| List::FirstPadded { k, names: names().collect() };
        let (see, set, nobody) = (Step::See, Step::Set, List::Nobody);
        let check = |before, wanted, expected: &[Step]| {
            assert_eq!(steps(Some(&before), true, &wanted), expected, "{before:?} {wanted:?}");
        };
        check(any(1), any(2), &[see(any(1)), set(first(2)), set(any(2))]);
        check(first(2), any(2), &[see(first(2)), set(any(2))]);
        check(first(1), first(2), &[see(first(1)), set(any(1)), set(first(2))]);
        check(any(2), any(1), &[see(any(2)), set(any(1))]);
        check(any(1), nobody.clone(), &[set(nobody.clone())]);
        let anew = [set(nobody), Step::Wait, set(any(1))];
        assert_eq!(steps(Some(&any(1)), false, &any(1)), anew, "it may not be enforced");
        assert_eq!(steps(None, true, &any(1)), anew, "somebody else's list tells nothing");
    }
}
