//! Agents that are asked to stop, and agents whose own disk hangs. Nothing is left behind, nothing waits.

use std::time::Instant;

use super::fixture::{Cluster, LONG};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_was_stopped_has_let_its_lease_go() {
    let cluster = Cluster::start().await;
    let primary = cluster.primary().await;
    let replica = cluster.other_than(&primary);
    let endpoint = cluster.playground.etcd_endpoint();
    let mut etcd = etcd_client::Client::connect([endpoint], None).await.expect("a client");
    let mut leases = async || etcd.leases().await.expect("an answer").leases().len();
    let began = Instant::now();
    while leases().await != 3 {
        assert!(began.elapsed() < LONG, "not every member has a lease, or one has two");
    }
    for (member, left) in [(&replica, 2), (&primary, 1)] {
        cluster.playground.terminate_agent(member).expect("it ran");
        cluster.agent_is_gone(member).await;
        // A lease that is not let go lives for seconds yet.
        assert_eq!(leases().await, left, "{}", cluster.log(member));
    }
}

/// A named pipe that nobody reads hangs whoever opens it, as a dead disk does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_directory_that_hangs_holds_up_no_decision() {
    let cluster = Cluster::start().await;
    cluster.all_vote().await;
    let old = cluster.primary().await;
    for member in cluster.playground.names() {
        let path = cluster.playground.state(&member).join("leadership.json.new");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a named pipe");
    }
    cluster.playground.kill_postgres(&old).expect("it ran");
    let took = cluster.write_until_acknowledged(1).await;
    println!("kill to the first acknowledged write, with hanging state directories: {took:?}");
    let new = cluster.primary().await;
    cluster.playground.wait_member_streams(&old, LONG).await.expect("it follows");
    cluster.all_vote().await;
    cluster.all_may_lead().await;
    let body = serde_json::json!({ "candidate": old });
    let answer = cluster.playground.http_post(&new, "/switchover", &body).await;
    let (status, text) = answer.expect("the agent answers");
    assert_eq!(status, 200, "{text}");
    cluster.write_until_acknowledged(2).await;
    cluster.playground.terminate_agent(&old).expect("it ran");
    cluster.agent_is_gone(&old).await;
    cluster.write_until_acknowledged(3).await;
}
