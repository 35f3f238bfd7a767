//! The door: who is let in, and who is made to leave, with real sessions.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use haa::agent::clock;
use haa_core::effect::Job;
use haa_core::input::JobResult;
use haa_core::list::List;
use haa_core::observe::{Door, Standby};
use haa_core::units::{Incarnation, Millis, Timeline};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::member::{Member, leadership};
use super::{pair, print_times, root};

async fn is_let_in(member: &Member) -> bool {
    let config = member.client_config();
    match config.connect(tokio_postgres::NoTls).await {
        Ok(_) => true,
        Err(error) => {
            let said = error.as_db_error().map(|e| e.message().to_owned()).unwrap_or_default();
            assert!(said.contains("pg_hba.conf rejects"), "{error:?}");
            false
        }
    }
}

/// At a promotion behind a shut door nobody is left: no reader, and nobody who was about to log in.
pub(crate) async fn nobody_is_left_at_a_promotion(binaries: &Path) {
    let (_root, mut a, mut b) = pair(binaries).await;
    let reader = b.client().await;
    let mut silent = TcpStream::connect(("127.0.0.1", b.config.listen.port)).await.expect("open");
    a.done(Job::Stop(Millis(5000))).await;
    b.done(Job::Detach(None)).await;
    let proof = leadership(clock::now());
    let (timeline, slots) = (Timeline(5), [a.name.clone()].into());
    let (list, door) = (Some(List::Nobody), Door::Shut);
    b.done(Job::Promote { proof, timeline, slots, list, door }).await;

    let seen = b.primary(|_| true).await;
    assert_eq!(seen.door, Some(Door::Shut));
    assert_eq!(seen.shown, Some(List::Nobody));
    assert_eq!(seen.effective, None, "whether commits wait cannot be seen before a promotion");
    assert!(reader.batch_execute("SELECT 1").await.is_err(), "the reader was made to leave");
    let left = tokio::time::timeout(Duration::from_secs(1), silent.read(&mut [0; 64])).await;
    assert!(left.expect("the login was broken off").map_or(true, |read| read == 0));
    assert!(!is_let_in(&b).await);

    // Replication and rewinds are let in.
    a.done(Job::Start(Some(b.source()), Door::Open)).await;
    a.standby(|standby| standby.streaming && standby.position.timeline == Timeline(5)).await;
    let mut rewinder = b.client_config();
    rewinder.user(&b.config.rewind.user).password(&b.config.rewind.password);
    let rewound = rewinder.connect(tokio_postgres::NoTls).await;
    assert!(rewound.is_ok(), "a rewind is let in");

    // Past the proof it stays shut.
    b.hands().open_door(leadership(clock::now().before(Millis(3_600_000))));
    for _ in 0..5 {
        assert_eq!(b.primary(|_| true).await.door, Some(Door::Shut));
    }
    b.hands().open_door(leadership(clock::now()));
    b.primary(|primary| primary.door == Some(Door::Open)).await;
    assert!(is_let_in(&b).await);

    // Shut again while it is primary, and a stop and a start open it for readers, if so told.
    let client = b.client().await;
    b.hands().shut_door();
    b.primary(|primary| primary.door == Some(Door::Shut)).await;
    let asked = tokio::time::timeout(Duration::from_secs(5), async {
        while client.batch_execute("SELECT 1").await.is_ok() {}
    });
    asked.await.expect("the client was made to leave");
    b.done(Job::Stop(Millis(5000))).await;
    b.done(Job::Start(None, Door::Open)).await;
    assert!(is_let_in(&b).await);
}

/// Whoever detaches to lead gets ready for it, and gives way to another without having to be started again.
pub(crate) async fn who_detaches_to_lead_is_ready(binaries: &Path) {
    let (_root, mut a, mut b) = pair(binaries).await;
    let reader = b.client().await;
    let names = [(a.name.clone(), Incarnation(7))].into();
    let list = List::Any { k: 1, names };
    b.done(Job::Detach(Some(list.clone()))).await;
    let seen = b.standby(|standby| standby.detached).await;
    assert_eq!(seen.door, Some(Door::Shut));
    assert!(!is_let_in(&b).await);

    // Another leads: readers are let in again, and nothing of it is left.
    b.done(Job::Follow(a.source(), None)).await;
    b.standby(|standby| standby.streaming && standby.door == Some(Door::Open)).await;
    assert!(is_let_in(&b).await);
    assert!(reader.batch_execute("SELECT 1").await.is_ok(), "nobody was sent away for nothing");

    b.done(Job::Detach(Some(list.clone()))).await;
    a.done(Job::Stop(Millis(5000))).await;
    let log = b.state.join("postgres.log");
    let reloads = || fs::read_to_string(&log).expect("a log").matches("received SIGHUP").count();
    let before = reloads();
    let proof = leadership(clock::now());
    let (timeline, slots) = (Timeline(5), [a.name.clone()].into());
    let (list, door) = (Some(list), Door::Shut);
    b.done(Job::Promote { proof, timeline, slots, list: list.clone(), door }).await;
    let seen = b.primary(|_| true).await;
    assert_eq!((seen.door, seen.shown), (Some(Door::Shut), list));
    assert_eq!(reloads(), before, "all that the promotion wants was there");
    assert!(reader.batch_execute("SELECT 1").await.is_err(), "the reader was made to leave");
}

