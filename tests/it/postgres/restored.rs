//! Backups that an operator's program restores: which of them becomes a member's data, and why not the others. Never an
//! agent.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use haa::config::{self, Cloning, Method};
use haa_core::effect::Job;
use haa_core::input::JobResult;
use haa_core::observe::{DataDir, Door};
use haa_core::units::Timeline;

use super::member::Member;
use super::{root, waited};

/// A shell that is given a directory to restore into.
fn shell(script: &str) -> config::Command {
    let arguments = vec!["-c".to_owned(), script.to_owned()];
    config::Command { program: PathBuf::from("/bin/sh"), arguments }
}

fn methods(scripts: &[&str]) -> Cloning {
    let method = |(number, script): (usize, &&str)| Method {
        name: format!("way{number}"),
        command: shell(script),
        timeout: Duration::from_secs(60),
    };
    let methods = scripts.iter().enumerate().map(method).collect();
    Cloning { methods, basebackup: false, ..Cloning::default() }
}

/// A primary with an archive.
async fn archiving(root: &Path, slots: &[&Member]) -> Member {
    let archive = root.join("archive");
    std::fs::create_dir_all(&archive).expect("a temporary directory");
    let mut a = Member::new("a", root);
    for (name, value) in
        [("archive_mode", "on"), ("archive_command", &format!("cp %p {}/%f", archive.display()))]
    {
        a.config.parameters.insert(name.to_owned(), value.to_owned());
    }
    a.again().await;
    a.become_primary(2, slots).await;
    a.sql("CREATE TABLE t AS SELECT 1 AS id").await;
    a
}

/// A base backup of it without its WAL, and the script that restores it.
async fn backup(of: &Member, at: &Path) -> String {
    let login = &of.config.replication;
    let mut tool = Command::new(of.config.bin_directory.join("pg_basebackup"));
    tool.args(["--wal-method=none", "--checkpoint=fast", "--host=127.0.0.1"]).arg("--pgdata");
    tool.arg(at).arg(format!("--port={}", of.config.listen.port));
    tool.arg(format!("--username={}", login.user)).env("PGPASSWORD", &login.password);
    let taken = tokio::task::spawn_blocking(move || tool.output()).await.expect("it is run");
    let taken = taken.expect("pg_basebackup is there");
    assert!(taken.status.success(), "{}", String::from_utf8_lossy(&taken.stderr));
    format!("cp -a {}/. \"$HAA_DATA_DIRECTORY\"", at.display())
}

