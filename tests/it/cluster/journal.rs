//! The journal of a real agent: the same core decides the same again, and a changed decision is found.

use assert_cmd::Command;
use haa::playground::Part;

use super::fixture::Cluster;
use crate::support;

fn replay(file: &std::path::Path) -> (i32, String) {
    let ran = Command::new(support::programs().join("haactl"))
        .arg("replay")
        .arg(file)
        .output()
        .expect("haactl can be run");
    let said = [ran.stdout, ran.stderr].concat();
    (ran.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_is_decided_again_from_the_journal_and_a_changed_line_is_found() {
    let cluster = Cluster::start().await;
    let old = cluster.primary().await;
    cluster.playground.kill(&old, Part::Postgres).expect("it was running");
    cluster.write_until_acknowledged(1).await;
    let new = cluster.primary().await;
    let journal = cluster.playground.state(&new).join("journal.jsonl");
    let (code, said) = replay(&journal);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("candidate -> promoting") && said.contains("came out the same"),
        "{said}"
    );

    let text = std::fs::read_to_string(&journal).expect("it is there");
    let changed = cluster.playground.directory().join("changed.jsonl");
    let other = text.replacen("\"reason\":\"elected\"", "\"reason\":\"deposed\"", 1);
    assert_ne!(text, other);
    std::fs::write(&changed, other).expect("it can be written");
    let (code, said) = replay(&changed);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("decided then"), "{said}");
    let (code, said) = replay(&cluster.playground.config(&new));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("not a journal"), "{said}");
}
