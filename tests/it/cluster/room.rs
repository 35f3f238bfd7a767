//! Members whose disks have no room: for a clone, which is told before anything is copied, and for what a primary
//! writes. Needs root for file systems.

use std::path::Path;

use haa_core::units::MemberName;

use super::fixture::{Cluster, haad, name};
use crate::support;

fn keeps_data_in(cluster: &Cluster, member: &MemberName, directory: &Path) {
    let quoted = |path: &Path| format!("\"{}\"", path.display());
    let data = quoted(&cluster.playground.data(member));
    cluster.edit(member, |text| text.replace(&data, &quoted(directory)));
}

/// After n1, which initialises the cluster.
async fn joins(cluster: &mut Cluster, member: &MemberName) {
    cluster.playground.start_etcd().await.expect("etcd starts");
    cluster.playground.start_member(&name("n1")).expect("it starts");
    cluster.primary().await;
    cluster.playground.start_member(member).expect("it starts");
}

/// The cluster's databases are larger: that is said before anything is copied, and nothing else is touched.
#[test]
fn a_disk_without_room_for_a_clone_is_told_before_it_is_filled() {
    let Some(mount) = support::small_disk("16m") else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut cluster = Cluster::prepare(|options| options);
        let member = name("n2");
        keeps_data_in(&cluster, &member, &mount.join("data"));
        joins(&mut cluster, &member).await;
        cluster.says(&member, "no room for a clone: the databases of n1 take").await;
        assert!(!cluster.log(&member).contains("cloning:"), "{}", cluster.log(&member));
        assert!(!mount.join("data.clone").exists());
        cluster.execute("CREATE TABLE t (id bigint)").await;
    });
}

/// Nothing can take its place, so nothing is copied.
#[test]
fn a_data_directory_that_is_a_mount_point_is_refused_before_the_copy() {
    let Some(mount) = support::small_disk("16m") else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut cluster = Cluster::prepare(|options| options);
        let member = name("n2");
        keeps_data_in(&cluster, &member, &mount);
        let (code, said) = haad("check", &cluster.playground.config(&member));
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("is a mount point"), "{said}");
        joins(&mut cluster, &member).await;
        cluster.says(&member, "is a mount point").await;
        assert!(!cluster.log(&member).contains("cloning:"), "{}", cluster.log(&member));
    });
}

/// What a client wrote is there, and nobody can write more: another member has room.
#[test]
fn a_primary_whose_disk_is_full_lets_one_lead_that_has_room() {
    let Some(mount) = support::small_disk("224m") else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut cluster = Cluster::prepare(|options| options);
        let (first, rest) = (name("n1"), [name("n2"), name("n3")]);
        keeps_data_in(&cluster, &first, &mount.join("data"));
        joins(&mut cluster, &rest[0]).await;
        cluster.playground.start_member(&rest[1]).expect("it starts");
        cluster.all_stream().await;
        cluster.all_vote().await;
        cluster.execute("CREATE TABLE t AS SELECT 1 AS id").await;
        let filler = mount.join("filler");
        fill(&filler);
        cluster.says(&first, "is full: tables cannot grow").await;
        cluster.says(&first, "the primary's disk is full, and another member's is not").await;
        let began = std::time::Instant::now();
        cluster.another_leads(&first).await;
        println!("another accepts writes after {:?}", began.elapsed());
        cluster.execute("INSERT INTO t VALUES (2)").await;
        std::fs::remove_file(&filler).expect("removed");
        cluster.all_stream().await;
        cluster.has_rows(&first, 2).await;
    });
}

/// Until nothing more fits in.
fn fill(path: &Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).expect("made");
    while file.write_all(&[1; 64 << 10]).is_ok() {}
}
