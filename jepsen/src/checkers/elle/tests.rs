//! Each of Elle's classes, planted and found; and clean histories that pass.

use super::super::calls::tests::Script;
use super::super::options::Exposure;
use super::super::verdict::{Anomaly, Verdict};
use super::*;
use crate::history::Step;

fn a(key: u64, value: u64) -> Step {
    Step::Append { key, value }
}

fn r(key: u64, list: &[u64]) -> Step {
    Step::Read { key, list: Some(list.to_vec()) }
}

fn t(steps: &[Step]) -> Op {
    Op::Txn(steps.to_vec())
}

fn read_committed() -> Options {
    Options { isolation: Isolation::ReadCommitted, ..Options::default() }
}

fn judged(script: &Script, options: &Options) -> (Vec<Anomaly>, Vec<Anomaly>) {
    let sentence = check(&script.calls(), options).unwrap();
    assert!(!matches!(sentence.verdict, Verdict::Unknown { .. }), "{:?}", sentence.verdict);
    let names = |findings: &[Finding]| -> Vec<Anomaly> {
        findings.iter().map(|finding| finding.anomaly).collect()
    };
    (names(sentence.verdict.findings()), names(&sentence.apart))
}

fn found(script: &Script) -> Vec<Anomaly> {
    judged(script, &Options::default()).0
}

/// Both begin before either ends.
fn together(script: &mut Script, one: (Op, &str), other: (Op, &str)) {
    script.invoke(1, one.0.clone()).invoke(2, other.0.clone());
    script.ok(1, one.0, one.1).ok(2, other.0, other.1);
}

#[test]
fn clean_transactions_are_valid() {
    let mut script = Script::default();
    script.done(1, t(&[a(1, 1), r(1, &[1])]), "n1").done(2, t(&[a(1, 2)]), "n1");
    script.invoke(3, t(&[a(1, 3)])).unknown(3, t(&[a(1, 3)]));
    script.done(4, t(&[r(1, &[1, 2, 3])]), "n2/2").done(5, t(&[r(1, &[1])]), "~n3");
    assert_eq!(judged(&script, &Options::default()), (vec![], vec![]));
    assert_eq!(judged(&script, &read_committed()), (vec![], vec![]));
}

#[test]
fn writes_in_a_circle_are_g0() {
    let mut script = Script::default();
    let (one, other) = (t(&[a(1, 1), a(2, 1)]), t(&[a(1, 2), a(2, 2)]));
    together(&mut script, (one, "n1"), (other, "n1"));
    script.done(3, t(&[r(1, &[1, 2]), r(2, &[2, 1])]), "n1");
    assert_eq!(found(&script), [Anomaly::G0]);
    assert_eq!(judged(&script, &read_committed()).0, [Anomaly::G0]);
}

#[test]
fn a_read_of_what_was_rolled_back_is_g1a() {
    let mut script = Script::default();
    script.invoke(1, t(&[a(1, 1)])).fail(1, t(&[a(1, 1)])).done(2, t(&[r(1, &[1]), a(2, 1)]), "n1");
    script.done(2, t(&[r(2, &[1])]), "n1");
    assert_eq!(found(&script), [Anomaly::G1a]);
}

#[test]
fn a_read_of_the_middle_is_g1b() {
    let mut script = Script::default();
    let (one, other) = (t(&[a(1, 1), a(1, 2)]), t(&[r(1, &[1])]));
    together(&mut script, (one, "n1"), (other, "n1"));
    script.done(2, t(&[r(1, &[1, 2])]), "n1");
    assert!(judged(&script, &read_committed()).0.contains(&Anomaly::G1b));
    assert!(found(&script).contains(&Anomaly::G1b));
}

#[test]
fn two_that_build_on_one_state_are_a_lost_update() {
    let mut script = Script::default();
    let (one, other) = (t(&[r(1, &[]), a(1, 1)]), t(&[r(1, &[]), a(1, 2)]));
    together(&mut script, (one, "n1"), (other, "n1"));
    script.done(3, t(&[r(1, &[1, 2])]), "n1");
    assert!(found(&script).contains(&Anomaly::LostUpdate), "{:?}", found(&script));
    // READ COMMITTED promises nothing of that.
    assert!(!judged(&script, &read_committed()).0.contains(&Anomaly::LostUpdate));
}

#[test]
fn one_that_builds_on_what_was_rolled_back_is_a_dirty_update() {
    let mut script = Script::default();
    script.invoke(1, t(&[a(1, 1)])).fail(1, t(&[a(1, 1)])).done(2, t(&[a(1, 2)]), "n1");
    script.done(3, t(&[r(1, &[1, 2])]), "n1");
    for options in [Options::default(), read_committed()] {
        let (found, _) = judged(&script, &options);
        assert!(found.contains(&Anomaly::DirtyUpdate), "{found:?}");
    }
}

#[test]
fn reads_in_a_circle_are_g1c() {
    let mut script = Script::default();
    let (one, other) = (t(&[a(1, 1), r(2, &[2])]), t(&[a(2, 2), r(1, &[1])]));
    together(&mut script, (one, "n1"), (other, "n1"));
    assert_eq!(found(&script), [Anomaly::G1c]);
    assert_eq!(judged(&script, &read_committed()).0, [Anomaly::G1c]);
}

#[test]
fn read_skew_is_g_single_and_read_committed_allows_it() {
    let mut script = Script::default();
    let (one, other) = (t(&[r(1, &[]), r(2, &[1])]), t(&[a(1, 1), a(2, 1)]));
    together(&mut script, (one, "n1"), (other, "n1"));
    script.done(3, t(&[r(1, &[1])]), "n1");
    assert_eq!(found(&script), [Anomaly::GSingle]);
    assert_eq!(judged(&script, &read_committed()).0, []);
}

