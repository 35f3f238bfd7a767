//! Settings of a cluster that runs: shown, changed, refused, and who did it. Nobody restarts, and nobody stops writing.

use super::fixture::Cluster;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_are_changed_while_everything_runs() {
    let cluster = Cluster::start().await;
    let primary = cluster.primary().await;
    let replica = cluster.other_than(&primary);
    let client = cluster.connect(&cluster.playground.postgres(&primary)).await.expect("it accepts");

    let (code, said) = cluster.haactl(&["settings", "show"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.lines().any(|line| line.split_whitespace().eq(["timing.ttl", "10s"])), "{said}");

    cluster.until_shown(&replica, "wal_receiver_timeout", "1200ms").await;
    let pairs = ["timing.suspect_after=2s", "timing.voter_timeout=4s", "k=1"];
    let (code, said) = cluster.haactl(&[&["settings", "set"][..], &pairs].concat());
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("timing.suspect_after = 2s (was 1s)"), "{said}");
    assert!(said.ends_with("every member goes by it\n"), "{said}");
    for member in cluster.playground.names() {
        let (_, config) =
            cluster.playground.http_get(&member, "/config").await.expect("it answers");
        assert!(config.contains("\"suspect_after\":2000"), "{config}");
        cluster.until_shown(&member, "wal_receiver_timeout", "2400ms").await;
    }

    let (code, said) = cluster.haactl(&["settings", "diff"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("timing.suspect_after") && !said.contains("timing.ttl"), "{said}");

    // Every member gets a longer lease, and the leader's key is moved onto its own.
    let raised = ["settings", "set", "timing.ttl=20s", "timing.round=5s"];
    let (code, said) = cluster.haactl(&raised);
    assert_eq!(code, 0, "{said}");
    cluster.write_until_acknowledged(1).await;

    let editor = [("VISUAL", "sed -i s/^strict.*/strict=true/")];
    let (code, said) = cluster.haactl_with(&["settings", "edit"], &editor);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("strict = true (was false)"), "{said}");

    let (code, said) = cluster.haactl(&["settings", "set", "k=", "strict="]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = cluster.haactl(&["settings", "history"]);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("from 127.0.0.1") && said.contains("timing.ttl = 20s (was 10s)"),
        "{said}"
    );
    assert_eq!(said.matches("written").count(), 4, "{said}");

    assert!(client.query_one("SELECT 1", &[]).await.is_ok(), "the session has lived through it");
    assert_eq!(cluster.primary().await, primary);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_make_no_sense_are_refused_and_nothing_is_written() {
    let cluster = Cluster::start().await;
    for (pair, says) in [
        ("timing.ttl=5s", "ttl is 5s but two rounds of 3s and a margin of 2s need more than 8s"),
        ("timing.suspect_after=150ms", "suspect_after is 150ms but heartbeats come every 100ms"),
        ("timing.ttl=20", "'20' is no span of time: write it as 10s or 500ms"),
        ("ttl=20s", "did you mean timing.ttl?"),
        ("durabilty=async", "did you mean durability?"),
        ("k=many", "settings.k: invalid type"),
    ] {
        let (code, said) = cluster.haactl(&["settings", "set", pair]);
        assert_eq!(code, 1, "{pair}: {said}");
        assert!(said.contains(says), "{pair}: {said}");
    }
    let editor = [("VISUAL", "sed -i s/^ttl.*/ttl=\"1s\"/")];
    let (code, said) = cluster.haactl_with(&["settings", "edit"], &editor);
    assert_eq!(code, 1, "{said}");
    let kept = said.split_whitespace().find(|word| word.contains("haactl-settings-"));
    let kept = kept.expect("it says where the text is").trim_end_matches(':');
    assert!(std::fs::read_to_string(kept).expect("it is there").contains("ttl=\"1s\""), "{said}");
    std::fs::remove_file(kept).expect("it can go");
    let without = ["--token-file", "/nowhere", "settings", "set", "k=1"];
    assert_eq!(cluster.haactl(&without).0, 2, "a token file that is not there");
    let (code, said) = cluster.haactl(&["settings", "history"]);
    assert_eq!((code, said.matches("written").count()), (0, 0), "{said}");
}
