//! A replica that was away until its primary had thrown away the WAL that it needs, and one that lives on the archive:
//! whole clusters, with agents.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Instant;

use haa_core::units::MemberName;

use super::fixture::{Cluster, LONG};

/// Everybody throws away WAL as soon as it may.
async fn forgetful() -> Cluster {
    let mut cluster = Cluster::prepare(|options| options);
    for member in cluster.playground.names() {
        cluster.edit(&member, |text| {
            let more = "[postgres.parameters]\nwal_keep_size = \"0\"\nmin_wal_size = \"32MB\"\n";
            match text.contains("[postgres.parameters]\n") {
                true => text.replace("[postgres.parameters]\n", more),
                false => format!("{text}\n{more}"),
            }
        });
    }
    cluster.playground.start_all().await.expect("everything starts");
    cluster.all_stream().await;
    cluster.execute("CREATE TABLE t (id bigint PRIMARY KEY)").await;
    cluster.all_vote().await;
    cluster
}

/// The data directory itself: a clone puts another in its place.
fn inode(cluster: &Cluster, member: &MemberName) -> u64 {
    std::fs::metadata(cluster.playground.data(member)).expect("it has data").ino()
}

/// Kills the replica's host; the primary goes on until it has nothing any more that the replica needs next.
async fn leave_behind(cluster: &Cluster, primary: &MemberName, replica: &MemberName) -> i64 {
    let client = cluster.connect(&cluster.playground.postgres(primary)).await.expect("it accepts");
    let row = client.query_one("SELECT pg_walfile_name(pg_current_wal_lsn())", &[]).await;
    let needed: String = row.expect("it answers").get(0);
    let needed = cluster.playground.data(primary).join("pg_wal").join(needed);
    cluster.playground.kill_host(replica).expect("it ran");
    let slot = format!("haa_{replica}");
    let (began, mut rows) = (Instant::now(), 0);
    while needed.exists() {
        assert!(began.elapsed() < LONG, "{} stays", needed.display());
        rows += 1;
        // The agent makes it again, and then it holds what is there.
        let dropped = format!(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
             WHERE slot_name = '{slot}' AND NOT active"
        );
        for sql in [
            dropped.as_str(),
            &format!("INSERT INTO t VALUES ({rows})"),
            "SELECT pg_switch_wal()",
            "CHECKPOINT",
        ] {
            client.batch_execute(sql).await.expect("it runs");
        }
    }
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_was_away_for_too_long_gets_its_wal_from_another() {
    let mut cluster = forgetful().await;
    let primary = cluster.primary().await;
    let replica = cluster.other_than(&primary);
    let before = inode(&cluster, &replica);
    let rows = leave_behind(&cluster, &primary, &replica).await;
    cluster.playground.start_member(&replica).expect("it starts");
    cluster.has_rows(&replica, rows).await;
    cluster.all_stream().await;
    let log = cluster.log(&replica);
    assert!(log.contains("fetched a WAL segment"), "{log}");
    assert_eq!(inode(&cluster, &replica), before, "it was not cloned: {log}");
    cluster.all_vote().await;
}

/// Three members with an archive of their own.
async fn archived(archive: &Path) -> Cluster {
    let archive = archive.display();
    let command = format!("test ! -f {archive}/%f && cp %p {archive}/%f");
    let restore = format!("cp {archive}/%f %p");
    let durability = toml::toml! { durability = "quorum" };
    let more = toml::toml! {
        postgres.restore_command = restore
        postgres.parameters = { archive_mode = "on", archive_command = command }
    };
    let cluster = Cluster::start_with(|options| options.settings(durability).extra(more)).await;
    cluster.all_vote().await;
    cluster
}

impl Cluster {
    /// A row more, and all of it in the archive soon.
    async fn archives(&self, row: i64) {
        self.execute(&format!("INSERT INTO t VALUES ({row})")).await;
        self.execute("SELECT pg_switch_wal()").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_tagged_nostream_lives_on_the_archive_and_follows_a_failover() {
    let archive = tempfile::Builder::new().prefix("haa-it-archive-").tempdir_in("/tmp");
    let archive = archive.expect("a temporary directory");
    std::fs::set_permissions(archive.path(), std::fs::Permissions::from_mode(0o777))
        .expect("whoever runs Postgres may write");
    let mut cluster = archived(archive.path()).await;
    let primary = cluster.primary().await;
    let reader = cluster.other_than(&primary);
    cluster.tag(&reader, "nostream = true");
    cluster.until_said(&primary, "in archive recovery").await;
    cluster.archives(1).await;
    cluster.has_rows(&reader, 1).await;
    let client = cluster.connect(&cluster.playground.postgres(&primary)).await.expect("it accepts");
    let (began, streams) = (Instant::now(), "SELECT FROM pg_stat_replication");
    while client.query(streams, &[]).await.expect("it answers").len() != 1 {
        assert!(began.elapsed() < LONG, "only the other one is to stream");
    }
    drop(client);
    let healthy = |code: i32, said: &str| code == 0 && said.starts_with("HEALTHY");
    cluster.until_haactl(&["status"], healthy).await;

    cluster.playground.kill_host(&primary).expect("it ran");
    cluster.another_leads(&primary).await;
    cluster.archives(2).await;
    cluster.has_rows(&reader, 2).await;
    assert_eq!(cluster.log(&reader).matches("rewinding").count(), 0);

    cluster.tag(&reader, "");
    cluster.playground.start_member(&primary).expect("it starts");
    cluster.all_stream().await;
    cluster.all_vote().await;
}
