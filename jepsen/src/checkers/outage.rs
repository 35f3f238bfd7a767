//! What a failover cost, as clients saw it: how long, and how many rows. Never asks what the members did.

use super::calls::{Call, pair};
use super::elements::places;
use super::options::Options;
use super::presence::lost_of;
use crate::history::Event;

/// The longest time without an acknowledged write that ended after `at`, in nanoseconds: what a fault at that
/// time cost, for answers on their way may still come after it. `None` if no write was acknowledged before the
/// outage, or none after `at`.
pub fn outage_ns(history: &[Event], at: u64) -> Option<u64> {
    let calls = pair(history).ok()?;
    let acked = |call: &&Call<'_>| call.on_primary() && call.writes();
    let mut ends: Vec<u64> = calls.iter().filter(acked).map(|call| call.ended_at).collect();
    ends.sort_unstable();
    ends.windows(2).filter(|pair| pair[1] > at).map(|pair| pair[1] - pair[0]).max()
}

/// How many acknowledged elements of sets and lists the last reads no longer find.
pub fn lost(history: &[Event], options: &Options) -> usize {
    let calls = pair(history).unwrap_or_default();
    places(&calls).values().map(|all| lost_of(all, options).len()).sum()
}

#[cfg(test)]
mod tests {
    use super::super::calls::tests::Script;
    use super::*;
    use crate::history::{Op, Step};

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn the_outage_is_the_longest_gap_that_ended_after_the_fault() {
        let mut script = Script::default();
        script.done(1, Op::Add(1), "n1").invoke(2, Op::Add(2)).invoke(1, Op::Add(3));
        script.ok(2, Op::Add(2), "n1").fail(1, Op::Add(3)).done(2, Op::All(None), "n1");
        script.done(1, Op::Add(4), "n2/2").done(1, Op::Add(5), "n2/2");
        // Acknowledged at 1, 4, 9 and 11 seconds.
        assert_eq!(outage_ns(&script.events, 3 * SECOND), Some(5 * SECOND));
        assert_eq!(outage_ns(&script.events, 9 * SECOND), Some(2 * SECOND));
        assert_eq!(outage_ns(&script.events, 11 * SECOND), None);
    }

    #[test]
    fn all_that_is_lost_is_counted() {
        let mut script = Script::default();
        for element in 0..40 {
            let append = Op::Txn(vec![Step::Append { key: 1, value: element }]);
            script.done(1, Op::Add(element), "n1").done(1, append, "n1");
        }
        script.done(1, Op::All(Some((0..20).collect())), "n2/2");
        let read = Op::Txn(vec![Step::Read { key: 1, list: Some((0..35).collect()) }]);
        script.done(1, read, "n2/2").done(1, Op::Add(99), "n2/2");
        assert_eq!(lost(&script.events, &Options::default()), 25);
    }
}
