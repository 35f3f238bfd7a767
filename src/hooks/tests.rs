//! Real programs, and what becomes of them. Times are awaited, never asserted.

use std::path::Path;

use haa_core::units::{Term, Timeline};
use rustix::process::{Pid, test_kill_process};

use super::moments::Part;
use super::*;
use crate::program::Wrong;

fn shell(script: &str) -> Command {
    let arguments = vec!["-c".to_owned(), script.to_owned(), "$one two;".to_owned()];
    Command { program: "/bin/sh".into(), arguments }
}

fn moment() -> Moment {
    Moment {
        event: Event::RoleChange,
        role: Part::Primary,
        old_role: Some(Part::Replica),
        term: Term(7),
        timeline: Some(Timeline(9)),
        primary: Some("10.0.0.1:5432".parse().unwrap()),
        reason: "it was elected".to_owned(),
    }
}

fn whose() -> Whose {
    Whose {
        cluster: "main".to_owned(),
        member: "n1".parse().unwrap(),
        postgres: "10.0.0.1:5432".parse().unwrap(),
        data_directory: "/data".to_owned(),
    }
}

/// Within a minute, or never.
const LONG: Duration = Duration::from_secs(60);

async fn run(script: &str, patience: Duration) -> Result<Duration, Wrong> {
    let told = moment().variables(&whose());
    let command = shell(script);
    let running =
        program::run(Run { name: "on_role_change", command: &command, told, patience, last: 1 });
    tokio::time::timeout(LONG, running).await.expect("it ends, or is ended")
}

/// What the file says, once there is something in it.
async fn written(path: &Path) -> String {
    let read = async {
        let mut looks = tokio::time::interval(Duration::from_millis(5));
        loop {
            looks.tick().await;
            match std::fs::read_to_string(path) {
                Ok(text) if text.ends_with('\n') => return text,
                Ok(_) | Err(_) => {}
            }
        }
    };
    tokio::time::timeout(LONG, read).await.expect("it is written")
}

/// Waits until a process is gone.
async fn gone(pid: &str) {
    let pid = Pid::from_raw(pid.trim().parse().expect("a number")).expect("a process");
    let zombie = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
        stat.is_ok_and(|stat| stat.contains(") Z "))
    };
    let ends = async {
        let mut looks = tokio::time::interval(Duration::from_millis(5));
        while test_kill_process(pid).is_ok() && !zombie() {
            looks.tick().await;
        }
    };
    tokio::time::timeout(LONG, ends).await.expect("it is gone");
}

#[tokio::test]
async fn a_program_is_told_what_happened_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("told");
    run(&format!("{{ env; echo \"ARGS=$0\"; }} > {}", file.display()), LONG).await.unwrap();
    let text = std::fs::read_to_string(file).unwrap();
    // The shell's own.
    let mut told: Vec<&str> = text
        .lines()
        .filter(|line| !["PWD=", "_=", "SHLVL="].iter().any(|own| line.starts_with(own)))
        .collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            "ARGS=$one two;",
            "HAA_CLUSTER=main",
            "HAA_DATA_DIRECTORY=/data",
            "HAA_EVENT=on_role_change",
            "HAA_MEMBER=n1",
            "HAA_OLD_ROLE=replica",
            "HAA_POSTGRES=10.0.0.1:5432",
            "HAA_PRIMARY=10.0.0.1:5432",
            "HAA_REASON=it was elected",
            "HAA_ROLE=primary",
            "HAA_TERM=7",
            "HAA_TIMELINE=9",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ]
    );
}

