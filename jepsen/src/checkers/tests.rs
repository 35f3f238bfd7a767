//! The judges together: what a whole run comes to, and how long fifty thousand operations take.

use super::calls::tests::Script;
use super::*;
use crate::history::{Op, Step};

mod cluster;
mod read_committed;
mod world;

use world::{world, world_of};

#[test]
fn a_run_in_which_nothing_happened_proves_nothing() {
    let report = judge(&[], &Options::default());
    assert!(matches!(report.verdict, Verdict::Unknown { reason } if reason.contains("Nothing")));
}

#[test]
fn a_damaged_history_is_not_judged() {
    let mut script = Script::default();
    script.ok(1, Op::Add(1), "n1");
    let report = judge(&script.events, &Options::default());
    assert!(matches!(report.verdict, Verdict::Unknown { reason } if reason.contains("damaged")));
}

#[test]
fn what_is_demanded_and_missing_leaves_the_run_unknown() {
    let mut script = Script::default();
    script.done(1, Op::Add(1), "n1").done(1, Op::All(Some(vec![1])), "n1");
    assert!(judge(&script.events, &Options::default()).verdict.is_valid());
    let options = Options { demanded: vec![Checker::Ancestry], ..Options::default() };
    let verdict = judge(&script.events, &options).verdict;
    assert!(matches!(verdict, Verdict::Unknown { reason } if reason.contains("ancestry")));
}

