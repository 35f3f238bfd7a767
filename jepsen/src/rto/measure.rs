//! What an accident cost, from what clients were told. Looks at no log and no clock but the history's.

use std::collections::HashSet;

use anyhow::Context as _;

use crate::checkers::overlap_ns;
use crate::history::{Event, Op, Phase};
use crate::hosts::Lab;
use crate::report::rto::Outage;
use crate::workloads::record::routed;

const MILLI: u64 = 1_000_000;

/// The events from `from` on, without the ends of what began before.
pub(super) fn window(events: &[Event], from: u64) -> Vec<Event> {
    let mut open: HashSet<u32> = HashSet::new();
    let later = events.iter().filter(|event| event.time >= from);
    let whole = later.filter(|event| match event.phase {
        Phase::Invoke => open.insert(event.process),
        Phase::Ok | Phase::Fail | Phase::Info => open.remove(&event.process),
    });
    whole.cloned().collect()
}

/// The elements that this member has.
pub(super) async fn there(lab: &Lab, member: &str) -> anyhow::Result<HashSet<u64>> {
    let client = lab.superuser(member).await?;
    let rows = client.query("SELECT id FROM elements", &[]).await;
    let rows = rows.with_context(|| format!("{member} does not answer what it has"))?;
    let ids = rows.iter().filter_map(|row| row.try_get::<_, i64>(0).ok());
    Ok(ids.filter_map(|id| u64::try_from(id).ok()).collect())
}

/// The outage is the longest time without an acknowledgement to a client that goes where the routes lead, if it
/// ended after the accident.
pub(super) fn cost(events: &[Event], there: &HashSet<u64>, began: u64, whole: u64) -> Outage {
    let acknowledged = |event: &&Event| event.phase == Phase::Ok;
    let times: Vec<u64> = events
        .iter()
        .filter(acknowledged)
        .filter(|event| routed(event.process))
        .map(|event| event.time)
        .collect();
    let gaps = times.windows(2).filter(|pair| pair[1] > began);
    let longest = gaps.map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
    let gone = events.iter().filter(acknowledged).filter(|event| match event.op {
        Op::Add(element) => !there.contains(&element),
        _ => false,
    });
    Outage {
        outage_ms: longest / MILLI,
        lost: u64::try_from(gone.count()).unwrap_or(u64::MAX),
        dual_ack_ms: overlap_ns(events).div_ceil(MILLI),
        redundancy_ms: Some(whole.saturating_sub(began) / MILLI),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(index: u64, process: u32, phase: Phase, element: u64) -> Event {
        let (time, op) = (index * MILLI, Op::Add(element));
        Event { index, time, process, phase, op, stamp: None, error: None }
    }

    #[test]
    fn the_outage_is_the_longest_gap_that_ended_after_the_accident() {
        let mut events = Vec::new();
        for (at, element) in [(0, 1), (90, 2), (100, 3), (140, 4), (141, 5)] {
            events.push(event(at, 1, Phase::Invoke, element));
            events.push(event(at, 1, Phase::Ok, element));
        }
        events.push(event(120, 2_000_000, Phase::Invoke, 6));
        events.push(event(120, 2_000_000, Phase::Ok, 6));
        let there = HashSet::from([1, 2, 3, 4, 6]);
        let cost = cost(&events, &there, 95 * MILLI, 500 * MILLI);
        assert_eq!((cost.outage_ms, cost.lost, cost.redundancy_ms), (40, 1, Some(405)));
    }

    #[test]
    fn a_window_holds_no_end_without_its_beginning() {
        let events = [
            event(0, 1, Phase::Invoke, 1),
            event(5, 1, Phase::Ok, 1),
            event(6, 1, Phase::Invoke, 2),
        ];
        assert_eq!(window(&events, 3 * MILLI).len(), 1);
    }
}
