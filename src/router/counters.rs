//! What the router has done and holds, for `GET /router`. Counts only.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use haa_core::routes::Status;
use haa_core::units::MemberName;
use serde::Serialize;

/// One number.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn one(&self) {
        self.add(1);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// One more for as long as the answer lives, unless there are `limit` already.
    pub(super) fn enter(&self, limit: u64) -> Option<Inside<'_>> {
        let next = |inside| (inside < limit).then(|| inside + 1);
        let entered = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        // Made only then: one that is dropped goes out again.
        entered.is_ok().then(|| Inside(self))
    }
}

/// One of those that are inside.
#[derive(Debug)]
pub(super) struct Inside<'a>(&'a Count);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The counts of one port.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) accepted: Count,
    pub(super) clients: Count,
    pub(super) held: Count,
    pub(super) held_ever: Count,
    pub(super) hold_expired: Count,
    pub(super) sent_on: Count,
    pub(super) cut: Count,
    pub(super) over_limit: Count,
    pub(super) unreadable: Count,
    pub(super) silent: Count,
    pub(super) cancels: Count,
    pub(super) bytes_to_server: Count,
    pub(super) bytes_to_client: Count,
    servers: Mutex<BTreeMap<MemberName, (u64, u64)>>,
}

impl Counts {
    /// Of these members, the one with the fewest connections now; of those, the one with the fewest ever. It has one
    /// more for as long as the answer lives.
    pub(super) fn fewest<'s, T>(
        &self,
        seats: &'s [T],
        member: impl Fn(&T) -> &MemberName,
    ) -> Option<(&'s T, Seated<'_>)> {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let load = |seat: &&T| servers.get(member(seat)).copied().unwrap_or_default();
        let seat = seats.iter().min_by_key(load)?;
        let member = member(seat).clone();
        let (now, ever) = servers.entry(member.clone()).or_default();
        (*now, *ever) = (*now + 1, *ever + 1);
        Some((seat, Seated { counts: self, member }))
    }

    fn shown(&self) -> Port {
        let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        Port {
            accepted: self.accepted.get(),
            clients: self.clients.get(),
            held: self.held.get(),
            held_ever: self.held_ever.get(),
            hold_expired: self.hold_expired.get(),
            sent_on: self.sent_on.get(),
            cut: self.cut.get(),
            over_limit: self.over_limit.get(),
            unreadable: self.unreadable.get(),
            silent: self.silent.get(),
            cancels: self.cancels.get(),
            bytes_to_server: self.bytes_to_server.get(),
            bytes_to_client: self.bytes_to_client.get(),
            servers: servers.iter().map(|(member, (now, _))| (member.clone(), *now)).collect(),
        }
    }
}

/// A connection to a server, counted for as long as this lives.
#[derive(Debug)]
pub(super) struct Seated<'a> {
    counts: &'a Counts,
    member: MemberName,
}

impl Drop for Seated<'_> {
    fn drop(&mut self) {
        let mut servers = self.counts.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((now, _)) = servers.get_mut(&self.member) {
            *now = now.saturating_sub(1);
        }
    }
}

/// The counts of both ports, shared with the API.
#[derive(Debug, Default)]
pub struct Counters {
    pub(super) read_write: Counts,
    pub(super) read_only: Counts,
}

impl Counters {
    /// As they are now.
    #[must_use]
    pub fn shown(&self, status: Option<&Status>) -> Shown {
        Shown {
            leader: status.and_then(Status::reign).map(|reign| reign.member),
            read_write: self.read_write.shown(),
            read_only: self.read_only.shown(),
        }
    }
}

/// `GET /router`
#[derive(Debug, Serialize)]
pub struct Shown {
    /// Who leads, as this router knows it.
    pub leader: Option<MemberName>,
    /// The port for writers.
    pub read_write: Port,
    /// The port for readers.
    pub read_only: Port,
}

/// One port; since the start of haad, unless said otherwise.
#[derive(Debug, Serialize)]
pub struct Port {
    /// Connections of clients.
    pub accepted: u64,
    /// Clients now, those that are held among them.
    pub clients: u64,
    /// Held now.
    pub held: u64,
    /// Held for some time.
    pub held_ever: u64,
    /// Refused when their hold was over (57P03).
    pub hold_expired: u64,
    /// Sent on to a server.
    pub sent_on: u64,
    /// Cut because their server had led and does no more.
    pub cut: u64,
    /// Refused because there were too many clients, or too many held.
    pub over_limit: u64,
    /// First packets that were none.
    pub unreadable: u64,
    /// Closed before a whole first packet: too slow, or too many of that kind.
    pub silent: u64,
    /// CancelRequests.
    pub cancels: u64,
    /// From clients to servers.
    pub bytes_to_server: u64,
    /// From servers to clients.
    pub bytes_to_client: u64,
    /// Connections to each member now.
    pub servers: BTreeMap<MemberName, u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_are_spread_by_connections_then_by_turns() {
        let members: Vec<MemberName> = ["a", "b"].map(|name| name.parse().unwrap()).into();
        let counts = Counts::default();
        let next = || counts.fewest(&members, |member| member).unwrap();
        let (first, one) = next();
        let (second, two) = next();
        assert_eq!((first.as_str(), second.as_str()), ("a", "b"));
        drop(two);
        let (third, three) = next();
        assert_eq!(third.as_str(), "b", "it has fewer now");
        drop((one, three));
        let (fourth, _four) = next();
        assert_eq!(fourth.as_str(), "a", "nobody has one now, and it had fewer");
        assert!(counts.fewest::<MemberName>(&[], |member| member).is_none());
    }

    #[test]
    fn no_more_enter_than_may() {
        let count = Count::default();
        let one = count.enter(1).unwrap();
        assert!(count.enter(1).is_none());
        drop(one);
        assert!(count.enter(1).is_some());
        assert_eq!(count.get(), 0);
    }
}
