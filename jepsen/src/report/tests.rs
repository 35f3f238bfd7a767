//! A page of a run and of timings, whole: sound XML, nothing from elsewhere, every name escaped. To look at them,
//! say in `HAA_JEPSEN_PAGES` where they shall be kept.

use super::rto::{Outage, Series, Timing};
use super::*;
use crate::checkers::{Counts, OfWorkload, Options, judge};
use crate::history::{Op, Phase, Stamp};

const SECOND: u64 = 1_000_000_000;

fn events() -> Vec<Event> {
    let mut events = Vec::new();
    let mut push = |time, process, phase, op: Op, member: Option<&str>| {
        let stamp = member.map(|member| Stamp {
            member: member.to_owned(),
            timeline: if time < 30 * SECOND { 1 } else { 2 },
            lsn: time,
            replica: false,
        });
        let index = events.len() as u64;
        events.push(Event { index, time, process, phase, op, stamp, error: None });
    };
    for number in 0..6000_u64 {
        let time = number * SECOND / 50;
        let process = u32::try_from(number).unwrap();
        let op = Op::Add(number);
        let away = (30 * SECOND..37 * SECOND).contains(&time);
        let took = 2_000_000 + number * 7919 % 100 * number * 7919 % 97 * 9_000;
        push(time, process, Phase::Invoke, op.clone(), None);
        match number % 9 {
            _ if !away => {
                let member = if time < 30 * SECOND { "n1" } else { "n2" };
                push(time + took, process, Phase::Ok, op, Some(member));
            }
            0..6 => push(time + took / 3, process, Phase::Fail, op, None),
            _ => push(time + 800 * took, process, Phase::Info, op, None),
        }
    }
    let end = 121 * SECOND;
    let kept = |number: &u64| !(1500..1850).contains(number) && number % 1000 != 7;
    let op = Op::All(Some((0..6000).filter(kept).collect()));
    push(end, 9999, Phase::Invoke, op.clone(), None);
    push(end + SECOND / 100, 9999, Phase::Ok, op, Some("n2"));
    events.sort_by_key(|event| event.time);
    (0..).zip(&mut events).for_each(|(index, event)| event.index = index);
    events
}

fn fault(name: &str, from: u64, to: u64, proof: Option<&str>) -> Fault {
    let (from, to) = (from * SECOND, Some(to * SECOND));
    Fault { name: name.to_owned(), from, to, proof: proof.map(str::to_owned) }
}

fn run() -> Run {
    let events = events();
    let judgement = judge(&events, &Options::default());
    let span = |role, term, from, to| Span { role, term, from: from * SECOND, to };
    let until = |second: u64| Some(second * SECOND);
    let lane = |member: &str, spans| Lane { member: member.to_owned(), spans };
    let wave = |shift: u64| {
        (0..120)
            .map(move |at| (at * SECOND, (at + shift) % 17 * 90_000))
            .filter(|(at, _)| *at / SECOND / 9 != 4)
    };
    Run {
        title: "set, kill & <partition>, seed 7".into(),
        command: "haa-jepsen run --workload set --nemesis kill,partition --seconds 120 --seed 7"
            .into(),
        facts: vec![("PostgreSQL".into(), "15.8".into()), ("processors".into(), "2".into())],
        events,
        faults: vec![
            fault("kill postmaster n1", 29, 31, Some("pid 4711 is gone")),
            fault("partition n2 | n1 n3", 33, 60, Some("1024 packets were dropped")),
            fault("freeze agent n3", 40, 48, Some("state T")),
            fault("slow disk n2", 70, 100, None),
            fault("kill agent n2", 112, 114, Some("pid 12 is gone")),
        ],
        skipped: vec![("{\"wal\":\"primary\"} <skipped>".into(), 90 * SECOND)],
        never: Vec::new(),
        lanes: vec![
            lane(
                "n1",
                vec![
                    span(Role::Primary, Some(1), 0, until(29)),
                    span(Role::Down, None, 29, until(41)),
                    span(Role::Changing, None, 41, until(55)),
                    span(Role::Replica, None, 55, None),
                ],
            ),
            lane(
                "n2",
                vec![
                    span(Role::Replica, None, 0, until(34)),
                    span(Role::Changing, None, 34, until(37)),
                    span(Role::Primary, Some(2), 37, None),
                ],
            ),
            lane(
                "n3",
                vec![
                    span(Role::Replica, None, 0, until(40)),
                    span(Role::Frozen, None, 40, until(48)),
                    span(Role::Replica, None, 48, None),
                ],
            ),
        ],
        lag: vec![
            Lag { member: "n2".into(), points: wave(0).collect() },
            Lag { member: "n3".into(), points: wave(5).collect() },
        ],
        judgement,
    }
}

