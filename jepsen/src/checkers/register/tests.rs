//! Reads and swaps that no order explains, planted and found; and the search beside one that tries everything.

use super::super::calls::tests::Script;
use super::super::verdict::Verdict;
use super::*;

fn get(value: i64) -> Op {
    Op::Get { key: 1, value: Some(value) }
}

fn put(value: i64) -> Op {
    Op::Put { key: 1, value }
}

fn verdict(script: &Script, budget: u64) -> Verdict {
    let options = Options { budget, ..Options::default() };
    check(&script.calls(), &options).unwrap().verdict
}

fn valid(script: &Script) -> bool {
    verdict(script, 100_000).is_valid()
}

#[test]
fn one_copy_is_valid() {
    let mut script = Script::default();
    script.done(1, get(0), "n1").invoke(1, put(1)).done(2, get(0), "n1").done(2, get(1), "n1");
    script.ok(1, put(1), "n1").done(3, Op::Cas { key: 1, from: 1, to: 2 }, "n1");
    script.done(2, get(2), "n1").done(4, get(0), "~n2");
    assert!(valid(&script));
}

#[test]
fn a_stale_read_is_found_and_named() {
    let mut script = Script::default();
    script.done(1, put(1), "n1").done(1, put(2), "n1").done(2, get(1), "n2");
    let Verdict::Invalid { findings, more: 0 } = verdict(&script, 100_000) else {
        panic!("it is invalid");
    };
    assert_eq!(
        findings[0].text,
        "client 2 on n2 at 5.000 s (operation 5) found 1 in register 1, older than what had been \
         acknowledged to client 1 on n1 at 3.000 s (operation 3)."
    );
    assert_eq!(findings[0].ops, [3, 5]);
}

#[test]
fn a_lost_write_is_found() {
    let mut script = Script::default();
    script.done(1, put(1), "n1").done(2, get(0), "n2");
    assert!(!valid(&script));
}

#[test]
fn a_read_that_goes_back_during_one_write_is_found() {
    let mut script = Script::default();
    script.invoke(1, put(1)).done(2, get(1), "n1").done(3, get(0), "n1").ok(1, put(1), "n1");
    let verdict = verdict(&script, 100_000);
    assert_eq!(
        verdict.findings()[0].text,
        "No order of operations explains register 1: client 3 on n1 at 4.000 s (operation 4) read 0, but at \
         best it held 1, put there by client 1 on n1 at 5.000 s (operation 5)."
    );
}

#[test]
fn a_value_that_nobody_wrote_is_a_phantom() {
    let mut script = Script::default();
    script.done(1, put(1), "n1").done(2, get(7), "n1");
    assert_eq!(verdict(&script, 100_000).findings()[0].anomaly, Anomaly::Phantom);
}

#[test]
fn two_swaps_from_one_value_are_found() {
    let mut script = Script::default();
    let swap = |to| Op::Cas { key: 1, from: 0, to };
    script.invoke(1, swap(1)).done(2, swap(2), "n2").ok(1, swap(1), "n1");
    assert!(!valid(&script));
}

#[test]
fn what_is_unknown_may_take_place_late_or_never_but_a_failure_never_does() {
    let mut script = Script::default();
    script.invoke(1, put(7)).unknown(1, put(7)).done(2, get(0), "n1");
    assert!(valid(&script));
    script.done(2, get(7), "n1");
    assert!(valid(&script));
    script.done(2, get(0), "n1");
    assert!(!valid(&script));
    let mut script = Script::default();
    script.invoke(1, put(7)).fail(1, put(7)).done(2, get(7), "n1");
    assert!(!valid(&script));
}

#[test]
fn a_search_without_budget_says_so() {
    let mut script = Script::default();
    for process in 0..12 {
        script.invoke(process, put(i64::from(process) + 1));
    }
    for process in 0..12 {
        script.ok(process, put(i64::from(process) + 1), "n1");
    }
    script.done(20, get(1), "n1").done(20, get(2), "n1");
    let verdict = verdict(&script, 500);
    assert!(matches!(&verdict, Verdict::Unknown { reason } if reason.contains("register 1")));
}

#[test]
fn unknown_writes_that_are_met_much_later_do_not_tire_the_search() {
    let mut script = Script::default();
    for value in 1..=20 {
        script.invoke(value as u32, put(value)).unknown(value as u32, put(value));
    }
    for value in (1..=20).rev() {
        script.done(30, put(100 + value), "n1").done(30, get(value), "n1");
    }
    assert_eq!(verdict(&script, 10_000), Verdict::Valid);
}

/// Tries every order of everything, with and without what is unknown.
fn by_trying_all(calls: &[&Call<'_>], done: &mut Vec<bool>, held: i64) -> bool {
    let open = |call: usize, done: &[bool]| !done[call] && calls[call].ok();
    if !(0..calls.len()).any(|call| open(call, done)) {
        return true;
    }
    for next in 0..calls.len() {
        let waits =
            (0..calls.len()).any(|call| open(call, done) && calls[call].before(calls[next]));
        let after = match calls[next].op {
            Op::Get { value, .. } => (*value == Some(held)).then_some(held),
            Op::Put { value, .. } => Some(*value),
            Op::Cas { from, to, .. } => (*from == held).then_some(*to),
            _ => None,
        };
        let Some(after) = after.filter(|_| !done[next] && !waits) else { continue };
        done[next] = true;
        let found = by_trying_all(calls, done, after);
        done[next] = false;
        if found {
            return true;
        }
    }
    false
}

/// A few operations with few values at once, answered without any sense.
fn nonsense(mut seed: u64) -> Script {
    let mut below = |limit: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % limit
    };
    let mut script = Script::default();
    let mut clients: Vec<Option<Op>> = vec![None; 4];
    for _ in 0..16 {
        let at = below(4) as usize;
        let process = at as u32;
        let mut value = || below(3) as i64;
        let Some(op) = clients[at].take() else {
            let (one, other) = (value(), value());
            let op = match value() {
                0 => get(one),
                1 => put(one),
                _ => Op::Cas { key: 1, from: one, to: other },
            };
            script.invoke(process, op.clone());
            clients[at] = Some(op);
            continue;
        };
        match below(8) {
            0 => script.unknown(process, op),
            1 => script.fail(process, op),
            _ => script.ok(process, op, "n1"),
        };
    }
    script
}

#[test]
fn the_search_agrees_with_one_that_tries_everything() {
    let mut verdicts = [0, 0];
    for seed in 0..4_000 {
        let script = nonsense(seed);
        let calls = script.calls();
        let Some(ours) = check(&calls, &Options::default()) else { continue };
        let registers = registers(&calls);
        let calls = &registers[&1];
        let expected = by_trying_all(calls, &mut vec![false; calls.len()], 0);
        assert_eq!(ours.verdict.is_valid(), expected, "seed {seed}: {:#?}", script.events);
        let searched = wgl::search(&tasks(calls), 1_000_000);
        assert_eq!(searched == Outcome::Ordered, expected, "seed {seed}: {:#?}", script.events);
        verdicts[usize::from(expected)] += 1;
    }
    println!("{} had no order, {} had one", verdicts[0], verdicts[1]);
    assert!(verdicts.iter().all(|count| *count > 400), "{verdicts:?}");
}
