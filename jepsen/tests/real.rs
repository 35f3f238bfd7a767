//! The harness against a real cluster: a short mixed run and a timing pass, which the gate runs where the machine can;
//! careless clusters that must fail, and the removal of what a killed run left. Asserts no time.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test, whose figures are to be read"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_haa-jepsen");

fn root() -> bool {
    rustix::process::geteuid().is_root()
}

fn haa_jepsen(arguments: &[&str], out: &Path) -> Output {
    let directory = Path::new(PROGRAM).parent().expect("a program is in a directory");
    let places = ["--bin-dir", directory.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let output = Command::new(PROGRAM).args(arguments).args(places).output();
    output.expect("haa-jepsen starts")
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}", text(&output.stdout), text(&output.stderr))
}

/// The debug haad that `make jepsen` builds beside this test's program.
fn ready() {
    let haad = Path::new(PROGRAM).with_file_name("haad");
    assert!(root(), "hosts are made by root: sudo make jepsen");
    assert!(haad.is_file(), "{} is not built: cargo build -p haa", haad.display());
}

#[test]
fn without_root_it_is_refused_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("haa-jepsen");
    std::fs::copy(PROGRAM, &copy).unwrap();
    let mut command = Command::new(&copy);
    if root() {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(&copy);
    }
    let output = command.arg("clean").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("needs root"), "{}", said(&output));
}

#[test]
fn figures_of_several_timings_are_one_table_and_one_page() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("pages/all.html");
    let file = |system: &str, outage: u64| {
        let run = serde_json::json!(
            { "outage_ms": outage, "lost": 0, "dual_ack_ms": 0, "redundancy_ms": outage }
        );
        let series = serde_json::json!({
            "system": system, "fault": "host", "profile": "fast", "runs": [run],
            "p50_ms": outage, "p90_ms": outage, "max_ms": outage, "lost_total": 0,
        });
        let path = folder.path().join(format!("{system}.json"));
        std::fs::write(&path, series.to_string()).unwrap();
        path
    };
    let mut command = Command::new(PROGRAM);
    command.arg("compare").args([file("haa", 900), file("patroni", 21_000)]);
    let output = command.arg("--out").arg(&page).output().unwrap();
    let all = said(&output);
    assert!(output.status.success(), "{all}");
    assert!(all.contains("| host | haa fast | 1 |"), "{all}");
    assert!(all.contains("| host | patroni fast | 1 |"), "{all}");
    let page = std::fs::read_to_string(page).unwrap();
    assert_eq!(page.matches("<svg").count(), 1);

    let output = Command::new(PROGRAM).args(["compare", "Cargo.toml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("rto --json"), "{}", said(&output));
}

/// What the gate runs. Where no hosts can be made it says so, and passes: a kernel is no fault of haa.
#[test]
#[ignore = "four minutes, and nothing else beside it: make broken"]
fn short_mixed_run_and_timing_pass() {
    let asked = Command::new(PROGRAM).arg("able").output().unwrap();
    if !asked.status.success() {
        println!("NOT RUN: no cluster was broken here. {}", said(&asked).trim());
        return;
    }
    ready();
    timing_pass(&kept("timing"));
    mixed_run(&kept("mixed"));
}

/// One after the other: each is as much as two cores can bear.
#[test]
#[ignore = "several minutes, as root: make jepsen"]
fn careless_clusters_fail_and_a_killed_run_is_removed() {
    ready();
    careless_clusters_fail(&kept("careless"));
    a_killed_run_is_removed(&kept("killed"));
}

#[test]
#[ignore = "a minute, as root: make jepsen"]
fn load_measures_a_cluster_and_a_simulated_one() {
    ready();
    let out = kept("load");
    let json = out.join("load.json");
    let fixed = ["load", "--seconds", "5", "--sizes", "1", "--json", json.to_str().unwrap()];
    let output = haa_jepsen(&fixed, &out);
    assert!(output.status.success(), "{}", said(&output));
    println!("{}", said(&output));
    let text = std::fs::read_to_string(json).unwrap();
    let load: Value = serde_json::from_str(&text).unwrap();
    let footprint = &load["footprints"][0];
    let parts = footprint["parts"].as_array().unwrap();
    assert_eq!(parts.len(), 6, "three agents and three guards: {parts:?}");
    assert!(parts.iter().all(|part| part["pss_kb"].as_u64() > Some(0)), "{parts:?}");
    assert!(footprint["asked"]["per_second"].as_f64() > Some(0.0), "{footprint}");
    assert_eq!(footprint["asked"]["not_200"], 0, "the leader is a primary: {footprint}");
    let size = &load["scale"]["sizes"][0];
    for etcd in [&footprint["etcd"], &size["etcd"]] {
        assert!(etcd["requests_per_second"]["LeaseKeepAlive"].as_f64() > Some(0.0), "{etcd}");
    }
    assert!(size["renewals"].as_u64() > Some(0), "{size}");
    assert_eq!(size["leaderships_lost"], 0, "{size}");
    assert!(out.join("load.html").is_file());
}

#[test]
#[ignore = "two minutes, as root: make jepsen"]
fn an_operators_work_is_valid_and_a_haactl_that_lies_is_found() {
    ready();
    let soak = ["soak", "--workload", "set", "--verbs", "drain,work-mem", "--seconds", "10"];
    let output = haa_jepsen(&soak, &kept("soak"));
    assert!(output.status.success(), "{}", said(&output));

    // It says that a member is drained, and asks nobody.
    let folder = tempfile::tempdir().unwrap();
    let beside = |name: &str| Path::new(PROGRAM).with_file_name(name);
    std::fs::copy(beside("haad"), folder.path().join("haad")).unwrap();
    let honest = beside("haactl").display().to_string();
    let text =
        format!("#!/bin/sh\ncase \"$*\" in *\" drain \"*) exit 0;; esac\nexec {honest} \"$@\"\n");
    let liar = folder.path().join("haactl");
    std::fs::write(&liar, text).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&liar, mode).unwrap();
    let output = Command::new(PROGRAM)
        .args(["soak", "--workload", "set", "--verbs", "drain", "--seconds", "1", "--bin-dir"])
        .args([folder.path(), Path::new("--out"), &kept("liar")])
        .output()
        .unwrap();
    let all = said(&output);
    assert_eq!(output.status.code(), Some(1), "{all}");
    assert!(all.contains("is shown so, and is no voter: not so for n1 n2 n3"), "{all}");
}

