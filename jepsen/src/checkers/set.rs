//! The set: every acknowledged element is there in the end, once, and nothing else. Never judges lists.

use super::calls::Call;
use super::elements::{Place, places};
use super::options::Options;
use super::{Judged, presence};

pub(crate) fn check(calls: &[Call<'_>], options: &Options) -> Judged {
    let mut places = places(calls);
    places.retain(|place, _| *place == Place::Set);
    presence::check(&places, options)
}

#[cfg(test)]
mod tests {
    use super::super::calls::tests::Script;
    use super::super::presence::anomalies;
    use super::super::verdict::{Anomaly, Verdict};
    use super::*;
    use crate::history::Op;

    fn all(elements: &[u64]) -> Op {
        Op::All(Some(elements.to_vec()))
    }

    fn found(script: &Script) -> Vec<Anomaly> {
        anomalies(check(&script.calls(), &Options::default()))
    }

    #[test]
    fn a_clean_set_is_valid() {
        let mut script = Script::default();
        script.done(1, Op::Add(1), "n1").invoke(2, Op::Add(2)).unknown(2, Op::Add(2));
        script.invoke(3, Op::Add(3)).fail(3, Op::Add(3));
        script.done(4, all(&[1]), "n1").done(4, all(&[1, 2]), "n2/2");
        assert_eq!(found(&script), []);
        assert!(check(&[], &Options::default()).is_none());
    }

    #[test]
    fn what_was_acknowledged_and_is_not_there_is_lost() {
        let mut script = Script::default();
        script.done(1, Op::Add(1), "n1").done(1, Op::Add(2), "n1").done(2, all(&[2]), "n2/2");
        assert_eq!(found(&script), [Anomaly::Lost]);
        let calls = script.calls();
        let Verdict::Invalid { findings, .. } = check(&calls, &Options::default()).unwrap().verdict
        else {
            panic!("it is invalid");
        };
        assert_eq!(
            findings[0].text,
            "1 in the set was acknowledged to client 1 on n1 at 1.000 s (operation 1) and is lost: \
             client 2 on n2 at 5.000 s (operation 5) no longer finds it."
        );
        assert_eq!((&findings[0].ops[..], &findings[0].processes[..]), (&[1, 5][..], &[1, 2][..]));
        assert_eq!(findings[0].members, ["n1", "n2"]);
    }

    #[test]
    fn what_nobody_wrote_or_failed_to_write_is_a_phantom() {
        let mut script = Script::default();
        script.invoke(1, Op::Add(1)).fail(1, Op::Add(1)).done(2, all(&[1, 9]), "n1");
        assert_eq!(found(&script), [Anomaly::Phantom, Anomaly::Phantom]);
    }

    #[test]
    fn what_is_there_twice_is_a_duplicate() {
        let mut script = Script::default();
        script.done(1, Op::Add(1), "n1").done(2, all(&[1, 1]), "n1").done(2, all(&[1, 1]), "n1");
        assert_eq!(found(&script), [Anomaly::Duplicate]);
    }

    #[test]
    fn a_read_that_misses_what_was_acknowledged_before_is_stale_unless_a_replica_gave_it() {
        let mut script = Script::default();
        script.done(1, Op::Add(1), "n2/2").done(2, all(&[]), "n1").done(2, all(&[]), "~n3");
        script.done(2, all(&[1]), "n2/2");
        assert_eq!(found(&script), [Anomaly::Stale]);
    }

    #[test]
    fn a_replica_must_have_everything_in_the_end() {
        let mut script = Script::default();
        script.done(1, Op::Add(1), "n1").done(2, all(&[1]), "n1").done(3, all(&[]), "~n2");
        let calls = script.calls();
        let options = Options { final_reads_from: Some(2_000_000_000), ..Options::default() };
        assert_eq!(anomalies(check(&calls, &options)), [Anomaly::Stale]);
        assert_eq!(anomalies(check(&calls, &Options::default())), []);
    }

    #[test]
    fn what_is_never_read_is_not_known() {
        let mut script = Script::default();
        script.done(1, Op::Add(1), "n1");
        let verdict = check(&script.calls(), &Options::default()).unwrap().verdict;
        assert!(matches!(verdict, Verdict::Unknown { .. }), "{verdict:?}");
    }
}
