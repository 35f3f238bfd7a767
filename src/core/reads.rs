//! Which replicas may be read from, and which of them meet a demand. Answers from memory, never from Postgres.

use std::collections::BTreeMap;

use crate::observe::{Door, PeerState, Server, Standby};
use crate::records::{MemberRecord, MemberRole, Tags};
use crate::routes::{Answer, MemberStatus, Route, Status};
use crate::units::{Lsn, MemberName, Millis};

/// What a reader asks of a replica.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicaDemand {
    /// At most this many bytes of WAL not replayed.
    pub max_lag: Option<u64>,
    /// What it has not replayed was committed at most so long ago, by the primary's wall clock.
    pub max_age: Option<Millis>,
    /// It has replayed up to here: whoever remembers where its own write ended reads it.
    pub min_lsn: Option<Lsn>,
    /// It must stream.
    pub streaming: bool,
    /// Also one that is to vote and does not yet: what it shows may be lost in a failover.
    pub any_copy: bool,
    /// Tags that must match.
    pub tags: BTreeMap<String, String>,
}

/// What a demand is held against.
struct Reader<'a> {
    door: Door,
    streaming: bool,
    stalled: bool,
    drained: bool,
    may_be_taken_back: bool,
    replayed: Option<Lsn>,
    behind_ms: Option<u64>,
    tags: &'a Tags,
}

impl Status {
    /// `/replica`: a standby that answers, may be read from, and meets the demand.
    ///
    /// # Errors
    /// Why not.
    pub fn replica(&self, demand: &ReplicaDemand) -> Answer {
        self.healthy()?;
        let standby = self.own_standby().ok_or("this member is not a replica")?;
        if let MemberRole::StandbyLeader { .. } = self.record.role {
            return Err(
                "this member leads a standby cluster: /read-only and /standby-leader pass here",
            );
        }
        self.meets(&self.own_reader(standby), demand)
    }

    /// The replicas that stream and meet the demand, by name.
    #[must_use]
    pub fn readers(&self, now: Millis, demand: &ReplicaDemand) -> Vec<Route> {
        let demand = ReplicaDemand { streaming: true, ..demand.clone() };
        let others = self.members.iter().filter(|(name, _)| **name != self.me);
        let others =
            others.filter_map(|(name, member)| self.peer_route(now, (name, member), &demand));
        let mut all: Vec<Route> = others.chain(self.own_route(&demand)).collect();
        all.sort_by(|a, b| a.member.cmp(&b.member));
        all
    }

    fn peer_route(
        &self,
        now: Millis,
        (name, member): (&MemberName, &MemberStatus),
        demand: &ReplicaDemand,
    ) -> Option<Route> {
        let (at, beat) = member.heard.as_ref()?;
        let fresh = now.since(*at) < self.settings.timing.suspect_after;
        let reader = Reader {
            // It streams only from whom it was compared with.
            door: Door::Open,
            streaming: beat.state == PeerState::Streaming,
            stalled: beat.stalled,
            drained: self.drained.contains(name),
            may_be_taken_back: self.may_be_taken_back(name, &member.record),
            replayed: beat.replayed,
            behind_ms: beat.behind_ms,
            tags: &beat.tags,
        };
        (fresh && self.meets(&reader, demand).is_ok()).then(|| Route {
            lag_bytes: beat.replayed.and_then(|replayed| self.lag(replayed)),
            sessions: beat.sessions,
            ..Route::to(name, &member.record.postgres)
        })
    }

    fn own_route(&self, demand: &ReplicaDemand) -> Option<Route> {
        let standby = self.own_standby()?;
        self.meets(&self.own_reader(standby), demand).is_ok().then(|| Route {
            lag_bytes: self.lag(standby.replayed),
            sessions: standby.sessions,
            ..Route::to(&self.me, &self.record.postgres)
        })
    }

    /// Our Postgres, if it is a standby.
    #[must_use]
    pub fn own_standby(&self) -> Option<&Standby> {
        match self.postgres.as_ref().map(|facts| &facts.server) {
            Some(Server::Standby(standby)) => Some(standby),
            Some(
                Server::Primary(_)
                | Server::Starting
                | Server::Silent
                | Server::Refusing(_)
                | Server::Stopped(_),
            )
            | None => None,
        }
    }

    fn own_reader(&self, standby: &Standby) -> Reader<'_> {
        Reader {
            door: standby.door.unwrap_or_default(),
            streaming: standby.streaming,
            stalled: self.stalled,
            drained: self.drained.contains(&self.me),
            may_be_taken_back: self.may_be_taken_back(&self.me, &self.record),
            replayed: Some(standby.replayed),
            behind_ms: standby.behind_ms(),
            tags: &self.record.tags,
        }
    }

    /// While other replicas vote, a member that is to vote is not read before it does: whoever leads next asks the
    /// voters only, and what no voter received is lost with the primary, shown or not (I17, ADR 0017).
    fn may_be_taken_back(&self, name: &MemberName, record: &MemberRecord) -> bool {
        let Some(sync) = self.sync.as_ref().filter(|sync| sync.is_quorum()) else { return false };
        !sync.has_voter(name, record.incarnation)
            && record.tags.votes()
            && !sync.other_voters().is_empty()
    }

    fn meets(&self, reader: &Reader<'_>, demand: &ReplicaDemand) -> Answer {
        if reader.tags.noloadbalance {
            return Err("this replica is tagged noloadbalance");
        }
        if reader.drained {
            return Err("this replica is drained");
        }
        if reader.door == Door::Shut {
            return Err("this replica was not compared with a leader yet, and lets no client in");
        }
        if reader.may_be_taken_back && !demand.any_copy {
            return Err("this replica is no voter yet: what it shows may be lost in a failover");
        }
        if reader.stalled {
            return Err("this replica replays nothing, though there is WAL");
        }
        if demand.streaming && !reader.streaming {
            return Err("this replica does not stream");
        }
        if let Some(max) = demand.max_lag {
            match reader.replayed.and_then(|replayed| self.lag(replayed)) {
                None => return Err("this replica's lag is not known"),
                Some(lag) if lag > max => return Err("this replica lags more than asked"),
                Some(_) => {}
            }
        }
        if let Some(max) = demand.max_age {
            match reader.behind_ms {
                None => return Err("how long this replica lags is not known"),
                Some(behind) if behind > max.0 => {
                    return Err("this replica lags longer than asked");
                }
                Some(_) => {}
            }
        }
        if demand.min_lsn.is_some_and(|min| reader.replayed < Some(min)) {
            return Err("this replica has not replayed what was asked for");
        }
        let bears =
            |(key, value): (&String, &String)| tag(reader.tags, key).as_ref() == Some(value);
        if demand.tags.iter().all(bears) {
            Ok(())
        } else {
            Err("this replica does not bear the tag")
        }
    }
}

fn tag(tags: &Tags, key: &str) -> Option<String> {
    match key {
        "nofailover" => Some(tags.nofailover.to_string()),
        "noloadbalance" => Some(tags.noloadbalance.to_string()),
        "clonefrom" => Some(tags.clonefrom.to_string()),
        "nosync" => Some(tags.nosync.to_string()),
        "nostream" => Some(tags.nostream.to_string()),
        "replicatefrom" => tags.replicatefrom.as_ref().map(ToString::to_string),
        "failover_priority" => Some(tags.failover_priority.to_string()),
        _ => tags.free.get(key).cloned(),
    }
}
