//! Where data lie that a clone is to replace or to bring: what has no room, or lies elsewhere, is told.

use haa_core::effect::Job;
use haa_core::observe::DataDir;

use super::member::Member;
use super::root;
use crate::support::small_disk;

/// What may not be measured is found when the copy is under way. The half of it goes.
#[test]
fn a_full_disk_ends_a_clone_and_nothing_else() {
    let Some(small) = small_disk("48m") else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let root = root();
        let mut a = Member::new("a", root.path());
        let mut b = Member::new("b", &small);
        a.become_primary(2, &[]).await;
        a.sql("CREATE DATABASE secret").await;
        let mut secret = a.client_config();
        let (client, connection) =
            secret.dbname("secret").connect(tokio_postgres::NoTls).await.expect("it accepts");
        tokio::spawn(connection);
        let fill = "CREATE TABLE t AS SELECT n, repeat('x', 1000) FROM generate_series(1, 50000) n";
        client.batch_execute(fill).await.expect("a table");
        a.sql("REVOKE CONNECT ON DATABASE secret FROM PUBLIC").await;
        let why = b.failed(Job::Clone(a.source())).await;
        assert!(why.contains("No space left on device"), "{why}");
        assert_eq!(b.facts(|_| true).await.data, DataDir::Empty);
        assert!(!b.config.data_directory.with_file_name("data.clone").exists());
        a.primary(|_| true).await;
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wal_on_a_disk_of_its_own_is_not_lost_to_a_clone() {
    let root = root();
    let mut a = Member::new("a", root.path());
    let mut b = Member::new("b", root.path());
    a.become_primary(2, &[]).await;
    b.done(Job::Clone(a.source())).await;
    let (wal, elsewhere) = (b.config.data_directory.join("pg_wal"), root.path().join("wal"));
    std::fs::rename(&wal, &elsewhere).expect("moved");
    std::os::unix::fs::symlink(&elsewhere, &wal).expect("a link");
    let why = b.failed(Job::Clone(a.source())).await;
    assert!(why.contains("is a link to") && why.contains("move the data directory away"), "{why}");
    assert!(elsewhere.exists() && wal.is_symlink());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tablespaces_are_told_before_a_clone_whether_here_or_at_the_source() {
    let root = root();
    let mut a = Member::new("a", root.path());
    let mut b = Member::new("b", root.path());
    a.become_primary(2, &[]).await;
    b.done(Job::Clone(a.source())).await;
    let place = root.path().join("fast");
    std::fs::create_dir(&place).expect("a directory");
    let make = format!("CREATE TABLESPACE fast LOCATION '{}'", place.display());
    a.sql(&make).await;
    let why = b.failed(Job::Clone(a.source())).await;
    assert!(why.contains("a has tablespaces (fast)") && why.contains("pg_default"), "{why}");
    std::os::unix::fs::symlink(&place, b.config.data_directory.join("pg_tblspc/1"))
        .expect("a link");
    let why = b.failed(Job::Clone(a.source())).await;
    assert!(why.contains("has 1 tablespace(s)"), "{why}");
    a.sql("DROP TABLESPACE fast").await;
    std::fs::remove_file(b.config.data_directory.join("pg_tblspc/1")).expect("removed");
    b.done(Job::Clone(a.source())).await;
}
