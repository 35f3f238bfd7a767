//! Two clusters, of which one follows the other: it forms, follows failovers on both sides, and they change places.

use std::time::Instant;

use haa::ctl::documents::ClusterView;

use super::fixture::{Cluster, LONG, name};

/// Where the Postgres of each member listens.
fn addresses(cluster: &Cluster) -> Vec<String> {
    let names = cluster.playground.names();
    names.iter().map(|name| cluster.playground.postgres(name).to_string()).collect()
}

/// Everybody streams, and one of them from the other cluster.
fn follows(view: &ClusterView) -> bool {
    let leads = view.leader().is_some_and(|leader| leader.role == "standby_leader");
    leads && view.members.len() == 2 && view.members.iter().all(|one| one.state == "streaming")
}

async fn until_follows(cluster: &Cluster) -> String {
    let view = cluster.playground.wait_cluster("it follows", LONG, follows).await;
    view.expect("everybody streams").leader().map(|leader| leader.name.clone()).expect("one leads")
}

/// A copy of a cluster has its passwords.
fn same_secrets(from: &Cluster, to: &Cluster) {
    for role in ["superuser", "replication", "rewind"] {
        let member = name("n1");
        let secret = std::fs::read(from.password_file(&member, role)).expect("a password");
        std::fs::write(to.password_file(&member, role), secret).expect("it can be written");
    }
}

async fn have_rows(cluster: &Cluster, rows: i64) {
    for member in cluster.playground.names() {
        cluster.has_rows(&member, rows).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sites_change_places_and_lose_nothing() {
    let a = Cluster::start_with(|options| options.members(2)).await;
    a.write_until_acknowledged(1).await;
    let hosts = addresses(&a);
    let extra = toml::toml! {
        [bootstrap]
        method = "standby"
        standby_of = hosts
    };
    let mut b = Cluster::prepare(|options| options.members(2).extra(extra));
    same_secrets(&a, &b);
    b.playground.start_all().await.expect("everything starts");
    let leader = until_follows(&b).await;
    have_rows(&b, 1).await;

    // Members of the same names, and none is taken for the other.
    assert!(b.writable().await.is_empty());
    for (path, code) in [("/standby-leader", 200), ("/primary", 503), ("/read-only", 200)] {
        let answer = b.playground.http_get(&name(&leader), path).await.expect("it answers");
        assert_eq!(answer.0, code, "{path}: {}", answer.1);
    }
    let (code, said) = b.haactl(&["status"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("this is a standby of the cluster at 127.0.0.1:"), "{said}");

    // A failover at either site.
    b.playground.kill_host(&name(&leader)).expect("it ran");
    a.write_until_acknowledged(2).await;
    let other = b.other_than(&name(&leader));
    let began = Instant::now();
    b.has_rows(&other, 2).await;
    println!("the other member follows after {:?}", began.elapsed());
    b.playground.start_member(&name(&leader)).expect("it starts");
    until_follows(&b).await;
    let (code, said) = a.haactl(&["switchover", "--yes"]);
    assert_eq!(code, 0, "{said}");
    a.write_until_acknowledged(3).await;
    have_rows(&b, 3).await;
    until_follows(&b).await;

    // They change places.
    let (code, said) = b.haactl(&["promote-cluster", "--at-least", "FFFF/0", "--yes"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("FFFF/0 was asked for"), "{said}");
    let began = Instant::now();
    let to = addresses(&b).join(",");
    let (code, said) = a.haactl(&["demote-cluster", "--to", &to, "--yes"]);
    assert_eq!(code, 0, "{said}");
    assert!(a.route().await.is_none() && a.writable().await.is_empty(), "{said}");
    let all = said.rsplit("--at-least ").next().map(str::trim).expect("it says from where on");
    let (code, said) = b.haactl(&["promote-cluster", "--at-least", all, "--yes"]);
    assert_eq!(code, 0, "{said}");
    println!("writes go on at the other site after {:?}", began.elapsed());
    b.write_until_acknowledged(4).await;
    until_follows(&a).await;
    have_rows(&a, 4).await;
    have_rows(&b, 4).await;
    assert!(a.writable().await.is_empty());
    let (code, said) = b.haactl(&["promote-cluster", "--yes"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("accepts writes already"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_stopped_where_nobody_follows() {
    let a = Cluster::start_with(|options| options.members(1)).await;
    let (code, said) = a.haactl(&["demote-cluster", "--to", "127.0.0.1:1", "--yes"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("no standby cluster streams from this one"), "{said}");
    a.write_until_acknowledged(1).await;
}
