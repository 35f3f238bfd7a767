//! What operators asked for: shown while it is open, and cancelled before anybody acts on it.

use std::process::{Child, Command, Stdio};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use haa_core::units::MemberName;

use super::fixture::{Cluster, LONG};
use crate::support;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_nobody_acts_on_is_shown_and_cancelled() {
    let (cluster, primary, replica) = Cluster::start_voting().await;
    only_a_time_to_come_is_waited_for(&cluster, &replica);
    what_waits_is_shown_and_cancelled(&cluster, &primary, &replica).await;
    scheduled(&cluster, &["restart", replica.as_str(), "--at", "+2s"]);
    until_event(&cluster, &format!("the Postgres of {replica} was restarted")).await;
    agents_carry_out_what_is_due(&cluster, &primary).await;
    scheduled(&cluster, &["pause", "--at", "+1s"]);
    until_event(&cluster, "set pause = true (was false)").await;
    let (_, events) = cluster.haactl(&["events"]);
    assert_eq!(events.matches(&format!("restart {replica}, at ")).count(), 1, "{events}");
    what_no_leader_acted_on_is_told_too(&cluster, &replica).await;

    cluster.playground.kill_host(&primary).expect("it ran");
    let none = |view: &haa::ctl::documents::ClusterView| view.leader().is_none();
    cluster.playground.wait_cluster("nobody leads", LONG, none).await.expect("it is paused");

    let asking = waiting(&cluster, &["drain", replica.as_str()]);
    let began = Instant::now();
    let id = loop {
        let (_, said) = cluster.haactl(&["requests"]);
        let mut lines = said.lines().filter(|line| line.contains("nobody acts on it yet"));
        if let Some(line) = lines.next() {
            assert!(line.contains(&format!("drain {replica}")), "{said}");
            break line.split_whitespace().next().expect("an id").to_owned();
        }
        assert!(began.elapsed() < LONG, "it is never shown: {said}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    for verb in ["cancel", "wait"] {
        let (code, said) = cluster.haactl(&["requests", verb, "x"]);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("0 requests begin with 'x'"), "{said}");
    }
    // Whoever asked goes away, somebody else waits a while, and another one to the end.
    let number = asking.id().cast_signed();
    kill(Pid::from_raw(number), Signal::SIGINT).expect("it is there");
    ended(asking, 1, "goes on, and haactl requests wait ");
    let (code, said) = cluster.haactl(&["requests", "wait", &id, "--timeout", "500ms"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("it is not done after 500ms: request "), "{said}");
    let patient = waiting(&cluster, &["requests", "wait", &id]);
    let (code, said) = cluster.haactl(&["requests", "cancel", &id]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(&format!("'drain {replica}' is cancelled")), "{said}");

    ended(patient, 1, &format!("'drain {replica}' was refused: cancelled by "));
    let (code, said) = cluster.haactl(&["requests", "cancel", &id]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("it was refused: cancelled by"), "{said}");
    let (_, events) = cluster.haactl(&["events"]);
    assert!(events.contains("refused: cancelled by"), "{events}");

    // Nobody leads, and nobody would before this.
    scheduled(&cluster, &["resume", "--at", "+1s"]);
    assert_ne!(cluster.primary().await, primary);
}

/// A haactl that waits for what comes of it.
pub(crate) fn waiting(cluster: &Cluster, arguments: &[&str]) -> Child {
    let mut haactl = Command::new(support::programs().join("haactl"));
    haactl.arg("--client-file").arg(cluster.playground.client_file()).args(arguments);
    let piped = haactl.stdout(Stdio::piped()).stderr(Stdio::piped());
    piped.spawn().expect("haactl can be run")
}

/// It ends with this code, and says this.
fn ended(haactl: Child, code: i32, what: &str) {
    let heard = haactl.wait_with_output().expect("it ends");
    let says = String::from_utf8_lossy(&heard.stderr);
    assert_eq!(heard.status.code(), Some(code), "{says}");
    assert!(says.contains(what), "{says}");
}

/// Takes it, and does not wait for it.
fn scheduled(cluster: &Cluster, arguments: &[&str]) {
    let (code, said) = cluster.haactl(arguments);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("' begins at 20"), "{said}");
}