#[test]
fn write_skew_within_one_primary_is_told_apart_and_across_two_it_fails() {
    let skew = |other_place: &str| {
        let mut script = Script::default();
        let (one, other) = (t(&[r(1, &[]), a(2, 1)]), t(&[r(2, &[]), a(1, 1)]));
        together(&mut script, (one, "n1"), (other, other_place));
        script.done(3, t(&[r(1, &[1]), r(2, &[1])]), "n1");
        judged(&script, &Options::default())
    };
    assert_eq!(skew("n1"), (vec![], vec![Anomaly::G2Item]));
    assert_eq!(skew("n2"), (vec![Anomaly::G2Item], vec![]));
    assert_eq!(skew("n1/2"), (vec![Anomaly::G2Item], vec![]));
}

#[test]
fn a_long_fork_with_a_replica_is_told_apart_and_without_one_it_fails() {
    let fork = |place: &str| {
        let mut script = Script::default();
        script.invoke(1, t(&[a(1, 1)])).invoke(2, t(&[a(2, 1)]));
        script.done(3, t(&[r(1, &[1]), r(2, &[])]), place);
        script.done(4, t(&[r(1, &[]), r(2, &[1])]), "n1");
        script.ok(1, t(&[a(1, 1)]), "n1").ok(2, t(&[a(2, 1)]), "n1");
        script.done(5, t(&[r(1, &[1]), r(2, &[1])]), "n1");
        judged(&script, &Options::default())
    };
    assert_eq!(fork("~n2"), (vec![], vec![Anomaly::GNonadjacent]));
    // The second reader of a primary began after the first had ended: that is read skew as well.
    assert_eq!(fork("n1"), (vec![Anomaly::GNonadjacent, Anomaly::GSingle], vec![]));
}

#[test]
fn two_histories_of_a_list_name_both_readers() {
    let mut script = Script::default();
    script.done(1, t(&[a(1, 1)]), "n1").done(2, t(&[r(1, &[1])]), "n1");
    script.done(3, t(&[a(1, 2)]), "n2/2").done(4, t(&[r(1, &[2])]), "n2/2");
    let sentence = check(&script.calls(), &Options::default()).unwrap();
    let finding = sentence
        .verdict
        .findings()
        .iter()
        .find(|finding| finding.anomaly == Anomaly::IncompatibleOrder)
        .unwrap();
    assert_eq!((&finding.ops[..], &finding.processes[..]), (&[3, 7][..], &[2, 4][..]));
    assert!(finding.text.contains("client 4 on n2 at 7.000 s (operation 7)"), "{}", finding.text);
}

#[test]
fn a_lost_append_contradicts_real_time_and_the_sentence_says_so() {
    let mut script = Script::default();
    script.done(1, t(&[a(1, 1)]), "n1").done(2, t(&[r(1, &[]), a(2, 1)]), "n2/2");
    script.done(2, t(&[r(2, &[1])]), "n2/2");
    let sentence = check(&script.calls(), &Options::default()).unwrap();
    let finding = &sentence.verdict.findings()[0];
    assert_eq!(finding.anomaly, Anomaly::GSingle);
    assert!(finding.text.starts_with("Read skew (G-single-item-realtime): "), "{}", finding.text);
    assert!(finding.text.contains("; but "), "{}", finding.text);
    assert_eq!(finding.members, ["n1", "n2"]);
}

#[test]
fn under_read_committed_an_append_that_is_overtaken_is_found_too() {
    let mut script = Script::default();
    script.done(1, t(&[a(1, 1)]), "n1").done(2, t(&[a(1, 2)]), "n2/2");
    script.done(3, t(&[r(1, &[2])]), "n2/2");
    assert_eq!(judged(&script, &read_committed()).0, [Anomaly::G0]);
}

#[test]
fn a_replica_that_skips_is_found() {
    let mut script = Script::default();
    script.done(1, t(&[a(1, 1)]), "n1").done(1, t(&[r(1, &[1]), a(2, 1)]), "n1");
    script.done(2, t(&[r(1, &[]), r(2, &[1])]), "~n2").done(1, t(&[r(2, &[1])]), "n1");
    assert_eq!(found(&script), [Anomaly::GSingle]);
}

#[test]
fn duplicates_and_contradictions_of_one_transaction_are_found() {
    let mut script = Script::default();
    script.done(1, t(&[a(1, 1), r(1, &[])]), "n1").done(2, t(&[r(1, &[1, 1])]), "n1");
    let found = found(&script);
    assert!(found.contains(&Anomaly::Internal) && found.contains(&Anomaly::Duplicate), "{found:?}");
}

#[test]
fn counted_exposure_does_not_fail_the_graph() {
    let mut script = Script::default();
    script.invoke(1, t(&[a(1, 1)])).done(2, t(&[r(1, &[1])]), "n1").unknown(1, t(&[a(1, 1)]));
    script.done(3, t(&[a(1, 2)]), "n2/2").done(4, t(&[r(1, &[2])]), "n2/2");
    assert!(found(&script).contains(&Anomaly::IncompatibleOrder));
    let options = Options { exposure: Exposure::Counted, ..Options::default() };
    assert_eq!(judged(&script, &options).0, []);
}

#[test]
fn transactions_without_a_bond_say_nothing() {
    let mut script = Script::default();
    script.invoke(1, t(&[a(1, 1)]));
    let verdict = check(&script.calls(), &Options::default()).unwrap().verdict;
    assert!(matches!(verdict, Verdict::Unknown { .. }), "{verdict:?}");
}
