//! Lists: every acknowledged append is there in the end, once, and nothing else. Never judges their order.

use super::calls::Call;
use super::elements::{Place, places};
use super::options::Options;
use super::{Judged, presence};

pub(crate) fn check(calls: &[Call<'_>], options: &Options) -> Judged {
    let mut places = places(calls);
    places.retain(|place, _| *place != Place::Set);
    presence::check(&places, options)
}

#[cfg(test)]
mod tests {
    use super::super::calls::tests::Script;
    use super::super::presence::anomalies;
    use super::super::verdict::Anomaly;
    use super::*;
    use crate::history::{Op, Step};

    fn append(key: u64, value: u64) -> Op {
        Op::Txn(vec![Step::Append { key, value }])
    }

    fn read(key: u64, list: &[u64]) -> Op {
        Op::Txn(vec![Step::Read { key, list: Some(list.to_vec()) }])
    }

    fn found(script: &Script) -> Vec<Anomaly> {
        anomalies(check(&script.calls(), &Options::default()))
    }

    #[test]
    fn each_list_is_judged_by_itself() {
        let mut script = Script::default();
        script.done(1, append(1, 5), "n1").done(1, append(2, 5), "n1");
        script.done(2, read(1, &[5]), "n1").done(2, read(2, &[5]), "n1");
        assert_eq!(found(&script), []);
        script.done(1, append(1, 6), "n1").done(2, read(1, &[5]), "n2/2");
        assert_eq!(found(&script), [Anomaly::Lost]);
    }

    #[test]
    fn duplicates_phantoms_and_stale_reads_are_found_in_lists_too() {
        let mut script = Script::default();
        script.done(1, append(1, 1), "n1").done(2, read(1, &[]), "n2").done(2, read(1, &[1]), "n1");
        script.done(1, append(2, 1), "n1").done(2, read(2, &[1, 1, 8]), "n1");
        assert_eq!(found(&script), [Anomaly::Stale, Anomaly::Phantom, Anomaly::Duplicate]);
    }
}