/// Where the report of a run that failed is found afterwards.
fn kept(name: &str) -> PathBuf {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("jepsen").join(name);
    let _ = std::fs::remove_dir_all(&out);
    std::fs::create_dir_all(&out).unwrap();
    out
}

fn careless_clusters_fail(out: &Path) {
    for careless in CARELESS {
        let Careless { sabotage, workload, .. } = careless;
        let arguments = ["run", "--seconds", "10", "--seed", "1"];
        let more = ["--workload", workload, "--sabotage", sabotage];
        let out = out.join(format!("{sabotage}-{workload}"));
        let output = haa_jepsen(&[&arguments[..], &more].concat(), &out);
        let text = std::fs::read_to_string(out.join("results.json"));
        let text = text.unwrap_or_else(|error| panic!("{sabotage}: {error}: {}", said(&output)));
        let results: Value = serde_json::from_str(&text).unwrap();
        found(&careless, &results);
        assert_eq!(output.status.code(), Some(1), "{sabotage}: {}", said(&output));
    }
}

/// Something wrong, what clients do meanwhile, and which judges must find what.
struct Careless {
    sabotage: &'static str,
    workload: &'static str,
    found: &'static [(&'static str, &'static str)],
}

const fn careless(
    sabotage: &'static str,
    workload: &'static str,
    found: &'static [(&'static str, &'static str)],
) -> Careless {
    Careless { sabotage, workload, found }
}

const CARELESS: [Careless; 7] = [
    careless(
        "delete",
        "set,register,bank",
        &[("set", "Lost"), ("register", "NotLinearizable"), ("bank", "Total")],
    ),
    careless("async-kill", "append", &[("lists", "Lost")]),
    careless("lying-disks", "set", &[("set", "Lost")]),
    careless("emptied-list", "set", &[("set", "Lost")]),
    careless("promote-stale", "set", &[("one-writer", "TwoWriters")]),
    careless("no-fence", "set", &[("one-writer", "TwoWriters")]),
    careless("retries", "set,append", &[("set", "Phantom")]),
];

fn found(careless: &Careless, results: &Value) {
    let Careless { sabotage, .. } = careless;
    assert_eq!(results["verdict"], "invalid", "{sabotage}: {results}");
    let checks = results["checks"].as_array().unwrap();
    for (judge, anomaly) in careless.found {
        let own = checks.iter().find(|check| check["checker"] == *judge);
        let own = own.unwrap_or_else(|| panic!("{sabotage}: {judge} said nothing: {results}"));
        let findings = own["findings"].as_array().into_iter().flatten();
        let named: Vec<&Value> = findings.map(|finding| &finding["anomaly"]).collect();
        assert!(named.contains(&&Value::from(*anomaly)), "{sabotage}: {judge} found {named:?}");
    }
}

fn timing_pass(out: &Path) {
    let json = out.join("rto.json");
    let fixed = ["rto", "--fault", "postmaster", "--runs", "3", "--json"];
    let output = haa_jepsen(&[&fixed[..], &[json.to_str().unwrap()]].concat(), out);
    assert!(output.status.success(), "{}", said(&output));
    let text = std::fs::read_to_string(json).unwrap();
    let timing: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(timing["runs"].as_array().map(Vec::len), Some(3));
    assert_eq!(timing["lost_total"], 0, "{timing}");
    assert!(out.join("rto.html").is_file());
    println!("{}", said(&output));
}

fn mixed_run(out: &Path) {
    let nemesis = "kill,freeze,partition,etcd";
    let fixed = ["run", "--workload", "append", "--seconds", "90", "--seed", "8", "--nemesis"];
    let output = haa_jepsen(&[&fixed[..], &[nemesis]].concat(), out);
    assert!(output.status.success(), "see {}: {}", out.display(), said(&output));
    println!("{}", said(&output));
    for file in ["report.html", "results.json", "history.edn", "history.json", "schedule.jsonl"] {
        assert!(out.join(file).is_file(), "{file} is missing");
    }
}

fn a_killed_run_is_removed(out: &Path) {
    let directory = Path::new(PROGRAM).parent().unwrap();
    let mut run = Command::new(PROGRAM)
        .args(["run", "--workload", "set", "--seconds", "60", "--out", out.to_str().unwrap()])
        .args(["--bin-dir", directory.to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let before = spaces();
    while spaces().len() < before.len() + 9 {
        assert!(run.try_wait().unwrap().is_none(), "it ended before its hosts were made");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    let output = Command::new(PROGRAM).arg("clean").output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(spaces(), before, "namespaces stay");
}

fn spaces() -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let mut all: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    all.sort();
    all
}
