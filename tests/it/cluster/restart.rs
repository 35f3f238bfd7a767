//! Restarts of Postgres that an operator asks for: one member's, or all, one after the other; never two at a time.

use std::time::{Duration, Instant};

use haa_core::units::MemberName;

use super::fixture::{Cluster, LONG};

/// When a member's Postgres was started, as it says itself.
async fn started(cluster: &Cluster, member: &MemberName) -> String {
    let address = cluster.playground.postgres(member);
    let client = cluster.connect(&address).await.expect("it accepts");
    let row = client.query_one("SELECT pg_postmaster_start_time()::text", &[]).await;
    row.expect("it answers").get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_is_done_when_the_member_is_as_it_was() {
    let (mut cluster, primary, replica) = Cluster::start_voting().await;

    let before = started(&cluster, &replica).await;
    let (code, said) = cluster.haactl(&["restart", replica.as_str()]);
    assert_eq!(code, 0, "{said}");
    assert_ne!(started(&cluster, &replica).await, before);
    cluster.until_answered(&replica, "/sync", (200, "*")).await;

    let before = started(&cluster, &primary).await;
    for (arguments, why) in [
        (vec!["restart", primary.as_str()], "haactl switchover first"),
        (vec!["restart", primary.as_str(), "--in-place"], "say --yes"),
        (vec!["restart", "--rolling"], "say --yes"),
        (vec!["restart", "n9"], "there is no member 'n9'"),
    ] {
        let (code, said) = cluster.haactl(&arguments);
        assert_eq!(code, 1, "{arguments:?}: {said}");
        assert!(said.contains(why), "{arguments:?}: {said}");
    }
    assert_eq!(started(&cluster, &primary).await, before, "nothing was stopped");

    cluster.write_until_acknowledged(1).await;
    let (code, said) = cluster.haactl(&["restart", primary.as_str(), "--in-place", "--yes"]);
    let leads = cluster.primary().await == primary;
    assert_eq!(leads, code == 0, "the answer is what is so: {said}");
    // On a slow machine another one may lead before it is back.
    let slow = said.contains("did not come back in time");
    assert!(leads || slow, "{said}");
    if leads {
        assert_ne!(started(&cluster, &primary).await, before);
    }
    cluster.write_until_acknowledged(2).await;
    let (_, events) = cluster.haactl(&["events"]);
    assert!(events.contains(&format!("restart {primary} in place")), "{events}");
    what_does_not_start_is_told(&mut cluster).await;
}

/// A library that is missing here: the member comes back without it, and no rolling restart would go on.
async fn what_does_not_start_is_told(cluster: &mut Cluster) {
    cluster.all_stream().await;
    let replica = cluster.other_than(&cluster.primary().await);
    cluster.edit(&replica, |text| {
        let library = "[postgres.parameters]\nshared_preload_libraries = \"nothing_such\"";
        text.replace("[postgres.parameters]", library)
    });
    cluster.playground.kill_agent(&replica).expect("it ran");
    cluster.playground.start_member(&replica).expect("it can be started");
    let began = Instant::now();
    while !cluster.haactl(&["list"]).1.contains("pending restart: shared_preload_libraries") {
        assert!(began.elapsed() < LONG, "it is not said: {}", cluster.haactl(&["list"]).1);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (code, said) = cluster.haactl(&["restart", replica.as_str()]);
    assert_eq!(code, 1, "{said}");
    let told = "was restarted, and streams, but not with all: Postgres did not start: ";
    assert!(said.contains(told) && said.contains("nothing_such"), "{said}");
    let (code, said) = cluster.haactl(&["status"]);
    assert!(said.contains("nothing_such"), "{code}: {said}");
    let (code, said) = cluster.haactl(&["reload", replica.as_str()]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("Postgres does not go by all of it"), "{said}");
}

/// Waits until all three are known to wait for a restart, for this.
async fn all_wait(cluster: &Cluster, change: &str) {
    let line = format!("pending restart: {change}");
    cluster.until_haactl(&["list"], |_, list| list.matches(&line).count() == 3).await;
}

/// Taken out, it is 100 again: what a replica may not have less of is less on the primary first, without a switchover.
async fn less_than_the_data_ask_for(cluster: &Cluster) {
    let leads = cluster.primary().await;
    let set = cluster.haactl(&["settings", "set", "postgres.parameters.max_connections="]);
    cluster.all_go_by(set).await;
    all_wait(cluster, "max_connections 120 -> 100").await;
    let (code, said) =
        cluster.haactl(&["restart", "--rolling", "--at", "2099-01-01T03:00", "--yes"]);
    assert!(code == 1 && said.contains("max_connections is to be lower"), "{code}: {said}");
    // A replica that is restarted before goes on with what its data ask for.
    let replica = cluster.other_than(&leads);
    let (code, said) = cluster.haactl(&["restart", replica.as_str()]);
    assert_eq!(code, 0, "{said}");
    cluster.until_shown(&replica, "max_connections", "120").await;
    cluster.all_stream().await;
    let (code, said) = cluster.haactl(&["restart", "--rolling", "--yes"]);
    // On a slow machine another one may lead before it is back.
    let slow = said.contains("did not come back in time");
    assert_eq!(code == 0, !slow, "{said}");
    if slow {
        return crate::postgres::note("the primary was too slow to lead again");
    }
    assert_eq!(cluster.primary().await, leads, "{said}");
    for member in cluster.playground.names() {
        cluster.until_shown(&member, "max_connections", "100").await;
    }
    cluster.until_haactl(&["list"], |_, list| !list.contains("pending restart")).await;
    let (_, list) = cluster.haactl(&["history"]);
    assert!(!list.contains("discarded"), "{list}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_reaches_everybody_unless_somebody_is_down() {
    let cluster = Cluster::start().await;
    cluster.all_vote().await;
    cluster.write_until_acknowledged(1).await;
    let old = cluster.primary().await;
    // More than the data were run with: no order is to be kept by hand.
    let pair = "postgres.parameters.max_connections=120";
    cluster.all_go_by(cluster.haactl(&["settings", "set", pair])).await;
    all_wait(&cluster, "max_connections 100 -> 120").await;
    let mut before = Vec::new();
    for member in cluster.playground.names() {
        before.push((started(&cluster, &member).await, member));
    }
    let (code, said) = cluster.haactl(&["restart", "--rolling", "--yes"]);
    assert_eq!(code, 0, "{said}");
    assert_ne!(cluster.primary().await, old);
    for (then, member) in before {
        assert_ne!(started(&cluster, &member).await, then, "{member}: {said}");
        cluster.until_shown(&member, "max_connections", "120").await;
    }
    // Nobody waits any more.
    cluster.until_haactl(&["list"], |_, list| !list.contains("pending restart")).await;
    let leads = cluster.primary().await;
    let (code, said) = cluster.haactl(&["restart", "--rolling", "--pending", "--yes"]);
    assert_eq!((code, said.trim()), (0, "no member is known to wait for a restart"));
    assert_eq!(cluster.primary().await, leads);
    less_than_the_data_ask_for(&cluster).await;
    cluster.write_until_acknowledged(2).await;

    let primary = cluster.primary().await;
    cluster.playground.kill_agent(&old).expect("it ran");
    cluster.playground.kill_postgres(&old).expect("it ran");
    let (code, said) = cluster.haactl(&["restart", "--rolling", "--yes"]);
    assert_eq!(code, 1, "{said}");
    assert_eq!(cluster.primary().await, primary, "it stopped before: {said}");
    for member in cluster.playground.names().into_iter().filter(|name| *name != old) {
        cluster.has_rows(&member, 2).await;
    }
}
