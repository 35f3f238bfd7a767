//! A replica that an operator has cloned anew: done when it streams, once, and never where commits need its data.

use std::path::PathBuf;

use haa_core::units::MemberName;

use super::fixture::{Cluster, LONG};

/// Something that a clone does not bring along.
fn mark(cluster: &Cluster, member: &MemberName) -> PathBuf {
    let mark = cluster.playground.data(member).join("mark.of.the.old.data");
    std::fs::write(&mark, "").expect("it has data");
    mark
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_cloned_anew_when_the_command_answers() {
    let (cluster, primary, replica) = Cluster::start_voting().await;
    cluster.write_until_acknowledged(1).await;
    let old = mark(&cluster, &replica);

    for (refused, why) in [
        (vec!["reinit", replica.as_str()], "say --yes"),
        (vec!["reinit", primary.as_str(), "--yes"], "haactl switchover first"),
        (vec!["reinit", "n9", "--yes"], "there is no member 'n9'"),
        (vec!["reinit", replica.as_str(), "--from", "n9", "--yes"], "from: there is no member"),
        (
            vec!["reinit", replica.as_str(), "--from", replica.as_str(), "--yes"],
            "cannot be cloned from itself",
        ),
    ] {
        let (code, said) = cluster.haactl(&refused);
        assert_eq!(code, 1, "{refused:?}: {said}");
        assert!(said.contains(why), "{refused:?}: {said}");
    }
    assert!(old.exists(), "nothing was thrown away");

    let mut names = cluster.playground.names().into_iter();
    let third = names.find(|name| *name != primary && *name != replica).expect("there are three");
    let asked = ["reinit", replica.as_str(), "--from", third.as_str(), "--yes"];
    let (code, said) = cluster.haactl(&asked);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(&format!("{replica} was cloned anew, and streams")), "{said}");
    assert!(!old.exists(), "these are the old data");
    cluster.all_vote().await;
    cluster.has_rows(&replica, 1).await;
    let new = mark(&cluster, &replica);

    // Done once: neither its agent's next start nor the next leader begins again.
    cluster.playground.kill_agent(&replica).expect("it ran");
    let mut cluster = cluster;
    cluster.playground.start_member(&replica).expect("it starts");
    cluster.all_vote().await;
    let (code, said) = cluster.haactl(&["switchover", "--yes"]);
    assert_eq!(code, 0, "{said}");
    cluster.write_until_acknowledged(2).await;
    cluster.all_vote().await;
    assert!(new.exists(), "it was cloned once more");
    let (_, events) = cluster.haactl(&["events"]);
    assert!(events.contains(&format!("reinit {replica} from {third}")), "{events}");
    assert!(events.contains("refused: "), "{events}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_that_commits_rest_on_are_not_thrown_away() {
    let (cluster, primary, replica) = Cluster::start_voting().await;
    let mut names = cluster.playground.names().into_iter();
    let third = names.find(|name| *name != primary && *name != replica).expect("there are three");
    cluster.write_until_acknowledged(1).await;
    let old = mark(&cluster, &replica);
    cluster.playground.kill_host(&third).expect("it ran");
    let (code, said) = cluster.haactl(&["reinit", replica.as_str(), "--yes"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("too few would be left"), "{said}");
    assert!(old.exists(), "{said}");
    cluster.write_until_acknowledged(2).await;
    cluster.has_rows(&replica, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_leader_nothing_is_thrown_away() {
    let (cluster, primary, replica) = Cluster::start_voting().await;
    cluster.all_go_by(cluster.haactl(&["pause"])).await;
    cluster.playground.kill_host(&primary).expect("it ran");
    let old = mark(&cluster, &replica);
    let none = |view: &haa::ctl::documents::ClusterView| view.leader().is_none();
    cluster.playground.wait_cluster("nobody leads", LONG, none).await.expect("it is paused");
    let (code, said) = cluster.haactl(&["reinit", replica.as_str(), "--yes"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("nobody leads"), "{said}");
    assert!(old.exists(), "{said}");
}
