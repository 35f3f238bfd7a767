//! What is made ready: a new database as the operator wants it; logins, slots, the first segment of a timeline for a
//! failover. Each must do no harm besides.

use std::path::PathBuf;

use haa::config::{Bootstrap, InitDb};
use haa_core::effect::{Begin, Job, SlotsWish};
use haa_core::input::JobResult;
use haa_core::observe::{DataDir, Door};
use haa_core::units::{Lsn, MemberName, Millis, Timeline};

use super::member::Member;
use super::{note, root};
use crate::trials::asked_for;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slip_in_the_operators_map_of_names_locks_nobody_out() {
    let root = root();
    let mut a = Member::new("a", root.path());
    a.done(Job::InitDb).await;
    let map = a.config.data_directory.join("pg_ident.conf");
    std::fs::write(&map, "theirs \"alice bob\n").expect("the data are there");
    a.done(Job::Start(None, Door::Open)).await;
    a.standby(|standby| standby.detached).await;
    a.promote(2, &[]).await;
    a.primary(|primary| primary.position.timeline == Timeline(2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_superuser_that_is_not_called_as_the_system_user_logs_in() {
    let root = root();
    let like = Member::new("like", root.path());
    let mut config = like.config.clone();
    config.superuser.user = "haa admin".to_owned();
    let state = like.state.clone();
    drop(like);
    let mut a = Member::with("a", config, state);
    a.become_primary(2, &[]).await;
    a.primary(|primary| primary.position.timeline == Timeline(2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_cannot_be_made_does_not_keep_others_from_being_made() {
    let root = root();
    let like = Member::new("like", root.path());
    let mut config = like.config.clone();
    config.parameters.insert("wal_level".to_owned(), "logical".to_owned());
    let state = like.state.clone();
    drop(like);
    let mut a = Member::with("a", config, state);
    a.become_primary(2, &[]).await;
    a.sql("SELECT pg_create_logical_replication_slot('haa_b', 'pgoutput')").await;
    let names = ["b", "c"].map(|name| name.parse::<MemberName>().expect("a legal name"));
    a.hands().slots(SlotsWish { members: names.into(), ..SlotsWish::default() });
    let made = "pg_replication_slots WHERE slot_name = 'haa_c' AND restart_lsn IS NOT NULL";
    while a.count(made).await == 0 {
        a.primary(|_| true).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_segment_is_made_once_and_only_where_it_is_needed() {
    let root = root();
    let mut a = Member::new("a", root.path());
    let mut b = Member::new("b", root.path());
    a.become_primary(2, &[&b]).await;
    b.join(&mut a).await;
    b.standby(|standby| standby.streaming).await;
    let segment = |timeline: u32, number: u32| -> PathBuf {
        let name = format!("{timeline:08X}{:08X}{number:08X}", 0);
        b.config.data_directory.join("pg_wal").join(name)
    };
    // As if it had been recycled: a position from before the clone.
    let (followed, foretold) = (segment(2, 1), segment(9, 1));
    assert!(!followed.exists());
    let follow = |timeline| {
        let begin = Begin { timeline: Timeline(timeline), lsn: Lsn(0x100_0028) };
        Job::Follow(a.source(), Some(begin))
    };
    let (again, next) = (follow(2), follow(9));
    b.done(Job::Detach(None)).await;
    b.done(again).await;
    assert!(!followed.exists(), "an empty one would be archived in the place of the true one");
    b.standby(|standby| standby.streaming).await;
    b.done(Job::Detach(None)).await;
    b.done(next).await;
    assert!(foretold.exists(), "the receiver would have to write it");
    b.done(Job::Stop(Millis(5000))).await;
    b.done(Job::Start(Some(a.source()), Door::Open)).await;
    assert!(!foretold.exists(), "nobody ever led on this timeline");
    b.standby(|standby| standby.streaming).await;
}

/// Set lower than the data were last run with, it is run with that; of a new system, with what is set.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_was_lowered_does_not_keep_it_from_starting() {
    let root = root();
    let mut a = Member::new("a", root.path());
    let limit = |member: &mut Member, value: &str| {
        member.config.parameters.insert("max_connections".to_owned(), value.to_owned());
    };
    limit(&mut a, "20");
    a.again().await;
    a.become_primary(2, &[]).await;
    assert_eq!(shown(&a).await, "20");
    for (set, runs) in [("12", "20"), ("30", "30")] {
        a.done(Job::Stop(Millis(5000))).await;
        limit(&mut a, set);
        a.again().await;
        a.done(Job::Start(None, Door::Open)).await;
        assert_eq!(shown(&a).await, runs);
    }
}

async fn shown(member: &Member) -> String {
    let client = member.client().await;
    client.query_one("SHOW max_connections", &[]).await.expect("it answers").get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_database_sorts_and_writes_as_the_operator_wants() {
    let root = root();
    let mut a = Member::new("a", root.path());
    let mut wanted = InitDb {
        icu_locale: Some("de-DE".to_owned()),
        encoding: "LATIN1".to_owned(),
        wal_segment_size: 1 << 20,
        ..InitDb::default()
    };
    a.config.bootstrap = Bootstrap::InitDb(wanted.clone());
    a.again().await;
    let mut why = a.failed(Job::InitDb).await;
    let mut sorted = "ähre Birne zebra";
    // The system's has it.
    if asked_for().is_some() && why.contains("ICU is not supported in this build") {
        note("ICU's order is not tried: these binaries are without it");
        sorted = "Birne zebra ähre";
        wanted.icu_locale = None;
        a.config.bootstrap = Bootstrap::InitDb(wanted.clone());
        a.again().await;
        why = a.failed(Job::InitDb).await;
    }
    assert!(why.contains("encoding mismatch"), "{why}");
    assert_eq!(a.facts(|_| true).await.data, DataDir::Empty);

    wanted.encoding = "UTF8".to_owned();
    a.config.bootstrap = Bootstrap::InitDb(wanted);
    a.again().await;
    let mut b = Member::new("b", root.path());
    a.become_primary(2, &[&b]).await;
    b.join(&mut a).await;
    a.sql("CREATE TABLE t AS SELECT unnest(ARRAY['zebra', 'ähre', 'Birne']) AS word").await;
    let asked = "SELECT string_agg(word, ' ' ORDER BY word), current_setting('wal_segment_size'), \
                 current_setting('lc_messages') FROM t";
    let row = a.client().await.query_one(asked, &[]).await.expect("a row");
    let said: [String; 3] = [row.get(0), row.get(1), row.get(2)];
    assert_eq!(said, [sorted, "1MB", "C"]);

    // A promotion in the midst of many.
    a.sql("INSERT INTO t SELECT repeat('x', 1000) FROM generate_series(1, 5000)").await;
    b.done(Job::Detach(None)).await;
    assert_eq!(b.promote(3, &[&a]).await, JobResult::Done);
    b.sql("INSERT INTO t VALUES ('neu')").await;
}
