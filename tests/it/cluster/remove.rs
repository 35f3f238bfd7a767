//! A member that is gone for good: forgotten at once, its slot with it; one that lives is not.

use haa_core::units::MemberName;

use super::fixture::{Cluster, LONG};

/// Whether the primary keeps WAL for it.
async fn has_slot(cluster: &Cluster, primary: &MemberName, member: &MemberName) -> bool {
    let client = cluster.connect(&cluster.playground.postgres(primary)).await.expect("it accepts");
    let count = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1::text::name";
    let row = client.query_one(count, &[&member.slot()]).await.expect("it answers");
    row.get::<_, i64>(0) == 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_gone_is_forgotten_with_its_slot() {
    let (mut cluster, primary, gone) = Cluster::start_voting().await;
    for (member, why) in [
        (gone.as_str(), "stop its agent first"),
        (primary.as_str(), "haactl switchover first"),
        ("n9", "there was no member n9 here"),
    ] {
        let (code, said) = cluster.haactl(&["remove", member, "--yes"]);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(why), "{said}");
    }
    let (code, said) = cluster.haactl(&["remove", gone.as_str()]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("say --yes"), "{said}");
    assert!(has_slot(&cluster, &primary, &gone).await);

    cluster.playground.kill_host(&gone).expect("it ran");
    let away = |view: &haa::ctl::documents::ClusterView| {
        let votes = |view: &haa::ctl::documents::ClusterView| {
            let commits = view.commits.as_ref();
            commits.is_none_or(|commits| commits.voters.iter().any(|name| name == gone.as_str()))
        };
        view.members.iter().all(|member| member.name != gone.as_str()) && !votes(view)
    };
    cluster.playground.wait_cluster("it is gone", LONG, away).await.expect("its lease ends");
    assert!(has_slot(&cluster, &primary, &gone).await, "its slot is kept for it");
    let (code, said) = cluster.haactl(&["remove", gone.as_str(), "--yes"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(&format!("{gone} is forgotten")), "{said}");
    assert!(!has_slot(&cluster, &primary, &gone).await);
    let (code, said) = cluster.haactl(&["remove", gone.as_str(), "--yes"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("there was no member"), "{said}");

    cluster.write_until_acknowledged(1).await;
    cluster.playground.revive(&gone).expect("it starts");
    cluster.all_stream().await;
    cluster.all_vote().await;
    assert!(has_slot(&cluster, &primary, &gone).await);
    let (_, events) = cluster.haactl(&["events"]);
    assert!(events.contains(&format!("remove {gone}")), "{events}");
}
