//! Operations from their beginning to their end, put together from a history. Never judges them.
//!
//! Order is that of the history: an answer is recorded after it came, a beginning before the question went,
//! so that what is recorded earlier ended before the other began.

use std::collections::HashMap;

use crate::history::{Event, Op, Phase, Stamp, Step};

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Acknowledged.
    Ok,
    /// It did not take place.
    Fail,
    /// Nobody told the client. It may take place at any later time.
    Unknown,
}

/// An operation, whole.
#[derive(Clone, Debug)]
pub(crate) struct Call<'h> {
    /// The index of its last event.
    pub(crate) index: u64,
    pub(crate) process: u32,
    /// With what was read, if it was acknowledged.
    pub(crate) op: &'h Op,
    pub(crate) end: End,
    /// Places in the history. What is unknown ends after everything.
    pub(crate) began: usize,
    pub(crate) ended: usize,
    /// The same in nanoseconds; what is unknown "ends" when the client gave up.
    pub(crate) began_at: u64,
    pub(crate) ended_at: u64,
    pub(crate) stamp: Option<&'h Stamp>,
}

impl Call<'_> {
    pub(crate) fn ok(&self) -> bool {
        self.end == End::Ok
    }

    /// Known to have ended before the other began.
    pub(crate) fn before(&self, other: &Call<'_>) -> bool {
        self.ended < other.began
    }

    /// An answer of a replica.
    pub(crate) fn on_replica(&self) -> bool {
        self.stamp.is_some_and(|stamp| stamp.replica)
    }

    /// Acknowledged by a primary, or by one that held itself for it.
    pub(crate) fn on_primary(&self) -> bool {
        self.ok() && !self.on_replica()
    }

    /// Whether it changes anything when it takes place.
    pub(crate) fn writes(&self) -> bool {
        writes(self.op)
    }

    /// "client 3 on n1 at 12.034 s (operation 17)"
    pub(crate) fn who(&self) -> String {
        let place = self.stamp.map_or_else(String::new, |stamp| {
            format!(" on {}{}", if stamp.replica { "replica " } else { "" }, stamp.member)
        });
        let at = seconds(if self.ok() { self.ended_at } else { self.began_at });
        format!("client {}{place} at {at} (operation {})", self.process, self.index)
    }
}

/// Whether it changes anything when it takes place.
pub(crate) fn writes(op: &Op) -> bool {
    match op {
        Op::Txn(steps) => steps.iter().any(|step| matches!(step, Step::Append { .. })),
        Op::Put { .. } | Op::Cas { .. } | Op::Transfer { .. } | Op::Add(_) => true,
        Op::Get { .. } | Op::Balances(_) | Op::All(_) => false,
    }
}

/// Nanoseconds as "12.034 s".
pub(crate) fn seconds(nanos: u64) -> String {
    format!("{}.{:03} s", nanos / 1_000_000_000, nanos / 1_000_000 % 1000)
}

/// Puts beginnings and ends together; what never ended is unknown. An end without a beginning is an error.
pub(crate) fn pair(events: &[Event]) -> Result<Vec<Call<'_>>, String> {
    let mut open: HashMap<u32, usize> = HashMap::new();
    let mut calls: Vec<Call<'_>> = Vec::with_capacity(events.len() / 2 + 1);
    let last = events.last().map_or(0, |event| event.time);
    for (place, event) in events.iter().enumerate() {
        if event.phase == Phase::Invoke {
            if open.insert(event.process, calls.len()).is_some() {
                let (process, index) = (event.process, event.index);
                return Err(format!("client {process} begins {index} before it ended another"));
            }
            calls.push(begun(event, place, last));
            continue;
        }
        let Some(at) = open.remove(&event.process) else {
            let (process, index) = (event.process, event.index);
            return Err(format!("event {index} ends what client {process} did not begin"));
        };
        end(&mut calls[at], event, place);
    }
    Ok(calls)
}