fn restore(root: &Path) -> Option<String> {
    Some(format!("cp {}/%f %p", root.join("archive").display()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_becomes_the_data_once_it_is_whole_and_part_of_the_cluster() {
    let root = root();
    let root = root.path();
    let mut b = Member::new("b", root);
    let mut a = archiving(root, &[&b]).await;
    let good = backup(&a, &root.join("backup")).await;
    a.sql("INSERT INTO t VALUES (2); SELECT pg_switch_wal(); INSERT INTO t VALUES (3)").await;

    // Nobody has the WAL of it.
    b.config.cloning = methods(&["echo the tape is; echo torn >&2; exit 3", "exit 0", &good]);
    b.again().await;
    let why = b.failed(Job::Clone(a.source())).await;
    for part in ["way0: /bin/sh ended with", "torn", "way1: what was restored is no database"] {
        assert!(why.contains(part), "{part}: {why}");
    }
    let part = "way2: what was restored could not be recovered";
    assert!(why.contains(part) && why.contains("there is no postgres.restore_command"), "{why}");
    assert_eq!(b.facts(|_| true).await.data, DataDir::Empty);

    // Another cluster's, and one that was copied from a Postgres that ran.
    let mut c = Member::new("c", root);
    c.done(Job::InitDb).await;
    let foreign = format!("cp -a {}/. \"$HAA_DATA_DIRECTORY\"", c.config.data_directory.display());
    let copied = format!("{good}; rm \"$HAA_DATA_DIRECTORY/backup_label\"");
    let told = root.join("told");
    let tells = format!("env > {}; {good}", told.display());
    b.config.cloning = methods(&[&foreign, &copied, &tells]);
    b.config.restore_command = restore(root);
    b.again().await;
    b.done(Job::Clone(a.source())).await;
    let facts = b.stopped().await;
    let DataDir::Present { needs_source: false, untouched: false, .. } = facts.data else {
        panic!("{facts:?}")
    };
    let told = std::fs::read_to_string(told).expect("it was told");
    for part in [
        "HAA_CLUSTER=it\n",
        "HAA_MEMBER=b\n",
        "HAA_SOURCE_HOST=127.0.0.1\n",
        &format!("HAA_SOURCE_PORT={}\n", a.config.listen.port),
        "HAA_SYSTEM_IDENTIFIER=",
        "data.clone\n",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains("PASS") && !told.contains("secret"), "{told}");
    b.done(Job::Start(None, Door::Shut)).await;
    b.standby(|standby| standby.detached).await;
    b.done(Job::Follow(a.source(), None)).await;
    let end = a.primary(|_| true).await.position.lsn;
    b.standby(|standby| standby.streaming && standby.replayed >= end).await;
    assert_eq!(b.count("t").await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_left_the_clusters_history_is_no_backup_of_it_and_one_that_is_given_up_ends() {
    let root = root();
    let root = root.path();
    let (mut b, mut c) = (Member::new("b", root), Member::new("c", root));
    let mut a = archiving(root, &[&c]).await;
    c.join(&mut a).await;
    c.done(Job::Detach(None)).await;
    assert_eq!(c.promote(5, &[]).await, JobResult::Done);
    let astray = backup(&c, &root.join("astray")).await;
    let (pid, label) = (root.join("pid"), root.join("label"));
    b.config.restore_command =
        Some(format!("cp {}/pg_wal/%f %p", c.config.data_directory.display()));
    b.config.cloning = methods(&[&astray]);
    b.again().await;
    let why = b.failed(Job::Clone(a.source())).await;
    assert!(why.contains("is not part of the cluster's history"), "{why}");
    assert!(why.contains("its timeline 5 is none of a's"), "{why}");

    // It is ended with all that it started.
    let script =
        format!("sleep 600 & echo $! > {}; touch {}; wait", pid.display(), label.display());
    b.config.cloning = methods(&[&script]);
    b.again().await;
    let id = b.begin(Job::Clone(a.source()));
    waited(|| label.exists()).await;
    b.hands().close();
    assert_eq!(b.end_of(id).await, JobResult::Aborted);
    let sleeper = std::fs::read_to_string(pid).expect("it was written");
    let ended = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", sleeper.trim()));
        stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z "))
    };
    waited(ended).await;
    assert_eq!(b.facts(|_| true).await.data, DataDir::Empty);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_cluster_is_made_of_a_backup_as_of_a_point_in_time() {
    let root = root();
    let root = root.path();
    let mut b = Member::new("b", root);
    let a = archiving(root, &[]).await;
    let good = backup(&a, &root.join("backup")).await;
    a.sql("INSERT INTO t VALUES (2)").await;
    a.sql("SELECT pg_create_restore_point('good')").await;
    a.sql("INSERT INTO t VALUES (3); SELECT pg_switch_wal()").await;

    // The archive has no such point, or what was restored is no database: nothing is made.
    let target = |name: &str| vec![("recovery_target_name", name.to_owned())];
    let restored = |script: &str, target| {
        let timeout = Duration::from_secs(60);
        config::Bootstrap::Command(config::Restore { command: shell(script), timeout, target })
    };
    b.config.restore_command = restore(root);
    for (script, target, says) in [
        (good.as_str(), target("bad"), "recovery ended before configured recovery target"),
        ("exit 7", target("good"), "/bin/sh ended with exit status: 7"),
    ] {
        b.config.bootstrap = restored(script, target);
        b.again().await;
        let why = b.failed(Job::InitDb).await;
        assert!(why.contains(says), "{why}");
        assert_eq!(b.facts(|_| true).await.data, DataDir::Empty);
    }

    b.config.bootstrap = restored(&good, target("good"));
    // The backup knows other passwords, and no such superuser.
    b.config.superuser = config::Login { user: "chief".to_owned(), password: "new".to_owned() };
    b.config.rewind.password = "new too".to_owned();
    b.again().await;
    b.done(Job::InitDb).await;
    let facts = b.stopped().await;
    let DataDir::Present { needs_source: false, untouched: true, system_id, .. } = facts.data
    else {
        panic!("{facts:?}")
    };
    b.done(Job::Start(None, Door::Open)).await;
    let standby = b.standby(|standby| standby.detached).await;
    assert_eq!(standby.position.timeline, Timeline(3), "it has a timeline of its own");
    assert_eq!(b.promote(5, &[]).await, JobResult::Done);
    assert_eq!(b.count("t").await, 2);

    // Others are cloned from it.
    let mut c = Member::new("c", root);
    c.config.superuser = b.config.superuser.clone();
    c.config.rewind = b.config.rewind.clone();
    c.again().await;
    c.done(Job::Clone(b.source())).await;
    let DataDir::Present { system_id: theirs, .. } = c.stopped().await.data else { panic!() };
    assert_eq!(theirs, system_id);
}
