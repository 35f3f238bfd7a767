//! What an operator does: switchovers, restarts of the agent. Nothing is lost, and refusals say why.

use serde_json::json;

use super::fixture::{Cluster, LONG, name, print_times};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switchover_goes_to_the_named_member_or_to_the_best() {
    let cluster = Cluster::start().await;
    let mut times = Vec::new();
    for run in 0..4 {
        let old = cluster.primary().await;
        let target = cluster.other_than(&old);
        let body = if run % 2 == 0 { json!({ "candidate": target }) } else { json!({}) };
        let began = std::time::Instant::now();
        let answer = cluster.playground.http_post(&target, "/switchover", &body).await;
        let (status, text) = answer.expect("the agent answers");
        assert_eq!(status, 200, "{text}");
        times.push(began.elapsed());
        let new = cluster.primary().await;
        assert_ne!(new, old);
        if run % 2 == 0 {
            assert_eq!(new, target);
        }
        cluster.write_until_acknowledged(run).await;
        cluster.playground.wait_member_streams(&old, LONG).await.expect("it follows");
        let log = cluster.log(&old);
        assert!(!log.contains("Rewind"), "an orderly hand-over needs no rewind:\n{log}");
        cluster.all_stream().await;
    }
    print_times("switchover, from the command to its answer", times);
    for member in cluster.playground.names() {
        cluster.has_rows(&member, 4).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switchover_that_cannot_be_is_refused_and_nothing_is_stopped() {
    let cluster = Cluster::start().await;
    let primary = cluster.primary().await;
    let client = cluster.connect(&cluster.playground.postgres(&primary)).await.expect("it accepts");
    let asked = async |candidate: &str| {
        let body = json!({ "candidate": candidate });
        let answer = cluster.playground.http_post(&primary, "/switchover", &body).await;
        answer.expect("the agent answers")
    };
    let (status, text) = asked("nobody").await;
    assert_eq!(status, 400, "{text}");
    assert!(text.contains("n1") && text.contains("nobody"), "it names who there is: {text}");
    let (status, text) = asked(primary.as_str()).await;
    assert!(status == 400 || status == 412, "{status} {text}");
    assert!(text.contains("leader"), "{text}");
    let one = client.query_one("SELECT 1", &[]).await;
    assert!(one.is_ok(), "the session on the primary has lived through it all");
    assert_eq!(cluster.primary().await, primary);
}

/// Nobody asks for it twice: the tag says that this member is never to lead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switchover_to_a_member_that_may_not_lead_is_refused() {
    let mut cluster = Cluster::prepare(|options| options);
    let unfit = name("n3");
    cluster.edit(&unfit, |text| text + "\n[tags]\nnofailover = true\n");
    cluster.playground.start_all().await.expect("they start");
    cluster.all_stream().await;
    let primary = cluster.primary().await;
    assert_ne!(primary, unfit);
    let client = cluster.connect(&cluster.playground.postgres(&primary)).await.expect("it accepts");
    let body = json!({ "candidate": unfit });
    let answer = cluster.playground.http_post(&primary, "/switchover", &body).await;
    let (status, text) = answer.expect("the agent answers");
    assert_eq!(status, 412, "{text}");
    assert!(text.contains("n3 is tagged nofailover"), "{text}");
    client.query_one("SELECT 1", &[]).await.expect("nothing was stopped");
    assert_eq!(cluster.primary().await, primary);
}

/// It streams and acknowledges all the while: only who reads from it would notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_does_not_replay_is_kept_out_of_read_routes() {
    let settings = toml::toml! { timing.stall_timeout = "2s" };
    let cluster = Cluster::start_with(|options| options.settings(settings)).await;
    let primary = cluster.primary().await;
    let replica = cluster.other_than(&primary);
    let address = cluster.playground.postgres(&replica);
    let client = cluster.connect(&address).await.expect("it accepts");
    let reads = async |path: &str| {
        let answer = cluster.playground.http_get(&primary, path).await;
        answer.expect("the agent answers").1
    };
    let until_read_from = async |wanted: bool| {
        let began = std::time::Instant::now();
        while reads("/routes/read?format=hostport").await.contains(&address.to_string()) != wanted {
            assert!(began.elapsed() < LONG, "readers are sent to {replica}: {}", !wanted);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    until_read_from(true).await;
    client.batch_execute("SELECT pg_wal_replay_pause()").await.expect("it can be paused");
    cluster.write_until_acknowledged(1).await;
    until_read_from(false).await;
    assert!(reads("/cluster").await.contains("stalled"));
    client.batch_execute("SELECT pg_wal_replay_resume()").await.expect("it can go on");
    until_read_from(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_live_through_a_restart_of_the_agent() {
    let mut cluster = Cluster::start_with(|mut options| {
        options.agent_arguments.push("--leave-postgres".to_owned());
        options
    })
    .await;
    let primary = cluster.primary().await;
    let client = cluster.connect(&cluster.playground.postgres(&primary)).await.expect("it accepts");
    let pid = "SELECT pg_backend_pid()";
    let before: i32 = client.query_one(pid, &[]).await.expect("it answers").get(0);
    cluster.playground.kill_agent(&primary).expect("it ran");
    cluster.playground.start_member(&primary).expect("it starts");
    assert_eq!(cluster.primary().await, primary, "SIGKILL and a start within the lease");
    cluster.playground.terminate_agent(&primary).expect("it ran");
    cluster.agent_is_gone(&primary).await;
    cluster.playground.start_member(&primary).expect("it starts");
    assert_eq!(cluster.primary().await, primary, "SIGTERM with --leave-postgres");
    let after: i32 = client.query_one(pid, &[]).await.expect("the session lives").get(0);
    assert_eq!(before, after);
    let terms = cluster.log(&primary).matches("to=\"primary\"").count();
    println!("became primary {terms} times by its log: once elected, twice resumed");
}
