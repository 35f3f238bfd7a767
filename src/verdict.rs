//! The verdict: is the cluster well, and what would happen if its primary died now? Judges what is known here; decides
//! nothing.

mod archive;
pub(crate) mod disk;
pub(crate) mod standby;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use haa_core::observe::{Heartbeat, PeerState};
use haa_core::parameters::{Parameters, Pending};
use haa_core::records::{Due, MemberRole, RequestRecord, RequestState, SyncRecord, Tags};
use haa_core::routes::{MemberStatus, Status};
use haa_core::settings::Durability;
use haa_core::units::{MemberName, Millis, Position};

use crate::api::document::rfc3339;
use crate::config::size::readable;

/// What a tired person reads first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// In a word.
    pub health: Health,
    /// What is not as it should be, a sentence each, the worst first.
    pub ails: Vec<String>,
    /// Who accepts writes.
    pub primary: Option<MemberName>,
    /// Parameters that wait for a restart of Postgres, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<String>,
    /// Nothing begins by itself.
    #[serde(default)]
    pub pause: bool,
    /// Commands that wait for their time, the first one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scheduled: Vec<Planned>,
    /// If that one died now; nothing while there is none. Of a standby cluster, if its leader did.
    pub outlook: Option<Outlook>,
    /// What a standby cluster follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standby: Option<Box<standby::Following>>,
}

/// A command that waits for its time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Planned {
    /// When, as RFC 3339 writes it, by UTC.
    pub at: String,
    /// What, in a sentence.
    pub what: String,
}

/// How a cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// A primary accepts writes, every member is well, and one of them would take over.
    Healthy,
    /// A primary accepts writes, and something is amiss.
    Degraded,
    /// Nobody accepts writes.
    Down,
    /// The member that was asked cannot know.
    Unknown,
}

/// What would happen if the primary died now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outlook {
    /// Who would lead; nobody, where none could.
    pub successor: Option<MemberName>,
    /// About how long nobody would accept writes if its whole host were gone: noticing it, and 0.2 s; where too few
    /// voters would be left to have a copy, also the wait before the new primary goes on alone. `None` where it never
    /// would (`strict`): another voter has to be back.
    pub host_ms: Option<u64>,
    /// Whether an acknowledged commit could be lost.
    pub loss: Loss,
}

/// What a failover would cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// No acknowledged commit.
    Nothing,
    /// So many bytes of WAL that the successor was last heard to lack, and what was written since.
    Bytes(u64),
    /// Nobody else has the last commits: they are there when the primary is back.
    Unavailable,
}

/// From the moment that the loss is noticed; measured as 0.15 to 0.3 s.
const TAKING_OVER: Millis = Millis(200);