#[test]
fn one_that_is_invalid_makes_the_run_invalid_and_counts_are_told() {
    let mut script = Script::default();
    script.done(1, Op::Add(1), "n1").invoke(2, Op::Add(2)).fail(2, Op::Add(2));
    script.invoke(3, Op::Add(3)).unknown(3, Op::Add(3)).invoke(4, Op::Add(4));
    script.done(1, Op::All(Some(vec![])), "n2");
    let report = judge(&script.events, &Options::default());
    assert_eq!(report.verdict.findings()[0].anomaly, Anomaly::Lost);
    assert_eq!(report.counts, Counts { ok: 2, fail: 1, unknown: 2 });
    let text = serde_json::to_string(&report).unwrap();
    assert!(text.starts_with(r#"{"verdict":"invalid","findings":[{"anomaly":"Lost""#), "{text}");
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
}

#[test]
fn options_are_read_with_what_is_not_said_left_to_the_strictest() {
    let options: Options = serde_json::from_str(r#"{"isolation":"read-committed"}"#).unwrap();
    assert_eq!(options, Options { isolation: Isolation::ReadCommitted, ..Options::default() });
    assert!(serde_json::from_str::<Options>(r#"{"isolatoin":"serializable"}"#).is_err());
}

#[test]
fn a_split_brain_of_twenty_thousand_operations_is_judged_too() {
    let script = split(20_000);
    let began = std::time::Instant::now();
    let report = judge(&script.events, &Options::default());
    println!("{} events of a split brain judged in {:?}", script.events.len(), began.elapsed());
    for check in &report.checks {
        let (word, more) = (check.verdict.word(), check.verdict.findings().len());
        println!("{:?}: {word}, {more} told, in {} ms", check.checker, check.took_ms);
    }
    let found = |anomaly| report.verdict.findings().iter().any(|told| told.anomaly == anomaly);
    assert!(found(Anomaly::TwoWriters) && found(Anomaly::Lost), "{:?}", report.verdict);
    assert!(found(Anomaly::IncompatibleOrder) && found(Anomaly::NotLinearizable));
}

/// Two worlds that went on from one: clients of the second are told by n2, and the first has the last word.
fn split(operations: u64) -> Script {
    let (one, other) = (world(operations / 2, 1), world(operations / 2, 2));
    let mut script = Script::default();
    let mut both = one.events.into_iter().zip(other.events).peekable();
    while let Some((mut one, mut other)) = both.next() {
        other.process += 100_000_000;
        other.stamp.iter_mut().for_each(|stamp| (stamp.member, stamp.timeline) = ("n2".into(), 2));
        let last = both.peek().is_none();
        let ends = if last { [&mut other, &mut one] } else { [&mut one, &mut other] };
        for event in ends {
            distinct(&mut event.op, event.process);
            let event = event.clone();
            script.event(event.process, event.phase, event.op, event.stamp);
        }
    }
    script
}

/// What the second world appends and adds is its own.
fn distinct(op: &mut Op, process: u32) {
    let shift = if process < 100_000_000 { 0 } else { 1 << 40 };
    match op {
        Op::Add(element) => *element += shift,
        Op::All(Some(all)) => all.iter_mut().for_each(|element| *element += shift),
        Op::Txn(steps) => steps.iter_mut().for_each(|step| match step {
            Step::Append { value, .. } => *value += shift,
            Step::Read { list: Some(list), .. } => {
                list.iter_mut().for_each(|element| *element += shift);
            }
            Step::Read { .. } => {}
        }),
        _ => {}
    }
}

#[test]
fn fifty_thousand_operations_of_one_copy_are_valid() {
    let script = world(50_000, 7);
    let began = std::time::Instant::now();
    let report = judge(&script.events, &Options::default());
    println!("{} events judged in {:?}", script.events.len(), began.elapsed());
    for check in &report.checks {
        println!("{:?}: {} operations in {} ms", check.checker, check.looked_at, check.took_ms);
    }
    assert_eq!(report.verdict, Verdict::Valid);
}

#[test]
fn many_unknown_answers_do_not_tire_the_search() {
    for seed in 0..5 {
        let script = world_of(10_000, seed, 5);
        let report = judge(&script.events, &Options::default());
        assert_eq!(report.verdict, Verdict::Valid, "seed {seed}: {report}");
        let took = report.checks.iter().find(|check| check.checker == Checker::Register);
        println!("{:?}", took.map(|check| (check.looked_at, check.took_ms)));
    }
}

#[test]
fn one_copy_is_valid_whatever_the_seed() {
    for seed in 0..20 {
        let report = judge(&world(1_000, seed).events, &Options::default());
        assert_eq!(report.verdict, Verdict::Valid, "seed {seed}");
    }
}

#[test]
fn one_acknowledged_write_too_few_is_found_whatever_the_seed() {
    for seed in 0..10 {
        let mut script = world(1_000, seed);
        let lost = script.events.iter().find_map(|event| match &event.op {
            Op::Add(element) if event.phase == Phase::Ok => Some(*element),
            _ => None,
        });
        for event in &mut script.events {
            if let Op::All(Some(all)) = &mut event.op {
                all.retain(|element| Some(*element) != lost);
            }
        }
        let report = judge(&script.events, &Options::default());
        assert_eq!(report.verdict.findings()[0].anomaly, Anomaly::Lost, "seed {seed}");
    }
}

#[test]
fn what_an_operator_gave_up_is_not_demanded_and_what_came_after_is() {
    let mut script = Script::default();
    script.done(1, Op::Add(0), "n1").done(2, Op::All(Some(vec![0])), "n1");
    script.done(1, Op::Add(1), "n2/2").done(2, Op::All(Some(vec![1])), "n2/2");
    let said = |loss_accepted| {
        judge(&script.events, &Options { loss_accepted, ..Options::default() }).verdict
    };
    assert_eq!(said(None).findings()[0].anomaly, Anomaly::Lost);
    assert_eq!(said(Some(4_000_000_000)), Verdict::Valid);
    // Given up before the second was acknowledged, and it is lost.
    let Some(Op::All(all)) = script.events.last_mut().map(|event| &mut event.op) else { panic!() };
    *all = Some(Vec::new());
    let said = |loss_accepted| {
        judge(&script.events, &Options { loss_accepted, ..Options::default() }).verdict
    };
    assert_eq!(said(Some(4_000_000_000)).findings()[0].anomaly, Anomaly::Lost);
    // Who wrote when is not given up.
    let mut script = Script::default();
    script.invoke(1, Op::Add(0)).invoke(2, Op::Add(1));
    script.ok(1, Op::Add(0), "n1").ok(2, Op::Add(1), "n2/2");
    script.done(1, Op::Add(2), "n1").done(2, Op::Add(3), "n2/2");
    script.done(1, Op::Add(4), "n1").done(2, Op::All(Some((0..5).collect())), "n2/2");
    let given = Options { loss_accepted: Some(u64::MAX), ..Options::default() };
    let found = judge(&script.events, &given).verdict;
    assert_eq!(found.findings()[0].anomaly, Anomaly::TwoWriters);
}
