//! Whom commits wait for, with real walsenders: effective is what was seen, and every step of it can fail.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use haa::agent::clock;
use haa_core::effect::Job;
use haa_core::input::Input;
use haa_core::list::List;
use haa_core::observe::{Door, Primary, Server, SyncState};
use haa_core::settings::Durability;
use haa_core::units::{Incarnation, MemberName, Millis};
use nix::sys::signal::Signal;

use super::member::{self, Member, leadership};
use super::{note, pair, print_times, root};

pub(crate) fn any(k: u32, names: &[&(MemberName, Incarnation)]) -> List {
    List::Any { k, names: map(names) }
}

fn first(k: u32, names: &[&(MemberName, Incarnation)]) -> List {
    List::FirstPadded { k, names: map(names) }
}

fn map(names: &[&(MemberName, Incarnation)]) -> BTreeMap<MemberName, Incarnation> {
    names.iter().map(|&name| name.clone()).collect()
}

fn place(primary: &Primary, member: &Member) -> (u32, SyncState) {
    let walsender = &primary.replicas[&member.name];
    (walsender.priority, walsender.sync)
}

/// A primary with two replicas that stream, all with these binaries.
pub(crate) async fn three(root: &Path, binaries: &Path) -> (Member, Member, Member) {
    let mut a = Member::of("a", root, binaries);
    let mut b = Member::of("node-b", root, binaries);
    let mut c = Member::of("c", root, binaries);
    a.become_primary(2, &[&b, &c]).await;
    b.join(&mut a).await;
    c.join(&mut a).await;
    (a, b, c)
}

/// Facts of looks for a while: none of them may say that the list is effective.
async fn never_effective(a: &mut Member, list: &List) {
    let end = Instant::now() + Duration::from_millis(400);
    a.hands().list(leadership(clock::now()), list.clone());
    while Instant::now() < end {
        a.hands().look();
        if let Input::Postgres(facts) = a.input().await
            && let Server::Primary(primary) = facts.server
        {
            assert_ne!(primary.effective.as_ref(), Some(list), "{primary:?}");
        }
    }
}

pub(crate) async fn lists_are_seen(binaries: &Path) {
    let root = root();
    let (mut a, mut b, mut c) = three(root.path(), binaries).await;
    let (on_b, on_c) = (b.listed().await, c.listed().await);
    let open = a.primary(|_| true).await;
    assert_eq!((open.shown, open.effective), (Some(List::Nothing), Some(List::Nothing)));

    // From none to some; who is not on it shows that.
    let seen = a.list(&any(1, &[&on_b])).await;
    assert_eq!(place(&seen, &b), (1, SyncState::Quorum));
    assert_eq!(place(&seen, &c), (0, SyncState::Async));
    assert!(seen.inserted >= seen.position.lsn);
    a.commit().await;

    // Wider, and `k` grows through a list that shows it.
    let seen = a.list(&any(1, &[&on_b, &on_c])).await;
    assert_eq!(place(&seen, &c), (1, SyncState::Quorum));
    let seen = a.list(&first(2, &[&on_b, &on_c])).await;
    assert_eq!(place(&seen, &c), (2, SyncState::Sync), "names go by the alphabet");
    assert_eq!(place(&seen, &b), (3, SyncState::Sync));
    let seen = a.list(&any(2, &[&on_b, &on_c])).await;
    assert_eq!(place(&seen, &b), (1, SyncState::Quorum));
    a.commit().await;
    b.done(Job::Detach(None)).await;
    assert!(!a.commits().await, "two of two, and one is gone");

    // Narrower: the one that is left is enough, and releases who waits.
    a.list(&any(1, &[&on_c])).await;
    a.commit().await;

    // Data that came in the place of a voter's is no voter.
    let other = (on_c.0.clone(), Incarnation(on_c.1.0 ^ 1));
    let seen = a.list(&any(1, &[&other])).await;
    assert_eq!(place(&seen, &c), (0, SyncState::Async));
    assert!(!a.commits().await);

    a.list(&List::Nothing).await;
    a.commit().await;
    c.done(Job::Stop(Millis(5000))).await;
}

/// `ALTER SYSTEM` goes before haad's file: commits would wait for nobody, or in vain.
pub(crate) async fn an_override_is_taken_back(binaries: &Path) {
    let root = root();
    let (mut a, mut b) =
        (Member::of("a", root.path(), binaries), Member::of("node-b", root.path(), binaries));
    a.become_primary(2, &[&b]).await;
    b.join(&mut a).await;
    let list = any(1, &[&b.listed().await]);
    a.list(&list).await;
    let client = a.client().await;
    for by_hand in ["", "ANY 1 (nobody)"] {
        let set = format!("ALTER SYSTEM SET synchronous_standby_names = '{by_hand}'");
        client.batch_execute(&set).await.expect("a superuser may");
        client.batch_execute("SELECT pg_reload_conf()").await.expect("a superuser may");
        let began = Instant::now();
        a.primary(|primary| primary.effective.as_ref() != Some(&list)).await;
        a.list(&list).await;
        note(&format!("'{by_hand}' was taken back after {:?}", began.elapsed()));
        a.commit().await;
        let file = "SELECT FROM pg_file_settings WHERE sourcefile LIKE '%auto.conf'";
        assert!(client.query(file, &[]).await.expect("it answers").is_empty());
    }
}