/// The verdict of this member, as of `now` of its clock.
#[must_use]
pub fn of(status: &Status, now: Millis) -> Verdict {
    let (pending, pause, scheduled) =
        (pending(status, now), status.settings.pause, planned(status));
    let without = |health, why: String| Verdict {
        health,
        ails: vec![why],
        primary: None,
        pending: pending.clone(),
        pause,
        scheduled: scheduled.clone(),
        outlook: None,
        standby: None,
    };
    let Ok(routes) = status.routes(now) else {
        let why = "this member does not hear from etcd: ask another";
        return without(Health::Unknown, why.to_owned());
    };
    if let Some(follows) = &status.follows {
        let mut verdict = Verdict { ails: Vec::new(), ..without(Health::Down, String::new()) };
        standby::of(status, now, follows, &mut verdict);
        return verdict;
    }
    let Some(primary) = routes.primary.map(|route| route.member) else {
        let why = status.waits.clone();
        return without(Health::Down, why.unwrap_or_else(|| "an election is under way".to_owned()));
    };
    let outlook = outlook(status, now, &primary);
    let mut ails = Vec::new();
    if pause {
        ails.push("paused: nothing begins by itself; haactl resume ends that".to_owned());
    }
    if status.failsafe {
        ails.push("etcd is away, and every member lets the primary go on".to_owned());
    }
    match (&outlook.successor, outlook.loss) {
        (None, _) if pause => {}
        (None, _) => ails.push("nobody could take over".to_owned()),
        (Some(_), Loss::Unavailable) => {
            ails.push("commits are on the primary alone".to_owned());
        }
        (Some(_), Loss::Nothing | Loss::Bytes(_)) => {}
    }
    let replicas = status.members.iter().filter(|(name, _)| **name != primary);
    ails.extend(replicas.filter_map(|(name, member)| ail(status, now, name, member)));
    ails.extend(status.members.keys().filter_map(|name| {
        let why = parameters(status, name, now)?.objection.as_ref()?;
        Some(format!("the Postgres of {name} does not take its configuration: {why}"))
    }));
    ails.extend(disk::ails(status, now));
    let drained = status.drained.iter();
    ails.extend(drained.map(|name| format!("{name} is drained; haactl undrain {name} ends that")));
    let listed = status.sync.iter().flat_map(|sync| sync.members.keys().chain(sync.voters.keys()));
    let gone: BTreeSet<&MemberName> =
        listed.filter(|name| !status.members.contains_key(*name)).collect();
    ails.extend(gone.into_iter().map(|name| format!("{name} is gone: its agent is not in etcd")));
    let health = if ails.is_empty() { Health::Healthy } else { Health::Degraded };
    let (primary, outlook) = (Some(primary), Some(outlook));
    Verdict { health, ails, primary, pending, pause, scheduled, outlook, standby: None }
}

/// What waits for its time, the first one first; of those at the same time, as they are asked for.
#[must_use]
pub fn planned(status: &Status) -> Vec<Planned> {
    let all = status.requests.iter();
    let all = all.filter(|(_, asked)| asked.state == RequestState::Scheduled);
    let all = all.filter_map(|(_, asked)| Some((asked.due.as_ref()?, asked)));
    let mut all: Vec<_> = all.collect();
    all.sort_by_key(|(due, _)| (due.at_unix_ms, due.until_unix_ms));
    let plan = |(due, asked): (&Due, &RequestRecord)| Planned {
        at: rfc3339(due.at_unix_ms),
        what: asked.ask.sentence(),
    };
    all.into_iter().map(plan).collect()
}

fn outlook(status: &Status, now: Millis, primary: &MemberName) -> Outlook {
    let timing = status.settings.timing;
    let sync = status.sync.as_ref();
    let quorum = sync.filter(|sync| sync.durability == Durability::Quorum);
    let last = status.members.get(primary).map(|member| &member.record.tags);
    let mut fit: Vec<(Position, (i32, bool), &MemberName)> = status
        .members
        .keys()
        .filter(|name| *name != primary)
        .filter_map(|name| {
            let (position, tags) = could_lead(status, now, name, sync)?;
            Some((position, tags.preference(last), name))
        })
        .collect();
    fit.sort_by(|a, b| (b.0, b.1, a.2).cmp(&(a.0, a.1, b.2)));
    let alone = quorum.is_some_and(|sync| sync.k == 0);
    let enough = quorum.is_none_or(|sync| fit.len() >= sync.grants_needed());
    let best = fit.first().filter(|_| enough && !alone && !status.settings.pause);
    let notice = if quorum.is_some() { timing.suspect_after } else { timing.ttl };
    let few = quorum.is_some_and(|sync| fit.len() <= sync.k as usize);
    let alone_after = if few { timing.alone_after } else { Millis(0) };
    let loss = match (best, quorum) {
        (None, _) => Loss::Unavailable,
        (Some(_), Some(_)) => Loss::Nothing,
        (Some((position, _, _)), None) => {
            let end = status.primary_position.map_or(position.lsn, |end| end.lsn);
            Loss::Bytes(end.bytes_since(position.lsn))
        }
    };
    Outlook {
        successor: best.map(|(_, _, name)| (*name).clone()),
        host_ms: best
            .filter(|_| !(few && status.settings.strict))
            .map(|_| notice.0 + TAKING_OVER.0 + alone_after.0),
        loss,
    }
}

