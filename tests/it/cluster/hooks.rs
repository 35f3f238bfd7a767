//! The operator's own programs in a real cluster: told once of each change, against a promotion, and hanging.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use haa::playground::Part;
use haa_core::units::MemberName;

use super::fixture::{Cluster, LONG};

/// For every event: it writes down what it is told, and does as the files beside the data say.
const HOOK: &str = r#"#!/bin/sh
at=$HAA_DATA_DIRECTORY
echo "$HAA_EVENT $HAA_OLD_ROLE>$HAA_ROLE $HAA_MEMBER term=$HAA_TERM timeline=$HAA_TIMELINE $HAA_PRIMARY" >> "$at.told"
if [ "$HAA_EVENT" = before_promote ] && [ -e "$at.veto" ]; then
  echo "the backup of $HAA_MEMBER runs"
  exit 7
fi
if [ "$HAA_EVENT" = on_stop ] && [ -e "$at.hang" ]; then
  sleep 600 & echo $$ $! >> "$at.pids"
  wait
fi
"#;

fn beside(cluster: &Cluster, member: &MemberName, what: &str) -> PathBuf {
    let mut path = cluster.playground.data(member).into_os_string();
    path.push(format!(".{what}"));
    path.into()
}

/// What a member's programs were told, but for some events.
fn told(cluster: &Cluster, member: &MemberName, event: &str) -> Vec<String> {
    let text = std::fs::read_to_string(beside(cluster, member, "told")).unwrap_or_default();
    let begins = format!("{event} ");
    text.lines().filter_map(|line| line.strip_prefix(&begins)).map(str::to_owned).collect()
}

async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < LONG, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn started() -> Cluster {
    let mut cluster = Cluster::prepare(|options| options);
    let hook = cluster.playground.directory().join("hook");
    std::fs::write(&hook, HOOK).expect("written");
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).expect("ours");
    let events = ["on_role_change", "on_start", "on_stop", "before_promote"];
    let lines = events.map(|event| format!("{event} = [\"{}\"]\n", hook.display())).concat();
    for member in cluster.playground.names() {
        cluster.edit(&member, |text| format!("{text}\n[hooks]\ntimeout = \"10s\"\n{lines}"));
    }
    cluster.playground.start_all().await.expect("everything starts");
    cluster.all_stream().await;
    cluster.execute("CREATE TABLE t (id bigint PRIMARY KEY)").await;
    cluster.all_vote().await;
    cluster
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_are_told_of_changes_may_veto_and_hold_nobody_up() {
    let cluster = started().await;
    let first = cluster.primary().await;
    let target = cluster.other_than(&first);
    once_each(&cluster, &first).await;

    // The one that is to lead is against it.
    std::fs::write(beside(&cluster, &target, "veto"), "").expect("written");
    let (code, said) = cluster.haactl(&["switchover", "--to", target.as_str(), "--yes"]);
    assert_ne!(code, 0, "{said}");
    cluster.write_until_acknowledged(1).await;
    let second = cluster.primary().await;
    assert_ne!(second, target);
    let why = format!("ended with exit status: 7; it said last: the backup of {target} runs");
    cluster.says(&target, &why).await;
    for verb in ["events", "why", "doctor"] {
        let shows = || {
            let (_, said) = cluster.haactl(&[verb]);
            // A table may break its lines.
            said.split_whitespace().collect::<Vec<_>>().join(" ").contains(&why)
        };
        until(&format!("haactl {verb} says why"), shows).await;
    }
    cluster.playground.wait_member_streams(&target, LONG).await.expect("it follows");
    assert!(
        !told(&cluster, &target, "on_role_change").iter().any(|line| line.contains(">primary"))
    );
    std::fs::remove_file(beside(&cluster, &target, "veto")).expect("it is there");
    cluster.all_stream().await;
    cluster.all_vote().await;

    // It hangs, and so does what it started; the others do not wait for it.
    std::fs::write(beside(&cluster, &second, "hang"), "").expect("written");
    cluster.playground.kill(&second, Part::Postgres).expect("it was running");
    println!("with a hook that hangs: {:?}", cluster.write_until_acknowledged(2).await);
    cluster.playground.wait_member_streams(&second, LONG).await.expect("it comes back");
    cluster.says(&second, "the hook on_stop").await;
    let pids = std::fs::read_to_string(beside(&cluster, &second, "pids")).expect("it has run");
    assert!(pids.split_whitespace().count() >= 2, "{pids}");
    for pid in pids.split_whitespace() {
        let stat = format!("/proc/{pid}/stat");
        let runs = || std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
        until(&format!("process {pid} is gone"), || !runs()).await;
    }
    for member in cluster.playground.names() {
        let changes = told(&cluster, &member, "on_role_change");
        let mut before = String::new();
        for change in &changes {
            let (old, new) =
                change.split(' ').next().and_then(|role| role.split_once('>')).expect("two");
            assert!(old == before && new != before, "{member}: {changes:?}");
            new.clone_into(&mut before);
        }
    }
}

/// Of a cluster that has just begun.
async fn once_each(cluster: &Cluster, primary: &MemberName) {
    let (code, routes) = cluster.playground.http_get(primary, "/routes").await.expect("it answers");
    assert_eq!(code, 200, "{routes}");
    let routes: serde_json::Value = serde_json::from_str(&routes).expect("JSON");
    let (_, patroni) = cluster.playground.http_get(primary, "/patroni").await.expect("it answers");
    let patroni: serde_json::Value = serde_json::from_str(&patroni).expect("JSON");
    let (term, timeline) = (&routes["term"], &patroni["timeline"]);
    let at = cluster.playground.postgres(primary);
    until("it is told", || told(cluster, primary, "on_role_change").len() == 2).await;
    let changes = told(cluster, primary, "on_role_change");
    assert!(changes[0].starts_with(&format!(">replica {primary} ")), "{changes:?}");
    let expected = format!("replica>primary {primary} term={term} timeline={timeline} {at}");
    assert_eq!(changes[1], expected);
    let asked = told(cluster, primary, "before_promote");
    assert_eq!(asked, [format!(">replica {primary} term={term} timeline={timeline} ")]);
    for member in cluster.playground.names().iter().filter(|name| *name != primary) {
        until("a replica is told", || told(cluster, member, "on_start").len() == 1).await;
        assert_eq!(told(cluster, member, "on_role_change").len(), 1);
        assert_eq!(told(cluster, member, "before_promote").len(), 0);
    }
}
