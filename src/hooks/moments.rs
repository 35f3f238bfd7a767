//! What of the published status is worth a run, and what its program is told. Runs nothing.

use std::fmt;

use haa_core::observe::Server;
use haa_core::records::MemberRole;
use haa_core::routes::Status;
use haa_core::units::{Address, MemberName, Millis, Term, Timeline};

use crate::config::Config;

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    RoleChange,
    Start,
    Stop,
    BeforePromote,
}

impl Event {
    /// As it stands in haad.toml.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::RoleChange => "on_role_change",
            Self::Start => "on_start",
            Self::Stop => "on_stop",
            Self::BeforePromote => "before_promote",
        }
    }
}

/// What a member is to whoever connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// It accepts writes.
    Primary,
    /// It leads a standby cluster, and accepts none.
    StandbyLeader,
    /// It accepts none.
    Replica,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Primary => "primary",
            Self::StandbyLeader => "standby_leader",
            Self::Replica => "replica",
        })
    }
}

/// What never changes.
pub(super) struct Whose {
    pub(super) cluster: String,
    pub(super) member: MemberName,
    pub(super) postgres: Address,
    pub(super) data_directory: String,
}

impl Whose {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            cluster: config.cluster.clone(),
            member: config.name.clone(),
            postgres: config.postgres.address.clone(),
            data_directory: config.postgres.data_directory.display().to_string(),
        }
    }
}

/// Something that has happened, as its program is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) event: Event,
    pub(super) role: Part,
    pub(super) old_role: Option<Part>,
    pub(super) term: Term,
    pub(super) timeline: Option<Timeline>,
    pub(super) primary: Option<Address>,
    pub(super) reason: String,
}

impl Moment {
    /// Its environment.
    pub(super) fn variables(&self, whose: &Whose) -> Vec<(&'static str, String)> {
        let text = |value: Option<String>| value.unwrap_or_default();
        vec![
            ("HAA_CLUSTER", whose.cluster.clone()),
            ("HAA_MEMBER", whose.member.to_string()),
            ("HAA_EVENT", self.event.word().to_owned()),
            ("HAA_ROLE", self.role.to_string()),
            ("HAA_OLD_ROLE", text(self.old_role.map(|role| role.to_string()))),
            ("HAA_TERM", self.term.to_string()),
            ("HAA_TIMELINE", text(self.timeline.map(|timeline| timeline.to_string()))),
            ("HAA_PRIMARY", text(self.primary.as_ref().map(Address::to_string))),
            ("HAA_REASON", self.reason.clone()),
            ("HAA_POSTGRES", whose.postgres.to_string()),
            ("HAA_DATA_DIRECTORY", whose.data_directory.clone()),
        ]
    }
}

/// Whether Postgres runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runs {
    No,
    /// Since then.
    Since(u64),
}

/// What was seen last.
#[derive(Debug, Default)]
pub(super) struct Moments {
    part: Option<Part>,
    runs: Option<Runs>,
}

impl Moments {
    /// What has happened since.
    pub(super) fn see(&mut self, whose: &Whose, status: &Status, now: Millis) -> Vec<Moment> {
        // Whoever wakes does not know yet what it is.
        if status.role == "waking" {
            return Vec::new();
        }
        let events = self.changed(status.record.role, runs(status));
        if events.is_empty() {
            return Vec::new();
        }
        let role = self.part.unwrap_or(Part::Replica);
        let primary = match role {
            Part::Primary => Some(whose.postgres.clone()),
            Part::StandbyLeader | Part::Replica => elsewhere(whose, status, now),
        };
        let moment = |(event, old_role)| Moment {
            event,
            role,
            old_role,
            term: status.term,
            timeline: status.record.timeline,
            primary: primary.clone(),
            reason: status.reason.clone(),
        };
        events.into_iter().map(moment).collect()
    }

