//! Own writes that a replica does not show and steps back, planted and found; and what nobody promised.

use super::super::calls::tests::Script;
use super::*;
use crate::history::Op;

fn all(elements: &[u64]) -> Op {
    Op::All(Some(elements.to_vec()))
}

fn get(value: i64) -> Op {
    Op::Get { key: 1, value: Some(value) }
}

fn put(value: i64) -> Op {
    Op::Put { key: 1, value }
}

fn judged(script: &Script, replica_reads: ReplicaReads) -> (Vec<Anomaly>, Vec<Anomaly>) {
    let options = Options { replica_reads, ..Options::default() };
    let sentence = check(&script.calls(), &options).unwrap();
    let names = |findings: &[Finding]| -> Vec<Anomaly> {
        findings.iter().map(|finding| finding.anomaly).collect()
    };
    (names(sentence.verdict.findings()), names(&sentence.apart))
}

#[test]
fn a_session_that_sees_its_own_and_never_less_is_valid() {
    let mut script = Script::default();
    script.done(1, Op::Add(1), "n1").done(1, all(&[1]), "~n2").done(2, Op::Add(2), "n1");
    script.done(1, all(&[1]), "~n3").done(1, all(&[2, 1]), "~n3").done(1, put(1), "n1");
    script.done(1, get(1), "~n2").done(2, put(2), "n1").done(1, get(2), "~n2");
    assert_eq!(judged(&script, ReplicaReads::Session), (vec![], vec![]));
}

#[test]
fn an_own_write_that_is_not_shown_is_found_where_it_was_promised() {
    let mut script = Script::default();
    script.done(1, Op::Add(1), "n1").done(1, all(&[]), "~n2").done(2, all(&[]), "~n2");
    script.done(1, put(1), "n1").done(1, get(0), "~n2");
    let both = vec![Anomaly::ReadYourWrites, Anomaly::ReadYourWrites];
    assert_eq!(judged(&script, ReplicaReads::Session), (both, vec![]));
    assert_eq!(judged(&script, ReplicaReads::Stale), (vec![], vec![]));
}

#[test]
fn own_writes_are_promised_to_some() {
    let mut script = Script::default();
    for client in [1, 7] {
        script.done(client, Op::Add(u64::from(client)), "n1").done(client, all(&[]), "~n2");
    }
    let options = Options { sessions_from: Some(7), ..Options::default() };
    let sentence = check(&script.calls(), &options).unwrap();
    let found: Vec<&Finding> = sentence.verdict.findings().iter().collect();
    assert!(matches!(found[..], [one] if one.processes == [7]), "{found:?}");
}

#[test]
fn a_step_back_is_found_and_told_apart_where_nothing_was_promised() {
    let mut script = Script::default();
    script.done(1, Op::Add(1), "n1").done(2, all(&[1]), "~n2").done(2, all(&[]), "~n2");
    script.done(1, put(1), "n1").done(2, get(1), "~n2").done(2, get(0), "~n2");
    let both = vec![Anomaly::MonotonicReads, Anomaly::MonotonicReads];
    assert_eq!(judged(&script, ReplicaReads::Session), (both.clone(), vec![]));
    assert_eq!(judged(&script, ReplicaReads::Stale), (vec![], both));
}

#[test]
fn a_step_back_between_two_replicas_is_one_only_where_it_was_promised() {
    let mut script = Script::default();
    script.done(1, Op::Add(1), "n1").done(2, all(&[1]), "~n2").done(2, all(&[]), "~n3");
    assert_eq!(judged(&script, ReplicaReads::Session), (vec![Anomaly::MonotonicReads], vec![]));
    assert_eq!(judged(&script, ReplicaReads::Stale), (vec![], vec![]));
}

#[test]
fn values_written_at_once_are_of_no_order() {
    let mut script = Script::default();
    script.invoke(1, put(1)).done(2, put(2), "n1").ok(1, put(1), "n1");
    script.done(1, get(2), "~n2").done(2, get(1), "~n2").done(2, get(2), "~n2");
    assert_eq!(judged(&script, ReplicaReads::Session), (vec![], vec![]));
}
