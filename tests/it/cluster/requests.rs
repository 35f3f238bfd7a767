//! What operators asked for: shown while it is open, and cancelled before anybody acts on it.

use std::process::{Command, Stdio};
use std::time::Instant;

use super::fixture::{Cluster, LONG};
use crate::support;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_nobody_acts_on_is_shown_and_cancelled() {
    let (cluster, primary, replica) = Cluster::start_voting().await;
    let (code, said) = cluster.haactl(&["pause"]);
    assert_eq!(code, 0, "{said}");
    cluster.playground.kill_host(&primary).expect("it ran");
    let none = |view: &haa::ctl::documents::ClusterView| view.leader().is_none();
    cluster.playground.wait_cluster("nobody leads", LONG, none).await.expect("it is paused");

    let waiting = Command::new(support::programs().join("haactl"))
        .arg("--client-file")
        .arg(cluster.playground.client_file())
        .args(["drain", replica.as_str()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("haactl can be run");
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
    let (code, said) = cluster.haactl(&["requests", "cancel", "x"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("0 requests begin with 'x'"), "{said}");
    let (code, said) = cluster.haactl(&["requests", "cancel", &id]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(&format!("'drain {replica}' is cancelled")), "{said}");

    let heard = waiting.wait_with_output().expect("it ends");
    let says = String::from_utf8_lossy(&heard.stderr);
    assert_eq!(heard.status.code(), Some(1), "{says}");
    assert!(says.contains("cancelled by "), "{says}");
    let (code, said) = cluster.haactl(&["requests", "cancel", &id]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("it was refused: cancelled by"), "{said}");
    let (_, events) = cluster.haactl(&["events"]);
    assert!(events.contains("refused: cancelled by"), "{events}");
}