#[tokio::test]
async fn a_failure_is_told_with_the_last_line() {
    let script =
        "i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); done; echo why >&2; exit 3";
    // Both pipes are read as they come, so the order between them is not said.
    let Err(Wrong::Failed(status, Some(last))) = run(script, LONG).await else {
        panic!("it fails")
    };
    assert_eq!(status.code(), Some(3));
    assert!(last == "why" || last == "line 299", "{last}");
    let Err(Wrong::Failed(_, last)) = run("exit 1", LONG).await else { panic!("it fails") };
    assert_eq!(last, None);
    let command = Command { program: "/nonexistent".into(), arguments: Vec::new() };
    let (told, patience) = (Vec::new(), LONG);
    let ended =
        program::run(Run { name: "on_stop", command: &command, told, patience, last: 1 }).await;
    let mut registry = Registry::default();
    let record = Record::register(&mut registry);
    let why = record.ended(Event::Stop, &command, ended).unwrap_err();
    let says = "the hook on_stop (/nonexistent) could not be run (No such file or directory";
    assert!(why.starts_with(says), "{why}");
    assert_eq!(record.failures().borrow()["on_stop"].why, why);
    record.ended(Event::Stop, &command, Ok(LONG)).unwrap();
    assert!(record.failures().borrow().is_empty(), "a run that succeeds ends it");
}

#[tokio::test]
async fn a_line_without_an_end_fills_no_memory() {
    let script = "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end; exit 1";
    let Err(Wrong::Failed(_, Some(last))) = run(script, LONG).await else { panic!("it fails") };
    assert_eq!(last, "end");
}

#[tokio::test]
async fn whoever_hangs_is_ended_with_all_that_it_started() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pids");
    // Neither heeds SIGTERM.
    let script = format!("trap '' TERM; sleep 600 & echo $! $$ > {}; wait; wait", file.display());
    let ended = run(&script, Duration::from_millis(300)).await;
    assert!(matches!(ended, Err(Wrong::Late(..))), "{ended:?}");
    for pid in written(&file).await.split_whitespace() {
        gone(pid).await;
    }
}

#[tokio::test]
async fn what_a_program_leaves_behind_goes_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    run(&format!("sleep 600 & echo $! > {}", file.display()), LONG).await.unwrap();
    gone(&written(&file).await).await;
}

#[tokio::test]
async fn whoever_waits_no_more_ends_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let script = format!("echo $$ > {}; sleep 600", file.display());
    let running = tokio::spawn(async move { run(&script, LONG).await });
    let pid = written(&file).await;
    running.abort();
    gone(&pid).await;
}

#[tokio::test]
async fn a_slow_program_holds_nobody_up_and_is_told_of_the_newest() {
    let directory = tempfile::tempdir().unwrap();
    let (go, out) = (directory.path().join("go"), directory.path().join("out"));
    let script = format!(
        "echo $HAA_TERM >> {out}; while [ ! -e {go} ]; do sleep 0.01; done",
        out = out.display(),
        go = go.display()
    );
    let (to, from) = broadcast::channel(WAITING);
    let mut registry = Registry::default();
    let hook = Hook {
        event: Event::RoleChange,
        command: shell(&script),
        patience: LONG,
        record: Record::register(&mut registry),
        whose: Arc::new(whose()),
    };
    let failures = hook.record.failures();
    let serving = tokio::spawn(hook.serve(from));
    let tell = |term| drop(to.send(Moment { term: Term(term), ..moment() }));
    tell(1);
    written(&out).await;
    // While the first is at work, one more than can wait.
    (2..=18).for_each(tell);
    drop(to);
    std::fs::write(&go, "").unwrap();
    tokio::time::timeout(LONG, serving).await.expect("it ends").unwrap();
    let told = std::fs::read_to_string(&out).unwrap();
    let told: Vec<u64> = told.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(told, [1].into_iter().chain(3..=18).collect::<Vec<_>>());
    assert!(failures.borrow().is_empty(), "those after it were told");
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    assert!(
        text.contains("haa_hooks_total{hook=\"on_role_change\",result=\"dropped\"} 1"),
        "{text}"
    );
    assert!(text.contains("haa_hooks_total{hook=\"on_role_change\",result=\"done\"} 17"), "{text}");
}
