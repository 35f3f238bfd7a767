//! Tags of a member, given and taken while the cluster runs: who is read, who votes, who leads next, and of whom copies
//! are made.

use std::time::Instant;

use haa::playground::Part;
use haa_core::units::MemberName;

use super::fixture::{Cluster, LONG};

impl Cluster {
    /// These tags and no others, without a restart of anything.
    pub(crate) fn tag(&self, member: &MemberName, tags: &str) {
        self.edit(member, |text| {
            let mut table: toml::Table = text.parse().expect("TOML");
            let tags: toml::Table = tags.parse().expect("TOML");
            table.insert("tags".to_owned(), toml::Value::Table(tags));
            table.to_string()
        });
        let (code, said) = self.haactl(&["reload", member.as_str()]);
        assert_eq!(code, 0, "{said}");
    }

    async fn stands_well(&self) {
        self.all_stream().await;
        self.all_vote().await;
        self.all_may_lead().await;
    }
}

/// The replicas: the one that leads next of two that are alike, and the other.
fn replicas(cluster: &Cluster, primary: &MemberName) -> (MemberName, MemberName) {
    let mut others = cluster.playground.names().into_iter().filter(|name| name != primary);
    (others.next().expect("three"), others.next().expect("three"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tags_are_heeded_as_soon_as_they_are_read() {
    let cluster = Cluster::start().await;
    cluster.stands_well().await;
    readers(&cluster).await;
    copies(&cluster).await;
    voters(&cluster).await;
    leaders(&cluster).await;
}

/// `noloadbalance`, and a free tag that readers ask for.
async fn readers(cluster: &Cluster) {
    let primary = cluster.primary().await;
    let (first, second) = replicas(cluster, &primary);
    let at = |member: &MemberName| cluster.playground.postgres(member).to_string();
    let both = format!("{}\n{}", at(&first), at(&second));
    let read = "/routes/read?format=hostport";
    cluster.until_answered(&primary, read, (200, &both)).await;
    cluster.tag(&first, "noloadbalance = true\nshelf = \"fast\"");
    cluster.until_answered(&primary, read, (200, &at(&second))).await;
    cluster.until_answered(&first, "/replica", (503, "*")).await;
    cluster.until_answered(&second, "/replica", (200, "*")).await;
    cluster.tag(&first, "shelf = \"fast\"");
    let fast = "/routes/read?format=hostport&tag_shelf=fast";
    cluster.until_answered(&primary, fast, (200, &at(&first))).await;
    cluster.until_answered(&first, "/replica?tag_shelf=fast", (200, "*")).await;
    cluster.until_answered(&second, "/replica?tag_shelf=fast", (503, "*")).await;
    cluster.until_haactl(&["list"], |_, list| list.contains("shelf")).await;
    cluster.tag(&first, "");
    cluster.until_answered(&primary, fast, (503, "*")).await;
}

/// `clonefrom`
async fn copies(cluster: &Cluster) {
    let primary = cluster.primary().await;
    let (first, second) = replicas(cluster, &primary);
    cluster.tag(&first, "clonefrom = true");
    cluster.until_said(&second, r#""clonefrom":true"#).await;
    let before = cluster.log(&second).matches("Clone").count();
    let (code, said) = cluster.haactl(&["reinit", second.as_str(), "--yes"]);
    assert_eq!(code, 0, "{said}");
    let log = cluster.log(&second);
    assert!(log.matches("Clone").count() > before, "no clone since: {log}");
    let mut clones = log.lines().filter(|line| line.contains("Clone"));
    let last = clones.next_back().expect("it was cloned");
    let of = |member: &MemberName| cluster.playground.postgres(member).port.to_string();
    assert!(last.contains(&of(&first)) && !last.contains(&of(&primary)), "{last}");
    cluster.tag(&first, "");
    cluster.stands_well().await;
}

/// `site` and `failover_priority`: without them the other one would lead.
async fn leaders(cluster: &Cluster) {
    let primary = cluster.primary().await;
    let (first, second) = replicas(cluster, &primary);
    for (member, site) in [(&primary, "paris"), (&first, "lyon"), (&second, "paris")] {
        cluster.tag(member, &format!("site = \"{site}\""));
    }
    for one in cluster.playground.names() {
        cluster.until_said(&one, r#""site":"lyon""#).await;
        cluster.until_said(&one, r#""site":"paris""#).await;
    }
    // Whoever has more goes before whoever is of the same site.
    let client = cluster.connect(&cluster.playground.postgres(&primary)).await.expect("it accepts");
    let alike = "SELECT 1 FROM pg_stat_replication \
                 HAVING count(*) = 2 AND min(flush_lsn) = max(flush_lsn)";
    let began = Instant::now();
    while client.query(alike, &[]).await.expect("it answers").is_empty() {
        assert!(began.elapsed() < LONG, "one of the replicas stays behind");
    }
    let (code, said) = cluster.haactl(&["switchover", "--yes"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(cluster.primary().await, second, "the one of the same site: {said}");
    cluster.stands_well().await;

    // The number comes before the site.
    let (first, other) = replicas(cluster, &second);
    let (same, far) = if first == primary { (first, other) } else { (other, first) };
    cluster.tag(&far, "site = \"lyon\"\nfailover_priority = 5");
    cluster.until_said(&same, r#""failover_priority":5"#).await;
    cluster.write_until_acknowledged(2).await;
    for member in [&same, &far] {
        cluster.has_rows(member, 2).await;
    }
    // The second best is not to stand before the best has.
    cluster.all_go_by(cluster.haactl(&["settings", "set", "timing.stagger=3s"])).await;
    cluster.playground.kill(&second, Part::Host).expect("it ran");
    cluster.write_until_acknowledged(3).await;
    assert_eq!(cluster.primary().await, far, "the one with the larger number");
}

/// `nosync`
async fn voters(cluster: &Cluster) {
    let primary = cluster.primary().await;
    let (first, second) = replicas(cluster, &primary);
    cluster.tag(&first, "nosync = true");
    cluster.until_answered(&first, "/sync", (503, "*")).await;
    cluster.until_answered(&first, "/replica", (200, "*")).await;
    cluster.until_answered(&second, "/sync", (200, "*")).await;
    cluster.write_until_acknowledged(1).await;
    let (code, said) = cluster.haactl(&["switchover", "--to", first.as_str(), "--yes"]);
    assert_eq!(code, 1, "{said}");
    assert_eq!(cluster.primary().await, primary);
    cluster.tag(&first, "");
    cluster.stands_well().await;
}
