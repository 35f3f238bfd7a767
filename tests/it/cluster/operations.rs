//! What an operator does: switchovers, restarts of the agent. Nothing is lost, and refusals say why.

use haa_core::units::MemberName;
use serde_json::json;

use super::fixture::{Cluster, LONG, name, print_times};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switchover_goes_to_the_named_member_or_to_the_best() {
    let cluster = Cluster::start().await;
    let mut times = Vec::new();
    for run in 0..4 {
        cluster.all_vote().await;
        cluster.all_may_lead().await;
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

    a_file_that_is_wrong_changes_nothing(&cluster, &unfit).await;
    a_file_is_read_again(&cluster, &unfit).await;
    // Without its tag it may lead.
    cluster.all_may_lead().await;
    cluster.all_vote().await;
    let answer = cluster.playground.http_post(&primary, "/switchover", &body).await;
    let (status, text) = answer.expect("the agent answers");
    assert_eq!(status, 200, "{text}");
    assert_eq!(cluster.primary().await, unfit);
}

const PARAMETERS: &str = "[postgres.parameters]\n";

async fn a_file_that_is_wrong_changes_nothing(cluster: &Cluster, member: &MemberName) {
    let good = std::fs::read_to_string(cluster.playground.config(member)).expect("it is there");
    let hba = "[postgres]\nhba = [\"host all all 127.0.0.1/32 nomethod\"]\n";
    for (from, to, says) in [
        (PARAMETERS, "[postgres.parameters\n".to_owned(), ": this is not TOML"),
        (
            PARAMETERS,
            format!("{PARAMETERS}port = 1\n"),
            ": postgres.parameters.port: haa sets this",
        ),
        (
            PARAMETERS,
            format!("{PARAMETERS}work_mem = '64XB'\n"),
            ": postgres.parameters.work_mem: invalid",
        ),
        ("[postgres]\n", hba.to_owned(), "Postgres does not take what it says"),
    ] {
        cluster.edit(member, |text| text.replace(from, &to).replace("nofailover = true", ""));
        let (code, said) = cluster.haactl(&["reload", member.as_str()]);
        assert_eq!(code, 1, "{to}: {said}");
        let file = cluster.playground.config(member);
        assert!(said.contains(says) && said.contains(&*file.to_string_lossy()), "{to}: {said}");
        cluster.edit(member, |_| good.clone());
    }
    assert_eq!(cluster.haactl(&["reload", "n9"]).0, 1, "there is no such member");
    // Nothing of it is in force: neither what was right beside what was wrong, nor rules that let nobody in.
    cluster.until_shown(member, "work_mem", "4MB").await;
    let (_, text) = cluster.playground.http_get(member, "/patroni").await.expect("it answers");
    assert!(
        text.contains(r#""nofailover":true"#) && !text.contains("parameters_refused"),
        "{text}"
    );
}

async fn a_file_is_read_again(cluster: &Cluster, member: &MemberName) {
    let more = format!("{PARAMETERS}work_mem = '40MB'\nmax_prepared_transactions = 3\n");
    let level = "\n[log]\nlevel = 'debug'\n";
    cluster.edit(member, |text| {
        text.replace(PARAMETERS, &more).replace("nofailover = true", "site = 'b'") + level
    });
    let (code, said) = cluster.haactl(&["reload", member.as_str()]);
    assert_eq!(code, 0, "{said}");
    for line in [
        "postgres.parameters.work_mem = 40MB (was not said)",
        "tags.nofailover = false (was true)",
        "tags.site = b (was not said)",
        "pending restart: max_prepared_transactions 0 -> 3",
        "log waits for a restart of haad",
    ] {
        assert!(said.contains(&format!("{member}: {line}\n")), "{line}: {said}");
    }
    // Answered when it is so.
    let address = cluster.playground.postgres(member);
    let client = cluster.connect(&address).await.expect("it accepts");
    let row = client.query_one("SHOW work_mem", &[]).await.expect("it answers");
    assert_eq!(row.get::<_, &str>(0), "40MB");
    // This member's file goes before what all have in common.
    let (code, said) = cluster.haactl(&["settings", "set", "postgres.parameters.work_mem=30MB"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(&format!("{member}: its own work_mem = 40MB (haad.toml)")), "{said}");
    // systemctl reload does this.
    cluster.edit(member, |text| text.replace("work_mem = '40MB'\n", ""));
    let agent = cluster.playground.agent(member).expect("a member").expect("it runs");
    agent.signal(rustix::process::Signal::HUP).expect("it can be signalled");
    cluster.until_shown(member, "work_mem", "30MB").await;
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
    cluster.until_said(&primary, "stalled").await;
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
