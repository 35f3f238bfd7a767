//! Members whose data directory can take no clone: each is told, and nothing is copied. Needs root for file systems.

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
