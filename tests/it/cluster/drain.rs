//! Members that an operator takes out of use: not read from, no voters, never leaders, until they are taken back.

use std::cell::RefCell;

use haa_core::units::MemberName;

use super::fixture::{Cluster, LONG};
use super::requests::waiting;

async fn get(cluster: &Cluster, member: &MemberName, path: &str) -> (u16, String) {
    cluster.playground.http_get(member, path).await.expect("the agent answers")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_member_is_out_of_use_when_the_command_answers() {
    let (cluster, primary, drained) = Cluster::start_voting().await;
    let mut names = cluster.playground.names().into_iter();
    let third = names.find(|name| *name != primary && *name != drained).expect("there are three");

    let (code, said) = cluster.haactl(&["drain", drained.as_str()]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(&format!("{drained} is drained")), "{said}");
    let address = cluster.playground.postgres(&drained).to_string();
    for path in ["/replica", "/sync", "/read-only"] {
        let (status, text) = get(&cluster, &drained, path).await;
        assert_eq!(status, 503, "{path}: {text}");
    }
    for member in cluster.playground.names() {
        let (_, readers) = get(&cluster, &member, "/routes/read?format=hostport").await;
        assert!(!readers.contains(&address), "{member} sends readers there: {readers}");
    }
    let (_, list) = cluster.haactl(&["list"]);
    assert!(list.contains("DRAINED") && list.contains("2 of 2 voters"), "{list}");
    let (code, said) = cluster.haactl(&["status"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(&format!("haactl undrain {drained}")), "{said}");
    assert!(get(&cluster, &third, "/cluster").await.1.contains("\"drained\":true"));

    let client = cluster.connect(&cluster.playground.postgres(&primary)).await.expect("it accepts");
    for (refused, why) in [
        (vec!["drain", third.as_str()], "acknowledged commits would be on one member alone"),
        (vec!["drain", primary.as_str(), "--yes"], "acknowledged commits would be on one"),
        (vec!["drain", primary.as_str()], "say --yes"),
        (vec!["drain", "n9"], "there is no member 'n9'"),
        (vec!["switchover", "--to", drained.as_str(), "--yes"], "is drained"),
        (vec!["failover", "--to", drained.as_str(), "--yes"], "is drained"),
    ] {
        let (code, said) = cluster.haactl(&refused);
        assert_eq!(code, 1, "{refused:?}: {said}");
        assert!(said.contains(why), "{refused:?}: {said}");
    }
    client.query_one("SELECT 1", &[]).await.expect("nothing was stopped");

    let (code, said) = cluster.haactl(&["undrain", drained.as_str()]);
    assert_eq!(code, 0, "{said}");
    cluster.all_vote().await;
    let (_, list) = cluster.haactl(&["list"]);
    assert!(!list.contains("DRAINED"), "{list}");
    let (_, events) = cluster.haactl(&["events"]);
    for event in ["drain", "undrain"] {
        assert!(events.contains(&format!("{event} {drained}")), "{events}");
    }
    assert!(events.contains("refused: "), "{events}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_drained_hands_over_first() {
    let cluster = Cluster::start().await;
    cluster.all_vote().await;
    cluster.write_until_acknowledged(1).await;
    let old = cluster.primary().await;
    let (code, said) = cluster.haactl(&["drain", old.as_str(), "--yes"]);
    assert_eq!(code, 0, "{said}");
    let new = cluster.primary().await;
    assert_ne!(new, old);
    cluster.playground.wait_member_streams(&old, LONG).await.expect("it follows");
    cluster.write_until_acknowledged(2).await;

    // Whoever is left takes over, and not the one that is drained.
    cluster.playground.kill_postgres(&new).expect("it ran");
    cluster.write_until_acknowledged(3).await;
    assert_ne!(cluster.primary().await, old);
    let (code, said) = cluster.haactl(&["undrain", old.as_str()]);
    assert_eq!(code, 0, "{said}");
    cluster.all_stream().await;
    for member in cluster.playground.names() {
        cluster.has_rows(&member, 3).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undrain_ends_a_drain_that_is_not_done() {
    let cluster = Cluster::start().await;
    cluster.all_vote().await;
    let leader = cluster.primary().await;
    let drain = RefCell::new(waiting(&cluster, &["drain", leader.as_str(), "--yes"]));
    let over = || drain.borrow_mut().try_wait().expect("it is a child").is_some();
    let shown = |_, said: &str| said.contains(&format!("drain {leader}")) || over();
    cluster.until_haactl(&["requests"], shown).await;
    let (code, said) = cluster.haactl(&["undrain", leader.as_str()]);
    assert_eq!(code, 0, "{said}");
    let ended = drain.into_inner().wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
    // It may have been done just before.
    let why = format!("haactl undrain {leader} came before it was done");
    assert!(ended.status.success() || said.contains(&why), "{said}");
    cluster.all_vote().await;
    let (_, list) = cluster.haactl(&["list"]);
    assert!(!list.contains("DRAINED"), "{list}");
}