fn timings() -> Vec<Timing> {
    let series = |system: &str, fault: &str, profile: &str, middle: u64, lost: u64| {
        let run = |number: u64| Outage {
            outage_ms: middle + number * number * middle / 60 + number * 7919 % 300,
            lost: if number == 3 { lost } else { 0 },
            dual_ack_ms: 0,
            redundancy_ms: Some(middle * 3),
        };
        let (system, fault, profile) = (system.into(), fault.into(), profile.into());
        Timing::from(Series { system, fault, profile, runs: (0..10).map(run).collect() })
    };
    let mut all = Vec::new();
    for (fault, quicker) in [("postmaster", 1), ("host", 2), ("switchover", 1)] {
        all.push(series("haa", fault, "default", 4000 * quicker, 0));
        all.push(series("haa", fault, "fast", 900 * quicker, 0));
        all.push(series("patroni", fault, "default", 24_000, 0));
        all.push(series("patroni", fault, "fast", 14_000, 3));
    }
    all
}

/// Every element is closed in its turn. `meta` and `br` are HTML's and need not be.
fn assert_sound(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    for part in page.split('<').skip(1) {
        let tag = part.split('>').next().unwrap();
        let name = tag.trim_start_matches('/').split_whitespace().next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{tag}");
        } else if !tag.starts_with('!') && !["meta", "br"].contains(&name) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
    assert!(!page.contains("NaN") && !page.contains("inf\"") && !page.contains("<script"));
    let elsewhere = page.replace("http://www.w3.org/2000/svg", "");
    assert!(!elsewhere.contains("://") && !elsewhere.contains("url("));
}

fn keep(name: &str, text: &str) {
    if let Ok(directory) = std::env::var("HAA_JEPSEN_PAGES") {
        fs::write(Path::new(&directory).join(name), text).unwrap();
    }
}

#[test]
fn a_run_is_one_page_and_its_figures() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &run()).unwrap();
    let page = fs::read_to_string(directory.path().join(PAGE)).unwrap();
    keep("report.html", &page);
    assert_sound(&page);
    assert!(page.contains("set, kill &amp; &lt;partition&gt;, seed 7"));
    assert!(page.contains("is lost: client 9999 on n2 at 121.010 s"));
    assert_eq!(page.matches("<svg").count(), 5);
    assert!(page.len() < 400_000, "{} bytes", page.len());
    let results = fs::read_to_string(directory.path().join(RESULTS)).unwrap();
    let results: Results = serde_json::from_str(&results).unwrap();
    assert_eq!(results.faults.len(), 5);
    assert_eq!((results.skipped.len(), results.skipped[0].at_ms), (1, 90_000));
    assert!(page.contains("&lt;skipped&gt;, at 90.0 s"));
    assert!(
        (6500..7800).contains(&results.longest_write_gap_ms),
        "{}",
        results.longest_write_gap_ms
    );
}

#[test]
fn several_workloads_have_a_table_and_each_check_names_its_own() {
    let mut run = run();
    run.judgement.checks[0].workload = Some("set & <more>".into());
    let counts = Counts { ok: 11, fail: 22, unknown: 33 };
    let (workload, verdict) = ("set & <more>".to_owned(), "valid".to_owned());
    run.judgement.workloads = vec![OfWorkload { workload, verdict, counts }];
    let results = results::of(&run);
    let page = page::of(&run, &results);
    assert_sound(&page);
    assert!(page.contains("set &amp; &lt;more&gt;, set: every acknowledged"));
    let cells =
        ["set &amp; &lt;more&gt;</td><td>valid", "11", "22", "33"].map(|text| page.contains(text));
    assert_eq!(cells, [true; 4]);
    let text = serde_json::to_string(&results).unwrap();
    assert_eq!(serde_json::from_str::<Results>(&text).unwrap(), results);
    run.judgement.workloads.clear();
    assert!(!page::of(&run, &results::of(&run)).contains("<th>workload"));
}

#[test]
fn a_fault_without_proof_leaves_a_valid_run_unknown() {
    let mut run = run();
    run.judgement.verdict = Verdict::Valid;
    let verdict = run.verdict();
    assert!(matches!(&verdict, Verdict::Unknown { reason } if reason.contains("slow disk n2")));
    run.faults.retain(|fault| fault.proof.is_some());
    assert!(run.verdict().is_valid());
}

/// A run that broke nothing of what it was asked to break tried nothing.
#[test]
fn a_kind_that_never_struck_leaves_a_valid_run_unknown() {
    let mut run = run();
    run.judgement.verdict = Verdict::Valid;
    run.faults.clear();
    assert!(run.verdict().is_valid(), "nothing was asked for");
    run.never = vec!["wal".into()];
    let verdict = results::of(&run).verdict;
    assert!(matches!(&verdict, Verdict::Unknown { reason } if reason.contains("struck: wal.")));
}

#[test]
fn a_run_without_anything_is_a_page_too() {
    let mut run = run();
    (run.events, run.faults, run.lanes, run.lag) = (vec![], vec![], vec![], vec![]);
    let results = results::of(&run);
    assert_sound(&page::of(&run, &results));
}

#[test]
fn timings_are_a_picture_and_a_page() {
    let picture = rto::picture(&timings());
    keep("rto.svg", &picture);
    assert_sound(&picture);
    assert!(picture.starts_with("<svg") && picture.contains("3 lost"));
    let page = rto::page("Failover <timing>", &timings());
    keep("rto.html", &page);
    assert_sound(&page);
    assert_sound(&rto::picture(&[]));
}
