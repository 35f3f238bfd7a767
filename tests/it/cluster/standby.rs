//! Two clusters, of which one follows the other: it forms, follows failovers on both sides, and they change places.

use std::time::{Duration, Instant};

use haa::ctl::documents::ClusterView;
use haa_core::units::MemberName;
use serde_json::Value;

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

impl Cluster {
    /// Whether somebody uses this slot of the primary's, if there is one.
    async fn slot_in_use(&self, slot: &str) -> Option<bool> {
        let primary = self.primary().await;
        let client = self.connect(&self.playground.postgres(&primary)).await.expect("it accepts");
        let question = "SELECT active FROM pg_replication_slots WHERE slot_name = $1";
        client.query_opt(question, &[&slot]).await.expect("it answers").map(|row| row.get(0))
    }
}

/// A copy of a cluster has its passwords.
pub(super) fn same_secrets(from: &Cluster, to: &Cluster) {
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

/// An operator's work on a standby cluster. Its leader's data are made anew of the other cluster. Who leads then.
async fn operate(a: &Cluster, b: &Cluster, leader: &MemberName) -> String {
    let other = b.other_than(leader);
    let (code, said) = b.haactl(&["switchover", "--to", other.as_str(), "--yes"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(&format!("{other} leads now")), "{said}");
    let (code, said) = b.haactl(&["reinit", other.as_str(), "--yes"]);
    assert_eq!(code, 0, "{said}");
    let leader = until_follows(b).await;
    assert_eq!(leader, other.as_str());
    let (code, said) = b.haactl(&["restart", b.other_than(&other).as_str(), "--yes"]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = b.haactl(&["drain", other.as_str(), "--yes"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("promote-cluster comes first"), "{said}");
    assert_eq!(a.slot_in_use("site_b").await, Some(true));
    leader
}

/// What its programs are told of its role, one line each.
fn told(cluster: &Cluster, member: &MemberName) -> String {
    let file = cluster.playground.data(member).with_extension("told");
    std::fs::read_to_string(file).unwrap_or_default()
}

/// Waits until a program of this member was told of this change.
async fn until_told(cluster: &Cluster, member: &MemberName, change: &str) {
    let began = Instant::now();
    while !told(cluster, member).lines().any(|line| line.ends_with(change)) {
        assert!(began.elapsed() < LONG, "{change}: {}", told(cluster, member));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// All that the doctor finds, once it could look.
async fn examined(cluster: &Cluster) -> Option<Vec<Value>> {
    let (_, said) = cluster.haactl(&["doctor", "--output", "json"]);
    // What it says of its exit code comes after.
    let said = serde_json::Deserializer::from_str(&said).into_iter::<Value>().next()?.ok()?;
    said["findings"].as_array().cloned()
}

/// Whether a finding says this.
fn says(finding: &Value, text: &str) -> bool {
    ["what", "why"].iter().any(|part| finding[part].as_str().is_some_and(|it| it.contains(text)))
}

/// Waits until the doctor finds this.
async fn until_found(cluster: &Cluster, what: &str) -> Value {
    let began = Instant::now();
    loop {
        let found = examined(cluster).await;
        if let Some(one) = found.iter().flatten().find(|one| says(one, what)) {
            return one.clone();
        }
        assert!(began.elapsed() < LONG, "{what}: {found:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Waits until the doctor finds nothing of another cluster: whatever it finds names one of its servers, or all.
async fn until_well(cluster: &Cluster, servers: &[String]) {
    let began = Instant::now();
    loop {
        let found = examined(cluster).await;
        let of_them = |one: &Value| servers.iter().any(|server| says(one, server));
        if found.as_ref().is_some_and(|found| !found.iter().any(of_them)) {
            return;
        }
        assert!(began.elapsed() < LONG, "{found:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// The other site is gone for good: this one accepts writes on a word, and that one does not come back into it.
async fn outlive(a: &Cluster, b: &mut Cluster) {
    let slot = until_found(a, "no slot holds WAL for this cluster").await;
    assert!(addresses(b).iter().any(|server| says(&slot, server)), "it names one of them: {slot}");
    for member in b.playground.names() {
        b.playground.kill_host(&member).expect("it ran");
    }
    let silent = until_found(a, "nobody of the other cluster answers").await;
    assert!(addresses(b).iter().any(|server| says(&silent, server)), "it names them: {silent}");
    let (code, said) = a.haactl(&["status"]);
    assert!(code == 1 && said.contains("receives nothing"), "{said}");
    let began = Instant::now();
    let (code, said) = a.haactl(&["promote-cluster", "--yes"]);
    assert_eq!(code, 0, "{said}");
    a.write_until_acknowledged(5).await;
    println!("without the other site, writes go on after {:?}", began.elapsed());
    have_rows(a, 5).await;
    for member in b.playground.names() {
        b.playground.start_member(&member).expect("it starts");
    }
    b.write_until_acknowledged(6).await;
    let (code, said) = b.haactl(&["demote-cluster", "--to", &addresses(a).join(","), "--yes"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("no standby cluster streams from this one"), "{said}");
    have_rows(a, 5).await;
}

/// The two change places.
async fn swap(a: &Cluster, b: &Cluster) {
    let (code, said) = b.haactl(&["promote-cluster", "--at-least", "1:FFFF/0", "--yes"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("FFFF/0 on timeline 1 was asked for"), "{said}");
    let began = Instant::now();
    let to = addresses(b).join(",");
    let (code, said) = a.haactl(&["demote-cluster", "--to", &to, "--yes"]);
    assert_eq!(code, 0, "{said}");
    assert!(a.route().await.is_none() && a.writable().await.is_empty(), "{said}");
    let all = said.rsplit("--at-least ").next().map(str::trim).expect("it says from where on");
    let (code, said) = b.haactl(&["promote-cluster", "--at-least", all, "--yes"]);
    assert_eq!(code, 0, "{said}");
    println!("writes go on at the other site after {:?}", began.elapsed());
    b.write_until_acknowledged(4).await;
    until_follows(a).await;
    have_rows(a, 4).await;
    have_rows(b, 4).await;
    assert!(a.writable().await.is_empty());
    let (code, said) = b.haactl(&["promote-cluster", "--yes"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("accepts writes already"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sites_change_places_and_lose_nothing() {
    let a = Cluster::start_with(|options| options.members(2)).await;
    a.write_until_acknowledged(1).await;
    a.all_go_by(a.haactl(&["settings", "set", "slots.site_b.type=physical"])).await;
    let hosts = addresses(&a);
    let tells = r#"echo "$HAA_OLD_ROLE>$HAA_ROLE" >> "$HAA_DATA_DIRECTORY.told""#;
    let tells = vec!["/bin/sh", "-c", tells];
    let extra = toml::toml! {
        [bootstrap]
        method = "standby"
        standby_of = hosts
        standby_slot = "site_b"
        [hooks]
        on_role_change = tells
    };
    // Its leader's lease ends soon.
    let settings = toml::toml! {
        timing.ttl = "4s"
        timing.round = "1s"
        timing.margin = "1s"
    };
    let mut b = Cluster::prepare(|options| options.members(2).extra(extra).settings(settings));
    same_secrets(&a, &b);
    b.playground.start_all().await.expect("everything starts");
    let leader = until_follows(&b).await;
    have_rows(&b, 1).await;

    // Members of the same names, and none is taken for the other.
    assert!(b.writable().await.is_empty());
    for (path, code) in [("/standby-leader", 200), ("/primary", 503), ("/read-only", 200)] {
        b.until_answered(&name(&leader), path, (code, "*")).await;
    }
    let began = Instant::now();
    let said = loop {
        // The agents hear of each other's state one after the other.
        let (code, said) = b.haactl(&["status"]);
        if code == 0 {
            break said;
        }
        assert!(began.elapsed() < LONG, "{said}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert!(said.contains("this is a standby of the cluster at 127.0.0.1:"), "{said}");

    until_told(&b, &name(&leader), "replica>standby_leader").await;
    until_well(&b, &addresses(&a)).await;

    let leader = operate(&a, &b, &name(&leader)).await;

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

    swap(&a, &b).await;
    until_told(&b, &b.primary().await, ">primary").await;
    outlive(&a, &mut b).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_stopped_where_nobody_follows() {
    let a = Cluster::start_with(|options| options.members(1)).await;
    let (code, said) = a.haactl(&["demote-cluster", "--to", "127.0.0.1:1", "--yes"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("no standby cluster streams from this one"), "{said}");
    a.write_until_acknowledged(1).await;
}
