//! Reads at a primary that another one had deposed: until its deadline it may be read, and knows nothing newer. Never
//! an excuse for a write.

use super::calls::writes;
use super::options::{Leadership, Options};
use crate::history::{Event, Phase, Stamp};

/// The same history, in which such a read is one of a replica: it may lie in the past. `None` if there is no such read.
pub(crate) fn read_as_replicas(events: &[Event], options: &Options) -> Option<Vec<Event>> {
    let late = |event: &Event| is_late(event, options);
    if !events.iter().any(late) {
        return None;
    }
    let mut events = events.to_vec();
    for event in events.iter_mut().filter(|event| late(event)) {
        if let Some(stamp) = &mut event.stamp {
            stamp.replica = true;
        }
    }
    Some(events)
}

/// How many reads that is.
pub fn deposed_reads(events: &[Event], options: &Options) -> usize {
    events.iter().filter(|event| is_late(event, options)).count()
}

fn is_late(event: &Event, options: &Options) -> bool {
    let Some(stamp) = event.stamp.as_ref().filter(|stamp| !stamp.replica) else { return false };
    if event.phase != Phase::Ok || writes(&event.op) {
        return false;
    }
    let slack = options.record_slack;
    successor(&options.leaderships, stamp).is_some_and(|next| {
        let until = next.from.saturating_add(options.deposed_reads);
        next.from <= event.time.saturating_add(slack) && event.time <= until.saturating_add(slack)
    })
}

/// Who led next after this member had led on this timeline.
fn successor<'l>(all: &'l [Leadership], stamp: &Stamp) -> Option<&'l Leadership> {
    let own = |one: &Leadership| one.leader == stamp.member && one.timeline == Some(stamp.timeline);
    let last = all.iter().rposition(own)?;
    all[last..].iter().find(|one| one.leader != stamp.member)
}

#[cfg(test)]
mod tests {
    use super::super::calls::tests::Script;
    use super::super::{Anomaly, Verdict, judge};
    use super::*;
    use crate::history::Op;

    const SECOND: u64 = 1_000_000_000;

    fn led(term: u64, leader: &str, from: u64, to: Option<u64>) -> Leadership {
        let (from, to) = (from * SECOND, to.map(|to| to * SECOND));
        let timeline = u32::try_from(term).ok();
        Leadership { term, leader: leader.to_owned(), timeline, from, to }
    }

    fn options(seconds: u64) -> Options {
        let leaderships = vec![led(1, "n1", 0, Some(2)), led(2, "n2", 2, None)];
        Options { leaderships, deposed_reads: seconds * SECOND, ..Options::default() }
    }

    /// An element that n2 has acknowledged, and a read of n1 after that.
    fn missed(last: &str) -> Script {
        let mut script = Script::default();
        script.done(1, Op::Add(1), "n1/1").done(1, Op::Add(2), "n2/2");
        script.done(3, Op::All(Some(vec![1])), last);
        script.done(2, Op::All(Some(vec![1, 2])), "n2/2");
        script
    }

    #[test]
    fn a_deposed_primary_may_be_read_until_its_deadline() {
        let script = missed("n1/1");
        assert_eq!(judge(&script.events, &options(4)).verdict, Verdict::Valid);
        assert_eq!(deposed_reads(&script.events, &options(4)), 1);
        let found = judge(&script.events, &options(2)).verdict;
        assert_eq!(found.findings()[0].anomaly, Anomaly::Stale);
        assert_eq!(deposed_reads(&script.events, &options(0)), 0);
    }

    #[test]
    fn one_that_leads_or_never_led_is_read_as_ever() {
        for place in ["n2/2", "n3/3", "n1/3"] {
            let found = judge(&missed(place).events, &options(9)).verdict;
            assert!(!found.findings().is_empty(), "{place}");
        }
    }

    #[test]
    fn what_it_acknowledges_is_no_read() {
        let mut script = missed("n1/1");
        script.done(1, Op::Add(3), "n1/1").done(2, Op::All(Some(vec![1, 2, 3])), "n2/2");
        let found = judge(&script.events, &options(99)).verdict;
        assert!(!found.findings().is_empty());
    }
}
