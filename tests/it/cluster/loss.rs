//! Commits that an operator gives up: the voters that could elect are gone. Never while anybody leads.

use super::fixture::Cluster;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_of_three_leads_when_an_operator_accepts_the_loss() {
    let (mut cluster, primary, second) = Cluster::start_voting().await;
    let (code, said) = cluster.haactl(&["failover", "--accept-loss", "--yes"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("nothing has to be lost"), "{said}");

    cluster.write_until_acknowledged(1).await;
    let mut names = cluster.playground.names().into_iter();
    let last = names.find(|name| ![&primary, &second].contains(&name)).expect("there are three");
    cluster.playground.kill_host(&second).expect("it ran");
    cluster.playground.kill_host(&primary).expect("it ran");
    let (code, said) = cluster.haactl(&["failover", "--to", last.as_str(), "--accept-loss"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("say --yes"), "{said}");
    assert!(cluster.writable().await.is_empty(), "one of three voters elects nobody");

    let with = ["failover", "--to", last.as_str(), "--accept-loss", "--yes"];
    let (code, said) = cluster.haactl(&with);
    assert_eq!(code, 0, "{said}");
    assert_eq!(cluster.primary().await, last);
    cluster.write_until_acknowledged(2).await;

    for member in [&primary, &second] {
        cluster.playground.revive(member).expect("it starts");
    }
    cluster.all_stream().await;
    cluster.all_vote().await;
    cluster.write_until_acknowledged(3).await;
    let (_, events) = cluster.haactl(&["events"]);
    assert!(events.contains("accepting the loss of acknowledged commits"), "{events}");
}
