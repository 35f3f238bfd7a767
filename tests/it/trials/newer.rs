//! What came with PostgreSQL 17 and 18, and would be in haad's way where operators use it. Never what 15 has too.

use std::path::Path;
use std::time::{Duration, Instant};

use haa_core::effect::{Job, SlotsWish};
use haa_core::input::JobResult;
use haa_core::observe::Door;
use haa_core::units::{MemberName, Millis};

use super::{binaries, note};
use crate::postgres::member::Member;
use crate::postgres::{pair, root};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(40);

mod v17 {
    crate::trials::tests!(17, { logins_run_no_trigger: super::logins_run_no_trigger, });
}

mod v18 {
    crate::trials::tests!(18, {
        logins_run_no_trigger: super::logins_run_no_trigger,
        a_slot_that_was_idle_is_made_anew: super::a_slot_that_was_idle_is_made_anew,
    });
}

/// One that writes fails on every standby; one that always fails is the same on a primary.
async fn logins_run_no_trigger(binaries: &Path) {
    let (_root, mut a, mut b) = pair(binaries).await;
    a.sql(
        "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS \
         $$ BEGIN RAISE EXCEPTION 'nobody logs in'; END $$; \
         CREATE EVENT TRIGGER refuse ON login EXECUTE FUNCTION refuse()",
    )
    .await;
    let there = a.primary(|_| true).await.position;
    b.standby(|standby| standby.replayed >= there.lsn).await;
    assert!(a.client_config().connect(tokio_postgres::NoTls).await.is_err(), "nobody logs in");
    for member in [&mut a, &mut b] {
        member.again().await;
    }
    a.primary(|_| true).await;
    b.standby(|standby| standby.streaming).await;
    a.done(Job::Stop(Millis(5000))).await;
    b.done(Job::Detach(None)).await;
    assert_eq!(b.promote(3, &[&a]).await, JobResult::Done);
    a.done(Job::Start(Some(b.source()), Door::Open)).await;
    a.standby(|standby| standby.streaming && standby.position.timeline.0 == 3).await;
}

/// `idle_replication_slot_timeout`: the slot says where it was, and lets nobody stream from it any more.
async fn a_slot_that_was_idle_is_made_anew(binaries: &Path) {
    let root = root();
    let mut a = Member::of("a", root.path(), binaries);
    let timeout = ("idle_replication_slot_timeout".to_owned(), "1s".to_owned());
    a.config.parameters.extend([timeout]);
    a.again().await;
    let names: [MemberName; 1] = ["b".parse().expect("a legal name")];
    a.become_primary(2, &[]).await;
    let wish = || SlotsWish { members: names.clone().into(), ..SlotsWish::default() };
    a.hands().slots(wish());
    until_slot_is(&a, "SELECT 1", "restart_lsn IS NOT NULL").await;
    until_slot_is(&a, "CHECKPOINT", "wal_status = 'lost' AND restart_lsn IS NOT NULL").await;
    a.hands().slots(wish());
    until_slot_is(&a, "SELECT 1", "wal_status <> 'lost'").await;
}

/// Says something to Postgres until the slot is so: a checkpoint gives up what was idle.
async fn until_slot_is(a: &Member, says: &str, which: &str) {
    let of_b = format!("pg_replication_slots WHERE slot_name = 'haa_b' AND {which}");
    let began = Instant::now();
    while a.count(&of_b).await == 0 {
        assert!(began.elapsed() < LONG, "the slot is not as it should be: {which}");
        a.sql(says).await;
    }
}
