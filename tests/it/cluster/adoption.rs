//! A new cluster around data that were there before: adopted, with their own configuration, and nothing in it edited.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::fixture::{Cluster, LONG, name};

/// What operations.md tells to run before; `$` stands for the passwords.
const ROLES: &str = "\
CREATE ROLE haa_replication LOGIN REPLICATION PASSWORD '$replication';
CREATE ROLE haa_rewind LOGIN PASSWORD '$rewind';
GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text, boolean, boolean) TO haa_rewind;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_stat_file(text, boolean) TO haa_rewind;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_binary_file(text) TO haa_rewind;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean) TO haa_rewind;
";

/// A Postgres that somebody has had for years, stopped in order.
fn existing(cluster: &Cluster, data: &Path) {
    let member = name("n1");
    let secret = |role: &str| cluster.password_file(&member, role);
    let made = Command::new(cluster.postgres_program("initdb"))
        .args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "-D"])
        .arg(data)
        .arg(format!("--pwfile={}", secret("superuser").display()))
        .output()
        .expect("initdb runs");
    assert!(made.status.success(), "{made:?}");
    let own = data.join("postgresql.conf");
    let text = std::fs::read_to_string(&own).expect("it is there");
    std::fs::write(&own, text + "work_mem = '7MB' # ours\n").expect("it can be written");
    // In another encoding, as an editor of old may have left it.
    std::fs::write(data.join("postgresql.auto.conf"), b"# caf\xe9\n").expect("written");
    let password = |role: &str| std::fs::read_to_string(secret(role)).expect("a password");
    let mut sql = ROLES.to_owned();
    for role in ["replication", "rewind"] {
        sql = sql.replace(&format!("${role}"), password(role).trim());
    }
    sql +=
        "CREATE TABLE t (id bigint PRIMARY KEY);\nINSERT INTO t SELECT generate_series(1, 500);\n";
    let mut single = Command::new(cluster.postgres_program("postgres"))
        .args(["--single", "-D"])
        .arg(data)
        .args(["-cexit_on_error=on", "postgres"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("postgres runs");
    let mut stdin = single.stdin.take().expect("piped");
    stdin.write_all(sql.as_bytes()).expect("it reads");
    drop(stdin);
    assert!(single.wait().expect("it ends").success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_cluster_adopts_the_data_of_its_first_member() {
    let settings = toml::toml! { timing.gather_timeout = "2s" };
    let mut cluster = Cluster::prepare(|options| options.settings(settings));
    let (first, second) = (name("n1"), name("n2"));
    let data = cluster.playground.data(&first);
    existing(&cluster, &data);
    let own = std::fs::read(data.join("postgresql.conf")).expect("it is there");
    cluster.playground.start_etcd().await.expect("etcd starts");
    cluster.playground.start_member(&first).expect("it starts");
    assert_eq!(cluster.primary().await, first);
    cluster.has_rows(&first, 500).await;
    cluster.write_until_acknowledged(501).await;
    cluster.playground.start_member(&second).expect("it starts");
    cluster.playground.wait_member_streams(&second, LONG).await.expect("it is cloned");
    cluster.has_rows(&second, 501).await;
    for member in [&first, &second] {
        let at = cluster.playground.postgres(member);
        let client = cluster.connect(&at).await.expect("it accepts");
        let shown = client.query_one("SHOW work_mem", &[]).await.expect("it answers");
        assert_eq!(
            shown.get::<_, &str>(0),
            "7MB",
            "{member} includes the data's own configuration"
        );
    }
    assert_eq!(
        std::fs::read(data.join("postgresql.conf")).expect("it is there"),
        own,
        "not edited"
    );
    let left = std::fs::read(data.join("postgresql.auto.conf")).expect("it is there");
    assert_eq!(left, b"# caf\xe9\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_cluster_is_made_of_a_backup_and_the_others_are_cloned_from_it() {
    let mut cluster = Cluster::prepare(|options| options);
    let backup = cluster.playground.directory().join("backup");
    existing(&cluster, &backup);
    let copy = format!("cp -a {}/. \"$HAA_DATA_DIRECTORY\"", backup.display());
    for member in cluster.playground.names() {
        let own = format!(
            "\n[bootstrap]\nmethod = \"command\"\ncommand = [\"/bin/sh\", \"-c\", '{copy}']\n\
             [[clone.method]]\nname = \"tape\"\ncommand = [\"/bin/sh\", \"-c\", 'echo torn; exit 1']\n"
        );
        cluster.edit(&member, |text| text + &own);
    }
    cluster.playground.start_all().await.expect("everything starts");
    cluster.all_stream().await;
    let primary = cluster.primary().await;
    for member in cluster.playground.names() {
        cluster.has_rows(&member, 500).await;
        let log = cluster.log(&member);
        assert_eq!(log.contains("a new cluster is made of the backup"), member == primary, "{log}");
        assert_eq!(log.contains("torn"), member != primary, "the next method is tried: {log}");
    }
    cluster.write_until_acknowledged(501).await;
}