/// How a member's Postgres stands to its parameters, as far as it was heard lately.
#[must_use]
pub fn parameters<'a>(
    status: &'a Status,
    name: &MemberName,
    now: Millis,
) -> Option<&'a Parameters> {
    if *name == status.me {
        return status.postgres.as_ref().map(|facts| &facts.parameters);
    }
    lately(status, now, name).map(|beat| &beat.parameters)
}

/// One sentence for each change, with all members that it waits on.
fn pending(status: &Status, now: Millis) -> Vec<String> {
    let mut changes: BTreeMap<&Pending, Vec<&str>> = BTreeMap::new();
    for name in status.members.keys() {
        let parameters = parameters(status, name, now);
        for change in parameters.into_iter().flat_map(|parameters| &parameters.pending) {
            changes.entry(change).or_default().push(name.as_str());
        }
    }
    let sentence = |(change, members): (&Pending, Vec<&str>)| {
        let Pending { name, running, written } = change;
        let written = written.as_deref().unwrap_or("its default");
        format!(
            "{name} is {running} and becomes {written} when Postgres is restarted on {}: it is taken at a start only",
            members.join(", ")
        )
    };
    changes.into_iter().map(sentence).collect()
}

/// Where the WAL ends of a member that could be elected, and its tags.
fn could_lead<'a>(
    status: &'a Status,
    now: Millis,
    name: &MemberName,
    sync: Option<&SyncRecord>,
) -> Option<(Position, &'a Tags)> {
    let sync = sync?;
    let listed = if sync.durability == Durability::Quorum { &sync.voters } else { &sync.members };
    if !listed.contains_key(name) {
        return None;
    }
    if *name == status.me {
        let standby = status.own_standby()?;
        let fit =
            standby.streaming && !status.drained.contains(name) && !status.record.tags.nofailover;
        return fit.then_some((standby.position, &status.record.tags));
    }
    let beat = lately(status, now, name)?;
    let fit = beat.fit && beat.state == PeerState::Streaming;
    Some((beat.position.filter(|_| fit)?, &beat.tags))
}

/// What another member said last, unless it has been silent for `suspect_after`.
#[must_use]
pub fn lately<'a>(status: &'a Status, now: Millis, name: &MemberName) -> Option<&'a Heartbeat> {
    let (at, beat) = status.members.get(name)?.heard.as_ref()?;
    (now.since(*at) < status.settings.timing.suspect_after).then_some(beat)
}

fn ail(status: &Status, now: Millis, name: &MemberName, member: &MemberStatus) -> Option<String> {
    if *name == status.me {
        if status.record.tags.nostream {
            let end = status.own_standby().map(|standby| standby.position);
            return archive::ail(status, now, name, end);
        }
        let streams = status.own_standby().is_some_and(|standby| standby.streaming);
        return match (streams, status.stalled) {
            (false, _) => Some(format!("{name} does not stream")),
            (true, true) => Some(format!("{name} replays nothing, though there is WAL")),
            (true, false) => None,
        };
    }
    let Some(beat) = lately(status, now, name) else {
        return Some(format!("{name} is silent: its agent or its host is gone, or cut off"));
    };
    match (beat.state, beat.progress) {
        (PeerState::Streaming, _) if beat.stalled => {
            Some(format!("{name} replays nothing, though there is WAL"))
        }
        (PeerState::Streaming, _) => None,
        (_, Some(percent)) => {
            let how = match member.record.role == MemberRole::Rewinding {
                true => "rewound",
                false => "copied",
            };
            Some(format!("{name} is being {how}, {percent}% done"))
        }
        (PeerState::Stopped, _) => Some(format!("the Postgres of {name} does not run")),
        (PeerState::NotReady, _) => Some(format!("the Postgres of {name} does not answer yet")),
        (PeerState::Standby | PeerState::Detached, _) if beat.tags.nostream => {
            archive::ail(status, now, name, beat.position)
        }
        (PeerState::Standby | PeerState::Detached | PeerState::Primary, _) => {
            let away = &member.record.postgres;
            Some(format!("{name} ({away}) does not stream"))
        }
    }
}
