//! What came with PostgreSQL 17 and 18, and would be in haad's way where operators use it. Never what 15 has too.

use std::path::Path;

use haa_core::effect::Job;
use haa_core::input::JobResult;
use haa_core::observe::Door;
use haa_core::units::Millis;

use super::{binaries, note};
use crate::postgres::pair;

mod v17 {
    crate::trials::tests!(17, { logins_run_no_trigger: super::logins_run_no_trigger, });
}

mod v18 {
    crate::trials::tests!(18, { logins_run_no_trigger: super::logins_run_no_trigger, });
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