/// The same history, in which nobody knows what became of what was acknowledged before this time: an operator said so.
pub(crate) fn given_up(events: &[Event], until: u64) -> Vec<Event> {
    let mut events = events.to_vec();
    for event in events.iter_mut().filter(|event| event.time < until && event.phase == Phase::Ok) {
        event.phase = Phase::Info;
        event.stamp = None;
    }
    events
}

fn begun(event: &Event, place: usize, last: u64) -> Call<'_> {
    Call {
        index: event.index,
        process: event.process,
        op: &event.op,
        end: End::Unknown,
        began: place,
        ended: usize::MAX,
        began_at: event.time,
        ended_at: last,
        stamp: None,
    }
}

fn end<'h>(call: &mut Call<'h>, event: &'h Event, place: usize) {
    call.index = event.index;
    call.ended_at = event.time;
    call.stamp = event.stamp.as_ref();
    match event.phase {
        Phase::Ok => {
            (call.end, call.ended, call.op) = (End::Ok, place, &event.op);
        }
        Phase::Fail => (call.end, call.ended) = (End::Fail, place),
        Phase::Info | Phase::Invoke => {}
    }
}

/// Histories for tests, in a few words.
#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Writes a history down, a second an event.
    #[derive(Default)]
    pub(crate) struct Script {
        pub(crate) events: Vec<Event>,
    }

    impl Script {
        pub(crate) fn event(&mut self, process: u32, phase: Phase, op: Op, stamp: Option<Stamp>) {
            let index = self.events.len() as u64;
            let time = index * 1_000_000_000;
            self.events.push(Event { index, time, process, phase, op, stamp, error: None });
        }

        pub(crate) fn invoke(&mut self, process: u32, op: Op) -> &mut Self {
            self.event(process, Phase::Invoke, op, None);
            self
        }

        pub(crate) fn fail(&mut self, process: u32, op: Op) -> &mut Self {
            self.event(process, Phase::Fail, op, None);
            self
        }

        pub(crate) fn unknown(&mut self, process: u32, op: Op) -> &mut Self {
            self.event(process, Phase::Info, op, None);
            self
        }

        /// `place` is `n1/1/100`: a member, its timeline, its LSN; `~n2/1/100` is a replica.
        pub(crate) fn ok(&mut self, process: u32, op: Op, place: &str) -> &mut Self {
            let mut parts = place.trim_start_matches('~').split('/');
            let member = parts.next().unwrap().to_owned();
            let timeline = parts.next().map_or(1, |part| part.parse().unwrap());
            let lsn = parts.next().map_or(1, |part| part.parse().unwrap());
            let replica = place.starts_with('~');
            self.event(process, Phase::Ok, op, Some(Stamp { member, timeline, lsn, replica }));
            self
        }

        /// Begins and ends with nothing in between.
        pub(crate) fn done(&mut self, process: u32, op: Op, place: &str) -> &mut Self {
            self.invoke(process, op.clone()).ok(process, op, place)
        }

        pub(crate) fn calls(&self) -> Vec<Call<'_>> {
            pair(&self.events).unwrap()
        }
    }

    #[test]
    fn an_end_without_a_beginning_is_refused() {
        let mut script = Script::default();
        script.ok(1, Op::Add(1), "n1");
        assert!(pair(&script.events).unwrap_err().contains("did not begin"));
        let mut script = Script::default();
        script.invoke(1, Op::Add(1)).invoke(1, Op::Add(2));
        assert!(pair(&script.events).unwrap_err().contains("before it ended"));
    }

    #[test]
    fn what_never_ended_ends_after_everything() {
        let mut script = Script::default();
        script.invoke(1, Op::Add(1)).done(2, Op::Add(2), "n1");
        let calls = script.calls();
        assert_eq!(calls[0].end, End::Unknown);
        assert!(!calls[0].before(&calls[1]) && !calls[1].before(&calls[0]));
    }
}
