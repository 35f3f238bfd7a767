//! A pause: nothing begins by itself, everybody says so, and an operator's commands work as ever.

use std::fs::OpenOptions;
use std::io::Write;

use super::fixture::{Cluster, LONG};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_cluster_does_only_what_it_is_told() {
    let cluster = Cluster::start().await;
    cluster.all_vote().await;
    let first = cluster.primary().await;
    cluster.all_go_by(paused_by_an_operator(&cluster)).await;
    // Nobody would take over.
    let degraded = "PAUSED, DEGRADED";
    cluster.until_haactl(&["status"], |code, said| code == 1 && said.starts_with(degraded)).await;
    assert!(cluster.haactl(&["list"]).1.starts_with("PAUSED  cluster "));
    for member in cluster.playground.names() {
        for path in ["/patroni", "/cluster"] {
            let answer = cluster.playground.http_get(&member, path).await.expect("it answers");
            assert!(answer.1.contains("\"pause\":true"), "{member} {path}: {}", answer.1);
        }
    }

    cluster.playground.kill_postgres(&first).expect("it ran");
    for member in cluster.playground.names() {
        cluster.says(&member, "the cluster is paused").await;
    }
    assert!(cluster.writable().await.is_empty(), "nobody takes over, and nothing is started");
    let down =
        |_: i32, said: &str| said.starts_with("PAUSED, DOWN") && said.contains("haactl resume");
    cluster.until_haactl(&["status"], down).await;

    let second = cluster.other_than(&first);
    let (code, said) = cluster.haactl(&["failover", "--to", second.as_str(), "--yes"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(cluster.primary().await, second);
    cluster.write_until_acknowledged(1).await;

    let mut names = cluster.playground.names().into_iter();
    let third = names.find(|name| ![&first, &second].contains(&name)).expect("there are three");
    cluster.playground.wait_member_streams(&third, LONG).await.expect("it follows");
    cluster.until_answered(&third, "/sync", (200, "*")).await;
    let (code, said) = cluster.haactl(&["switchover", "--to", third.as_str(), "--yes"]);
    assert_eq!(code, 0, "{said}");
    cluster.write_until_acknowledged(2).await;
    cluster.playground.wait_member_streams(&second, LONG).await.expect("it was stopped in order");

    cluster.all_go_by(cluster.haactl(&["resume"])).await;
    cluster.all_stream().await;
    for member in cluster.playground.names() {
        cluster.has_rows(&member, 2).await;
    }
    let (code, said) = cluster.haactl(&["events"]);
    assert_eq!(code, 0, "{said}");
    for event in ["set pause = true", "failover to", "switchover to", "set pause = false"] {
        assert!(said.contains(event), "{event}: {said}");
    }
    let olgas = said.lines().filter(|line| line.contains("olga from 127.0.0.1"));
    assert_eq!(olgas.filter(|line| line.contains("written")).count(), 1, "who did it: {said}");
}

/// An operator may; a viewer may not, and neither may change anything else.
fn paused_by_an_operator(cluster: &Cluster) -> (i32, String) {
    let tokens = cluster.playground.token_file();
    let mut file = OpenOptions::new().append(true).open(&tokens).expect("it is there");
    let own = |name: &str| {
        let path = tokens.with_file_name(name);
        std::fs::write(&path, format!("{name}-{name}-{name}\n")).expect("written");
        path.display().to_string()
    };
    let (viewer, operator) = (own("viewer"), own("operator"));
    file.write_all(
        b"viewer-viewer-viewer role=viewer name=vic\n\
          operator-operator-operator role=operator name=olga\n",
    )
    .expect("written");
    let as_viewer = cluster.haactl(&["--token-file", &viewer, "pause"]);
    assert_eq!(as_viewer.0, 1, "{}", as_viewer.1);
    let says = "needs a token with the role operator, and that of vic has the role viewer";
    assert!(as_viewer.1.contains(says), "{}", as_viewer.1);
    let set = ["--token-file", &operator, "settings", "set", "k=1"];
    let (code, said) = cluster.haactl(&set);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("the role admin, and that of olga has the role operator"), "{said}");
    cluster.haactl(&["--token-file", &operator, "pause"])
}
