//! The playground itself: it starts, ends and removes what is its own, and nothing else. Its agents only sleep here.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use haa::playground::{OnDrop, Options, Part, Playground, PlaygroundError};

use crate::support::become_postgres;

/// An agent that does nothing but stay, with a child as a real one has.
fn sleeper(folder: &Path) -> PathBuf {
    let program = folder.join("sleeper");
    fs::write(&program, "#!/bin/sh\nsleep 600 &\nexec sleep 600\n").expect("written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("ours");
    program
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
