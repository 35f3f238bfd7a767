//! Where a client's connection is to go, and when it must leave there: for whoever relays connections. Opens none.

use serde::{Deserialize, Serialize};

use crate::records::MemberRole;
use crate::routes::{Route, Status};
use crate::units::{Address, MemberName, Millis, Timeline};

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// To write: the primary.
    Write,
    /// To read: a replica that streams; the primary while there is none.
    Read,
}

/// Who leads, as far as a connection is concerned. A leader that renews its leadership by a new term keeps its
/// Postgres, and so its reign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reign {
    /// The leader.
    pub member: MemberName,
    /// The timeline on which it writes; `None` until it says so.
    pub timeline: Option<Timeline>,
}

/// A server that a connection may go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Whose.
    pub member: MemberName,
    /// Where.
    pub address: Address,
    /// Its reign, if it leads.
    pub reign: Option<Reign>,
}

impl Status {
    /// Whom a new connection may go to; any of them is right. `turned_at` is when the agent's loop turned last.
    ///
    /// # Errors
    /// Why there is nobody, in a sentence.
    pub fn seats(
        &self,
        now: Millis,
        turned_at: Millis,
        access: Access,
    ) -> Result<Vec<Seat>, &'static str> {
        self.awake(now, turned_at)?;
        let routes = self.routes(now).map_err(|age| match age {
            None => "this router has not heard from the store yet",
            Some(_) => "this router has not heard from the store for too long to know the primary",
        })?;
        let reign = self.reign();
        let seat = |route: Route| {
            let reign = reign.clone().filter(|reign| reign.member == route.member);
            let address = Address { host: route.host, port: route.port };
            Seat { member: route.member, address, reign }
        };
        let primary: Vec<Seat> = routes.primary.into_iter().map(seat).collect();
        let replicas: Vec<Seat> = routes.replicas.into_iter().map(seat).collect();
        let seats = match access {
            Access::Read if !replicas.is_empty() => replicas,
            Access::Read | Access::Write => primary,
        };
        if seats.is_empty() { Err("there is no primary at the moment") } else { Ok(seats) }
    }

    /// Who leads, by the `leader` key; `None` while nobody is known to.
    #[must_use]
    pub fn reign(&self) -> Option<Reign> {
        let (member, term) = self.leader.as_ref()?;
        let record = if *member == self.me {
            Some(&self.record)
        } else {
            self.members.get(member).map(|member| &member.record)
        };
        let open = record.filter(|record| record.role == MemberRole::Primary { term: *term });
        let timeline = open.and_then(|record| record.timeline);
        Some(Reign { member: member.clone(), timeline })
    }
}

impl Seat {
    /// What becomes of a connection here when this is known of who leads: it stays, or must be cut (`None`). Only
    /// knowledge cuts: while nobody is known to lead, whoever is connected stays, and a server that has to close does
    /// so itself. A connection to a member that led, and does no more, is cut; one to any other replica stays.
    #[must_use]
    pub fn under(self, now: Option<&Reign>) -> Option<Self> {
        let Some(now) = now else { return Some(self) };
        match &self.reign {
            None if now.member == self.member => Some(Self { reign: Some(now.clone()), ..self }),
            None => Some(self),
            Some(then) if then.member != now.member => None,
            Some(then) => match (then.timeline, now.timeline) {
                (Some(old), Some(new)) if old != new => None,
                (None, Some(_)) => Some(Self { reign: Some(now.clone()), ..self }),
                (Some(_), _) | (None, None) => Some(self),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reign(member: &str, timeline: u32) -> Reign {
        let timeline = (timeline != 0).then_some(Timeline(timeline));
        Reign { member: member.parse().expect("legal"), timeline }
    }

    fn seat(member: &str, reign: Option<Reign>) -> Seat {
        let address = Address { host: "h".to_owned(), port: 1 };
        Seat { member: member.parse().expect("legal"), address, reign }
    }

    #[test]
    fn a_connection_leaves_when_another_leads() {
        let writer = seat("a", Some(reign("a", 3)));
        assert_eq!(writer.clone().under(Some(&reign("b", 0))), None);
        assert_eq!(writer.under(Some(&reign("b", 4))), None);
    }

    #[test]
    fn not_knowing_cuts_nobody() {
        let writer = seat("a", Some(reign("a", 3)));
        assert_eq!(writer.clone().under(None), Some(writer));
    }

    #[test]
    fn a_renewal_keeps_its_connections_and_a_new_timeline_does_not() {
        let writer = seat("a", Some(reign("a", 3)));
        assert_eq!(writer.clone().under(Some(&reign("a", 0))), Some(writer.clone()));
        assert_eq!(writer.clone().under(Some(&reign("a", 3))), Some(writer.clone()));
        assert_eq!(writer.under(Some(&reign("a", 5))), None);
    }

    #[test]
    fn a_reader_stays_until_its_server_has_led_and_does_no_more() {
        let reader = seat("b", None);
        let reader = reader.under(Some(&reign("a", 3))).expect("a replica of a");
        let reader = reader.under(Some(&reign("c", 4))).expect("a replica of c");
        let reader = reader.under(Some(&reign("b", 0))).expect("it is promoted");
        let reader = reader.under(Some(&reign("b", 5))).expect("it leads");
        assert_eq!(reader.under(Some(&reign("a", 0))), None);
    }
}
