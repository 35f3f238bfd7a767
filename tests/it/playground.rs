//! The playground itself: it starts, ends and removes what is its own, and nothing else. Its agents only sleep here.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use haa::playground::{OnDrop, Options, Part, Playground, PlaygroundError, Process};
use haa_core::units::MemberName;

use crate::support::become_postgres;

/// An agent that does nothing but stay, with a child as a real one has.
fn sleeper(folder: &Path) -> PathBuf {
    let program = folder.join("sleeper");
    fs::write(&program, "#!/bin/sh\nsleep 600 &\nexec sleep 600\n").expect("written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("ours");
    program
}

/// An agent that makes a Postgres and leaves it running beside itself.
fn runs_postgres(folder: &Path) -> PathBuf {
    let program = folder.join("runs_postgres");
    let script = r#"#!/bin/sh
set -e
home=$(dirname "$3")
bin=$(sed -n 's/^bin_directory = "\(.*\)"/\1/p' "$3")
port=$(sed -n 's/^listen = "127.0.0.1:\(.*\)"/\1/p' "$3" | tail -1)
[ -d "$home/data" ] || "$bin/initdb" -D "$home/data" --no-sync --auth=trust >/dev/null
rm -f "$home/data/postmaster.pid"
"$bin/postgres" -D "$home/data" -p "$port" -k "$home" &
exec sleep 600
"#;
    fs::write(&program, script).expect("written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("ours");
    program
}

async fn connected(playground: &Playground, name: &MemberName) -> tokio_postgres::Client {
    let config = playground.superuser(&playground.postgres(name)).expect("a password");
    loop {
        match config.connect(tokio_postgres::NoTls).await {
            Ok((client, connection)) => {
                tokio::spawn(connection);
                return client;
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

#[tokio::test]
async fn postgres_is_found_by_its_directory_and_killed_with_its_children() {
    let folder = short_folder();
    let options = Options::new(folder.path().join("p"), runs_postgres(folder.path())).members(2);
    let mut playground = Playground::create(options).expect("created");
    playground.start_all().await.expect("started");
    let [first, second] = playground.names().try_into().expect("two");
    let one = connected(&playground, &first).await;
    let two = connected(&playground, &second).await;
    let backend = |row: tokio_postgres::Row| row.get::<_, i32>(0);
    let ask = "SELECT pg_backend_pid()";
    let backends =
        [&one, &two].map(|client| async { backend(client.query_one(ask, &[]).await.expect("up")) });
    let [one_backend, two_backend] = backends;
    let (one_backend, two_backend) = (one_backend.await, two_backend.await);

    playground.kill_postgres(&first).expect("killed");
    assert!(playground.postmaster(&first).expect("known").is_none());
    assert!(playground.agent(&first).expect("known").is_some(), "the agent was killed, too");
    playground.kill_host(&first).expect("killed");
    assert!(Process::find(one_backend).is_none(), "a backend outlived its host");
    assert!(Process::find(two_backend).is_some(), "the other member was hit");

    playground.stop().expect("stopped");
    assert!(Process::find(two_backend).is_none(), "a backend outlived its playground");
}

fn short_folder() -> tempfile::TempDir {
    become_postgres();
    tempfile::Builder::new().prefix("haa").tempdir_in("/tmp").expect("a directory")
}

#[tokio::test]
async fn what_was_started_is_ended_and_nothing_else() {
    let folder = short_folder();
    let mut bystander =
        Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().expect("sleep starts");
    let options = Options::new(folder.path().join("p"), sleeper(folder.path()));
    let mut playground = Playground::create(options).expect("created");
    playground.start_all().await.expect("started");
    let names = playground.names();
    let agents: Vec<_> =
        names.iter().map(|n| playground.agent(n).expect("known").expect("runs")).collect();

    playground.kill(&names[0], Part::Agent).expect("killed");
    assert!(!agents[0].alive() && agents[1].alive());
    playground.revive(&names[0]).expect("revived");
    assert!(playground.agent(&names[0]).expect("known").is_some());
    playground.kill_host(&names[1]).expect("killed");
    assert!(agents[1].session().is_empty(), "a child of the agent outlived its host");

    playground.on_drop(OnDrop::LeaveRunning);
    let directory = playground.directory().to_owned();
    drop(playground);
    let again = Playground::open(&directory).expect("found by its record");
    assert!(again.runs());
    again.stop().expect("stopped");
    assert!(agents.iter().all(|agent| agent.session().is_empty()));
    assert!(!directory.exists());
    assert!(bystander.try_wait().expect("ours").is_none(), "the bystander was ended");
    bystander.kill().expect("ours");
    bystander.wait().expect("ours");
}

#[tokio::test]
async fn a_dropped_playground_leaves_nothing_running() {
    let folder = short_folder();
    let options = Options::new(folder.path().join("p"), sleeper(folder.path())).members(1);
    let mut playground = Playground::create(options).expect("created");
    playground.start_all().await.expect("started");
    let agent = playground.agent(&playground.names()[0]).expect("known").expect("runs");
    drop(playground);
    assert!(agent.session().is_empty());
}

#[tokio::test]
async fn etcd_keeps_its_data_over_a_restart() {
    let folder = short_folder();
    let options = Options::new(folder.path().join("p"), sleeper(folder.path())).members(1);
    let mut playground = Playground::create(options).expect("created");
    playground.start_etcd().await.expect("started");
    let endpoint = playground.etcd_endpoint();
    let etcdctl = |arguments: &[&str]| {
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").args(["--endpoints", &endpoint]).args(arguments);
        let output = command.output().expect("etcdctl runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    etcdctl(&["put", "k", "v"]);
    playground.stop_etcd().expect("stopped");
    playground.start_etcd().await.expect("started again");
    assert_eq!(etcdctl(&["get", "k", "--print-value-only"]), "v\n");
}

#[tokio::test]
async fn what_does_not_come_about_is_told_with_the_logs() {
    let folder = short_folder();
    let options = Options::new(folder.path().join("p"), sleeper(folder.path())).members(1);
    let mut playground = Playground::create(options).expect("created");
    playground.start_all().await.expect("started");
    let waited = playground.wait_for_primary(Duration::from_millis(50)).await;
    let error = waited.expect_err("a sleeper never leads").to_string();
    assert!(error.contains("n1: connection refused"), "{error}");
    assert!(error.contains("haad.log"), "{error}");
}

#[test]
fn a_directory_that_is_not_a_playground_is_left_alone() {
    let folder = short_folder();
    let path = folder.path().join("precious");
    fs::create_dir(&path).expect("made");
    fs::write(path.join("file"), "x").expect("written");
    let options = Options::new(&path, sleeper(folder.path()));
    let refused = Playground::create(options).expect_err("it is not ours");
    assert!(matches!(refused, PlaygroundError::Foreign { .. }), "{refused}");
    let absent = Playground::open(&path).expect_err("there is no record in it");
    assert!(matches!(absent, PlaygroundError::Absent(_)), "{absent}");
    assert!(path.join("file").exists());
}

#[test]
fn secrets_are_for_nobody_else() {
    let folder = short_folder();
    let options = Options::new(folder.path().join("p"), sleeper(folder.path()));
    let playground = Playground::create(options).expect("created");
    for name in ["superuser", "replication", "rewind", "token"] {
        let path = playground.directory().join("secrets").join(name);
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}