/// The next agent of this member, with this rule.
async fn with_rule(member: &mut Member, rule: &str) {
    member.config.hba = vec![rule.to_owned()];
    member.again().await;
}

/// Started with a shut door, a standby is read by nobody before it is told whom to follow.
pub(crate) async fn nobody_reads_before_it_follows(binaries: &Path) {
    let (_root, a, mut b) = pair(binaries).await;
    b.done(Job::Stop(Millis(5000))).await;
    b.done(Job::Start(None, Door::Shut)).await;
    let seen = b.standby(|standby| standby.detached).await;
    assert_eq!(seen.door, Some(Door::Shut));
    assert!(!is_let_in(&b).await);

    // Rules that Postgres does not take keep it shut where no others are known, and are told; it follows.
    let proven = b.state.join("haa.proven.json");
    let kept = fs::read(&proven).expect("it was open before");
    fs::remove_file(&proven).expect("it can go");
    with_rule(&mut b, "host all all nonsense").await;
    let why = b.failed(Job::Follow(a.source(), None)).await;
    assert!(why.contains("postgres.hba in haad.toml"), "{why}");
    let shut = |standby: &Standby| standby.streaming && standby.door == Some(Door::Shut);
    let seen = b.standby(shut).await;
    assert_eq!(seen.source, Some(a.source().address));
    assert!(!is_let_in(&b).await);

    // Where others are, those go on.
    fs::write(&proven, kept).expect("it is back");
    b.again().await;
    b.done(Job::Follow(a.source(), None)).await;
    b.standby(|standby| standby.streaming && standby.door == Some(Door::Open)).await;
    assert!(is_let_in(&b).await);
    let objection = b.facts(|facts| facts.parameters.objection.is_some()).await;
    let objection = objection.parameters.objection.unwrap_or_default();
    assert!(objection.ends_with("the rules from before stay in force"), "{objection}");

    with_rule(&mut b, "host all all 127.0.0.1/32 scram-sha-256").await;
    b.done(Job::Follow(a.source(), None)).await;
    b.standby(|standby| standby.streaming && standby.door == Some(Door::Open)).await;
    assert!(is_let_in(&b).await);
}

/// Without the step, a reader of the standby writes to the primary that it becomes.
pub(crate) async fn an_open_door_keeps_readers(binaries: &Path) {
    let root = root();
    let mut a = Member::of("a", root.path(), binaries);
    a.done(Job::InitDb).await;
    a.done(Job::Start(None, Door::Open)).await;
    a.standby(|standby| standby.detached).await;
    let reader = a.client().await;
    assert_eq!(a.promote(2, &[]).await, JobResult::Done);
    reader.batch_execute("CREATE TABLE t (n int)").await.expect("it writes");
    assert_eq!(a.primary(|_| true).await.door, Some(Door::Open));
}

/// Not asserted: how long the door takes.
pub(crate) async fn times(binaries: &Path) {
    let root = root();
    let mut a = Member::of("a", root.path(), binaries);
    a.become_primary(2, &[]).await;
    let (mut shut, mut open) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        let clients = [a.client().await, a.client().await];
        let at = Instant::now();
        a.hands().shut_door();
        a.primary(|primary| primary.door == Some(Door::Shut)).await;
        shut.push(at.elapsed().as_secs_f64() * 1e3);
        drop(clients);
        let at = Instant::now();
        a.hands().open_door(leadership(clock::now()));
        a.primary(|primary| primary.door == Some(Door::Open)).await;
        open.push(at.elapsed().as_secs_f64() * 1e3);
    }
    print_times("door shut with two clients, until a look says so", shut);
    print_times("door opened, until a look says so", open);
}