async fn until_event(cluster: &Cluster, what: &str) {
    let began = Instant::now();
    loop {
        let (_, events) = cluster.haactl(&["events"]);
        if events.contains(what) {
            return;
        }
        assert!(began.elapsed() < LONG, "it never comes to '{what}': {events}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// Settings are written by the leader's agent, files read again by their member's.
async fn agents_carry_out_what_is_due(cluster: &Cluster, member: &MemberName) {
    let set = ["settings", "set", "postgres.parameters.work_mem=8MB", "--at"];
    let (code, said) = cluster.haactl(&["settings", "set", "timing.ttl=3s", "--at", "+1s"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("ttl is 3s but"), "{said}");
    let (code, said) = cluster.haactl(&["promote-cluster", "--at", "+1s", "--yes"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("is not changed at a time"), "{said}");
    scheduled(cluster, &[set.as_slice(), &["+1s"]].concat());
    scheduled(cluster, &["reload", member.as_str(), "--at", "+1s"]);
    until_event(cluster, "set postgres.parameters.work_mem = 8MB (was not said), at ").await;
    until_event(cluster, &format!("reload {member}, at ")).await;
    let same = |_: i32, events: &str| events.contains("nothing is other than before");
    cluster.until_haactl(&["events", "--kind", "reload"], same).await;
    let shown = |_: i32, settings: &str| {
        let mut lines = settings.lines().filter(|line| line.contains("work_mem"));
        lines.any(|line| line.contains("8MB"))
    };
    cluster.until_haactl(&["settings", "show"], shown).await;
}

/// What an agent refused by itself, and what it did by itself.
async fn what_no_leader_acted_on_is_told_too(cluster: &Cluster, replica: &MemberName) {
    until_event(cluster, "POST /drain, asked of ").await;
    let (code, said) = cluster.haactl(&["reload", replica.as_str()]);
    assert_eq!(code, 0, "{said}");
    until_event(cluster, &format!("reload {replica}")).await;
    let (_, events) = cluster.haactl(&["events", "--kind", "command", "--refused"]);
    assert!(events.contains("there is no member 'n9'"), "{events}");
    let (_, events) = cluster.haactl(&["events", "--member", replica.as_str(), "--since", "1h"]);
    assert!(events.contains("reload") && !events.contains("pause"), "{events}");
    let (code, said) = cluster.haactl(&["events", "--since", "soon"]);
    assert_eq!(code, 2, "{said}");
}

fn only_a_time_to_come_is_waited_for(cluster: &Cluster, member: &MemberName) {
    let member = member.as_str();
    for (arguments, code, why) in [
        (["drain", member, "--at", "2020-01-01T00:00:00Z"], 1, "is over"),
        (["drain", member, "--at", "2199-01-01T00:00:00Z"], 1, "more than a year ahead"),
        (["drain", member, "--at", "tonight"], 2, "is no time such as"),
        (["drain", "n9", "--at", "+2h"], 1, "there is no member 'n9'"),
    ] {
        let (ended, said) = cluster.haactl(&arguments);
        assert_eq!(ended, code, "{arguments:?}: {said}");
        assert!(said.contains(why), "{arguments:?}: {said}");
    }
    let (_, said) = cluster.haactl(&["requests"]);
    assert!(!said.contains("drain"), "nothing waits: {said}");
}

async fn what_waits_is_shown_and_cancelled(
    cluster: &Cluster,
    primary: &MemberName,
    replica: &MemberName,
) {
    scheduled(cluster, &["switchover", "--at", "+2h", "--yes"]);
    scheduled(cluster, &["restart", "--rolling", "--at", "+3h", "--yes"]);
    let next = "Scheduled: switchover to the best replica at 20";
    for verb in ["list", "status"] {
        let all = ", and 4 more: haactl requests";
        cluster.until_haactl(&[verb], |_, said| said.contains(next) && said.contains(all)).await;
    }
    // Any member says so, a moment later.
    let from = format!("\"from\":\"{primary}\"");
    let began = Instant::now();
    loop {
        let answer = cluster.playground.http_get(replica, "/cluster").await;
        let (_, document) = answer.expect("it answers");
        let restarts = document.matches("\"scheduled_restart\"").count();
        let switchover = document.contains("\"scheduled_switchover\"") && document.contains(&from);
        if restarts == 3 && switchover {
            break;
        }
        assert!(began.elapsed() < LONG, "it is never shown: {document}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }

    let (_, said) = cluster.haactl(&["requests"]);
    assert!(said.contains("begins in 1h 5") && said.contains("once the one before it"), "{said}");
    // With the first of a rolling restart all of it is over.
    for first in ["switchover to the best replica, at", "restart n1, one after the other, at"] {
        let line = said.lines().find(|line| line.contains(first)).expect("it waits");
        let id = line.split_whitespace().next().expect("an id");
        let (code, said) = cluster.haactl(&["requests", "cancel", id]);
        assert_eq!(code, 0, "{said}");
    }
    let began = Instant::now();
    while cluster.haactl(&["list"]).1.contains("Scheduled") {
        assert!(began.elapsed() < LONG, "something waits: {}", cluster.haactl(&["requests"]).1);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let (_, events) = cluster.haactl(&["events"]);
    assert_eq!(
        events.matches("refused: the command before it was not done").count(),
        3,
        "{events}"
    );
}