    /// Each event; where the role has changed, with the one before.
    fn changed(&mut self, role: MemberRole, runs: Option<Runs>) -> Vec<(Event, Option<Part>)> {
        let mut events = Vec::new();
        let runs = runs.or(self.runs);
        match (self.runs, runs) {
            (Some(Runs::Since(_)), Some(Runs::No)) => events.push((Event::Stop, None)),
            (Some(Runs::No), Some(Runs::Since(_))) => events.push((Event::Start, None)),
            (Some(Runs::Since(before)), Some(Runs::Since(at))) if before != at => {
                events.extend([(Event::Stop, None), (Event::Start, None)]);
            }
            (Some(_) | None, _) => {}
        }
        self.runs = runs;
        let part = part(self.part, role);
        if part != self.part {
            events.push((Event::RoleChange, self.part));
        }
        self.part = part;
        events
    }
}

fn elsewhere(whose: &Whose, status: &Status, now: Millis) -> Option<Address> {
    let route = status.routes(now).ok()?.primary?;
    (route.member != whose.member).then_some(Address { host: route.host, port: route.port })
}

/// Nothing follows from what is on the way, or does not answer.
fn runs(status: &Status) -> Option<Runs> {
    match &status.postgres.as_ref()?.server {
        Server::Stopped(_) => Some(Runs::No),
        Server::Standby(standby) => Some(Runs::Since(standby.started_unix_ms)),
        Server::Primary(primary) => Some(Runs::Since(primary.started_unix_ms)),
        Server::Starting | Server::Silent | Server::Refusing(_) => None,
    }
}

/// A primary is one from the first client that is let in until it gives that up.
const fn part(known: Option<Part>, role: MemberRole) -> Option<Part> {
    match role {
        MemberRole::Primary { .. } => Some(Part::Primary),
        MemberRole::Promoting { .. } | MemberRole::Opening { .. } => known,
        MemberRole::StandbyLeader { .. } => Some(Part::StandbyLeader),
        MemberRole::Streaming
        | MemberRole::Replica
        | MemberRole::Starting
        | MemberRole::Initialising
        | MemberRole::Cloning
        | MemberRole::Rewinding
        | MemberRole::Closing
        | MemberRole::Stopped
        | MemberRole::Refused => Some(Part::Replica),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: Term = Term(7);

    #[test]
    fn a_change_of_role_is_one_event_whatever_lies_between() {
        let mut moments = Moments::default();
        let mut change = |role| moments.changed(role, None);
        assert_eq!(change(MemberRole::Stopped), [(Event::RoleChange, None)], "as it begins");
        for role in [
            MemberRole::Cloning,
            MemberRole::Starting,
            MemberRole::Streaming,
            MemberRole::Replica,
            MemberRole::Promoting { term: TERM },
            MemberRole::Opening { term: TERM },
        ] {
            assert_eq!(change(role), [], "{role:?}");
        }
        let primary = MemberRole::Primary { term: TERM };
        assert_eq!(change(primary), [(Event::RoleChange, Some(Part::Replica))]);
        // A renewal.
        assert_eq!(change(MemberRole::Primary { term: Term(8) }), []);
        assert_eq!(change(MemberRole::Closing), [(Event::RoleChange, Some(Part::Primary))]);
        assert_eq!(change(MemberRole::Stopped), []);
        let leads = MemberRole::StandbyLeader { term: TERM };
        assert_eq!(change(leads), [(Event::RoleChange, Some(Part::Replica))]);
        assert_eq!(change(MemberRole::Streaming), [(Event::RoleChange, Some(Part::StandbyLeader))]);
    }

    #[test]
    fn starts_and_stops_are_those_of_the_server_and_no_silence() {
        let mut moments = Moments::default();
        let mut change = |runs| {
            let events = moments.changed(MemberRole::Replica, runs).into_iter();
            let events = events.map(|(event, _)| event).filter(|event| *event != Event::RoleChange);
            events.collect::<Vec<_>>()
        };
        assert_eq!(change(Some(Runs::Since(1))), [], "it ran before haad did");
        assert_eq!(change(None), []);
        assert_eq!(change(Some(Runs::Since(1))), []);
        assert_eq!(change(Some(Runs::No)), [Event::Stop]);
        assert_eq!(change(Some(Runs::No)), []);
        assert_eq!(change(None), []);
        assert_eq!(change(Some(Runs::Since(2))), [Event::Start]);
        assert_eq!(change(Some(Runs::Since(3))), [Event::Stop, Event::Start], "between two looks");
    }
}
