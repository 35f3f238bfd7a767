//! What systemd is told, and whether it can read our unit. No systemd is started: it is played.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::fixture::{Cluster, LONG, name};
use crate::support;

#[test]
fn systemd_hears_ready_without_etcd_and_then_stopping() {
    let cluster = Cluster::prepare(|options| options);
    let config = cluster.playground.config(&name("n1"));
    let at = config.with_file_name("notify");
    let socket = UnixDatagram::bind(&at).expect("a socket");
    socket.set_read_timeout(Some(LONG)).expect("it can be set");
    let mut haad = Command::new(support::programs().join("haad"))
        .args(["run", "--config"])
        .arg(&config)
        .env("NOTIFY_SOCKET", &at)
        .spawn()
        .expect("haad can be run");
    let hear = || {
        let mut said = [0; 1024];
        let length = socket.recv(&mut said).expect("haad says something");
        String::from_utf8_lossy(&said[..length]).into_owned()
    };
    let mut sentences = Vec::new();
    loop {
        match hear() {
            said if said == "READY=1" => break,
            said => sentences.push(said),
        }
    }
    assert!(sentences.iter().all(|said| said.starts_with("STATUS=waking, nobody leads in term 0")));
    assert!(!sentences.is_empty(), "a sentence comes first");
    kill(Pid::from_raw(haad.id().cast_signed()), Signal::SIGTERM).expect("it runs");
    while hear() != "STOPPING=1" {}
    assert!(haad.wait().expect("it is ours").success());
}

/// The unit as it is, but for a program that is there.
fn unit() -> String {
    let text = include_str!("../../../deploy/systemd/haad.service");
    let installed = "ExecStart=/usr/bin/haad ";
    assert!(text.contains(installed), "the package puts it there");
    text.replace(installed, "ExecStart=/bin/true ")
}

#[test]
fn systemd_can_read_the_unit_and_finds_it_hardened() {
    let analyze = |arguments: &[&str], unit: &Path| {
        Command::new("systemd-analyze").args(arguments).arg(unit).output()
    };
    support::become_postgres();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (unit, text) = (directory.path().join("haad.service"), unit());
    std::fs::write(&unit, &text).expect("it can be written");
    let Ok(verified) = analyze(&["verify", "--man=no"], &unit) else {
        println!("systemd-analyze is not here: the unit was not checked");
        return;
    };
    // It ends well even after a warning.
    let said = [verified.stdout, verified.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(verified.status.success() && said.is_empty(), "{said}");

    let wrong = text.replace("Type=notify", "Type=notified");
    std::fs::write(&unit, wrong).expect("it can be written");
    let refused = analyze(&["verify", "--man=no"], &unit).expect("it was here");
    assert!(!refused.stderr.is_empty(), "the look itself is wrong");
    std::fs::write(&unit, text).expect("it can be written");

    let judged = analyze(&["security", "--offline=true", "--threshold=30"], &unit);
    let judged = judged.expect("it was here");
    let said = String::from_utf8_lossy(&judged.stdout).into_owned();
    if judged.status.success() {
        println!("{}", said.lines().last().unwrap_or_default());
    } else {
        // Before systemd 250 a unit that is not loaded could not be judged.
        let unknown = String::from_utf8_lossy(&judged.stderr).contains("unrecognized option");
        assert!(unknown, "{said}");
    }
}