/// A walsender that has not taken the list keeps it from being effective, whatever a session shows.
pub(crate) async fn a_late_walsender_is_waited_for(binaries: &Path) {
    let root = root();
    let (mut a, mut b, mut c) = three(root.path(), binaries).await;
    let (on_b, on_c) = (b.listed().await, c.listed().await);
    a.list(&any(1, &[&on_b, &on_c])).await;
    let question = "SELECT pid FROM pg_stat_replication WHERE application_name LIKE 'haa_node-b%'";
    let late: i32 = a.client().await.query_one(question, &[]).await.expect("it streams").get(0);
    for list in [any(1, &[&on_c]), any(2, &[&on_b, &on_c])] {
        a.list(&any(1, &[&on_b, &on_c])).await;
        member::kill(late, Signal::SIGSTOP).expect("it runs");
        never_effective(&mut a, &list).await;
        member::kill(late, Signal::SIGCONT).expect("it runs");
        a.list(&list).await;
    }
}

/// The checkpointer decides whether commits wait at all; `pg_stat_replication` says so before it does.
pub(crate) async fn commits_are_seen_waiting(binaries: &Path) {
    let (_root, mut a, mut b) = pair(binaries).await;
    let on_b = b.listed().await;
    let list = any(1, &[&on_b]);
    let checkpointer = a.backend("checkpointer").await;
    member::kill(checkpointer, Signal::SIGSTOP).expect("it runs");
    never_effective(&mut a, &list).await;

    // The trap: were the list written at once, the walsender would say `quorum`, and nobody would wait.
    let name = format!("\"haa_b_{:x}\"", on_b.1.0);
    let text = format!("synchronous_standby_names = 'ANY 2 ({name}, haa_nobody)'\n");
    std::fs::write(a.state.join("haa.sync.conf"), text).expect("writable");
    a.sql("SELECT pg_reload_conf()").await;
    let shown = a.primary(|p| p.replicas.values().any(|w| w.sync == SyncState::Quorum)).await;
    assert_eq!(shown.effective, None);
    // One of two is missing, and yet nobody waits.
    a.commit().await;

    member::kill(checkpointer, Signal::SIGCONT).expect("it runs");
    a.list(&list).await;
    b.done(Job::Detach(None)).await;
    assert!(!a.commits().await);
}

/// `Nobody` from the first start on: whoever promotes it, it acknowledges nothing.
pub(crate) async fn an_unopened_primary_acknowledges_nothing(binaries: &Path) {
    let root = root();
    let mut a = Member::of("a", root.path(), binaries);
    a.hands().rest(Durability::Quorum).expect("writable");
    a.done(Job::InitDb).await;
    a.done(Job::Start(None, Door::Open)).await;
    a.standby(|standby| standby.detached).await;
    a.client().await.query_one("SELECT pg_promote()", &[]).await.expect("by hand");
    let seen = a.primary(|_| true).await;
    assert_eq!((&seen.shown, &seen.effective), (&Some(List::Nobody), &Some(List::Nobody)));
    assert!(!a.commits().await);
    a.list(&List::Nothing).await;
    a.commit().await;

    // What a leadership opened does not outlive the next start.
    a.done(Job::Stop(Millis(5000))).await;
    a.done(Job::Start(None, Door::Open)).await;
    let shown = "SELECT current_setting('synchronous_standby_names')";
    let text: String = a.client().await.query_one(shown, &[]).await.expect("a row").get(0);
    assert_eq!(text, "ANY 1 (haa_nobody)");
    a.hands().rest(Durability::Async).expect("writable");
    loop {
        let text: String = a.client().await.query_one(shown, &[]).await.expect("a row").get(0);
        if text.is_empty() {
            break;
        }
    }
}

/// Another agent knows nothing of what this one has proven, and proves it anew.
pub(crate) async fn another_agent_proves_it_anew(binaries: &Path) {
    let (_root, mut a, mut b) = pair(binaries).await;
    let list = any(1, &[&b.listed().await]);
    a.list(&list).await;
    a.leave().await;
    let mut second = Member::with("a", a.config.clone(), a.state.clone());
    let seen = second.primary(|_| true).await;
    assert_eq!((seen.shown, seen.effective), (Some(list.clone()), None));
    // Past its proof, nothing is changed.
    let late = leadership(clock::now().before(Millis(3_600_000)));
    second.hands().list(late, List::Nothing);
    for _ in 0..5 {
        assert_eq!(second.primary(|_| true).await.shown, Some(list.clone()));
    }
    second.list(&list).await;
}

/// Not asserted: how long a change takes.
pub(crate) async fn times(binaries: &Path) {
    let root = root();
    let (mut a, mut b, mut c) = three(root.path(), binaries).await;
    let (on_b, on_c) = (b.listed().await, c.listed().await);
    let both = [&on_b, &on_c];
    let mut steps: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for _ in 0..20 {
        for (what, list) in [
            ("none to some, with the probe", any(1, &both)),
            ("k raised, through FIRST", any(2, &both)),
            ("k lowered", any(1, &both)),
            ("narrowed", any(1, &[&on_b])),
            ("to nothing", List::Nothing),
        ] {
            let at = Instant::now();
            a.list(&list).await;
            steps.entry(what).or_default().push(at.elapsed().as_secs_f64() * 1e3);
        }
    }
    for (what, times) in steps {
        print_times(&format!("list, {what}, until a look says so"), times);
    }
}
