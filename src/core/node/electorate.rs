//! Who should be a voter: who streams and is close joins, who is silent, gone or far behind leaves, and a primary
//! without any goes on alone where it may. Decides what is to change; `voting` how.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::observe::Primary;
use crate::off::Mechanism;
use crate::records::{MemberRole, SyncRecord};
use crate::settings::Durability;
use crate::units::{Incarnation, MemberName, Millis};
use crate::voters::usual_k;

use super::Node;
use super::voting::{Names, Turn};

/// Removals within this time double the wait for a return.
const LATELY: Millis = Millis(3_600_000);
/// The longest wait for a return.
const LONGEST: Millis = Millis(600_000);
/// Who joins is within `maximum_lag_on_failover`; who stays is within so many times that.
const LAGS: u64 = 64;

/// How the members have fared in this leadership.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Electorate {
    /// Since when each streams from us and its agent is heard, without a break.
    well_since: BTreeMap<MemberName, (Incarnation, Millis)>,
    /// Since when each voter does not.
    ill_since: BTreeMap<MemberName, Millis>,
    /// Since when each streams and is far behind.
    #[serde(default)]
    behind_since: BTreeMap<MemberName, Millis>,
    /// Who was removed.
    removed: BTreeMap<MemberName, Removal>,
    /// Since when fewer than `k` voters are well.
    lonely_since: Option<Millis>,
}

/// The last removal of a voter that was ill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Removal {
    at: Millis,
    /// Its data then.
    data: Incarnation,
    /// How long it has to be well before it returns with the same data: others are a new beginning.
    wait: Millis,
}

impl Electorate {
    fn is_back(&self, now: Millis, name: &MemberName) -> bool {
        let Some((data, well)) = self.well_since.get(name) else { return false };
        let removal = self.removed.get(name).filter(|removal| removal.data == *data);
        removal.is_none_or(|removal| now.since(*well) >= removal.wait)
    }

    /// Too few voters have been well for so long: whoever comes and goes is better than nobody.
    fn takes_anybody(&self, now: Millis, patience: Millis) -> bool {
        self.lonely_since.is_some_and(|since| now.since(since) >= patience)
    }

    fn is_gone(&self, now: Millis, name: &MemberName, patience: Millis) -> bool {
        self.ill_since.get(name).is_some_and(|since| now.since(*since) >= patience)
    }

    fn is_behind(&self, now: Millis, name: &MemberName, patience: Millis) -> bool {
        self.behind_since.get(name).is_some_and(|since| now.since(*since) >= patience)
    }
}

impl Node {
    /// Note how the members fare.
    pub(super) fn watch_voters(&mut self, now: Millis, primary: &Primary, sync: &SyncRecord) {
        let far = self.belief.settings().maximum_lag_on_failover.saturating_mul(LAGS);
        let names: Vec<MemberName> =
            primary.replicas.keys().chain(sync.voters.keys()).cloned().collect();
        for name in names.into_iter().filter(|name| *name != self.config.name) {
            let heard = self.belief.heard(now, &name).is_some();
            let sender = primary.replicas.get(&name).filter(|sender| sender.streaming && heard);
            let lag = sender.map_or(0, |sender| primary.inserted.bytes_since(sender.flushed));
            let behind = self.electorate.behind_since.remove(&name).filter(|_| lag > far);
            if lag > far {
                self.electorate.behind_since.insert(name.clone(), behind.unwrap_or(now));
            }
            let since = self.electorate.well_since.remove(&name);
            if let Some(sender) = sender {
                let since = since.filter(|(data, _)| *data == sender.incarnation);
                let (_, since) = since.unwrap_or((sender.incarnation, now));
                self.electorate.ill_since.remove(&name);
                self.electorate.well_since.insert(name, (sender.incarnation, since));
            } else {
                self.electorate.ill_since.entry(name).or_insert(now);
            }
        }
        let streams = |name: &MemberName| primary.replicas.contains_key(name);
        self.electorate.well_since.retain(|name, _| streams(name));
        let well = sync.voters.iter().filter(|voter| self.is_well(*voter)).count();
        if well >= sync.k as usize {
            self.electorate.lonely_since = None;
        } else {
            self.electorate.lonely_since.get_or_insert(now);
        }
    }

    /// Too few voters streamed already when an attempt against us began.
    pub(super) fn was_lonely_before(&self, then: Millis) -> bool {
        self.electorate.lonely_since.is_some_and(|since| since < then)
    }

    /// It streams, with the data that the record names.
    fn is_well(&self, (name, data): (&MemberName, &Incarnation)) -> bool {
        self.electorate.well_since.get(name).is_some_and(|(of, _)| of == data)
    }

    /// A new leadership has no memory of the members.
    pub(super) fn forget_members(&mut self) {
        self.electorate = Electorate {
            removed: std::mem::take(&mut self.electorate.removed),
            ..Electorate::default()
        };
        self.voting = super::voting::Voting::default();
        self.opening = None;
        self.belief.full_since = None;
    }

    /// A change is about to be written.
    pub(super) fn note_change(&mut self, now: Millis, turn: &Turn, sync: &SyncRecord) {
        let Turn::Remove(name) = turn else { return };
        let Some(data) = sync.voters.get(name).copied() else { return };
        if self.belief.is_drained(name) || self.belief.given_up(name).is_some() {
            return;
        }
        // Whoever was only late is welcome once it is close: far apart enough not to come and go.
        if self.is_well((name, &data)) {
            return;
        }
        let first = self.belief.settings().timing.voter_return;
        let wait = match self.electorate.removed.get(name) {
            // The write may be refused and come again: that is no second removal.
            Some(last) if now.since(last.at) < first => last.wait,
            Some(last) if now.since(last.at) < LATELY => last.wait.times(2).min(LONGEST),
            Some(_) | None => first,
        };
        self.electorate.removed.insert(name.clone(), Removal { at: now, data, wait });
    }

    /// The next change, if any.
    pub(super) fn change_of_voters(
        &self,
        now: Millis,
        sync: &SyncRecord,
        primary: &Primary,
    ) -> Turn {
        let settings = self.belief.settings();
        let fit = self.fit_for_voting(now, primary);
        match (settings.durability, sync.is_quorum()) {
            (Some(Durability::Async), true) => return Turn::Leave,
            (Some(Durability::Async), false) => return Turn::Stay,
            (None, false) if fit.len() < 2 => return Turn::Stay,
            (Some(Durability::Quorum) | None, false) => return self.founding(fit),
            (Some(Durability::Quorum) | None, true) => {}
        }
        let strict = self.is_strict();
        if sync.k == 0 {
            return match (fit.is_empty(), strict) {
                (false, _) => self.founding(fit),
                (true, true) => Turn::Hold,
                (true, false) => Turn::Stay,
            };
        }
        // Whoever was made anew is a second copy again, and not the voter that it was.
        let anew = |(name, data): (&MemberName, &Incarnation)| {
            sync.voters.get(name).is_some_and(|listed| listed != data)
        };
        let alone = !strict || fit.iter().any(anew);
        if alone && self.may_go_alone(now, sync) {
            return Turn::Alone;
        }
        if let Some(turn) = self.who_leaves(now, sync) {
            return turn;
        }
        let others = sync.other_voters();
        let k = sync.k as usize;
        let new = fit.into_iter().find(|(name, _)| !others.contains_key(name));
        if let Some((name, incarnation)) = new {
            return Turn::Add(name, incarnation);
        }
        let wanted = k_of(settings.k, sync.voters.len());
        let well = others.iter().filter(|voter| self.is_well(*voter)).count();
        match sync.k.cmp(&wanted) {
            std::cmp::Ordering::Less if well > k => Turn::Raise,
            std::cmp::Ordering::Greater => Turn::Lower,
            std::cmp::Ordering::Less | std::cmp::Ordering::Equal => Turn::Stay,
        }
    }

    /// Whoever is gone, one at a time, and at the cost of `k` where it must be. Whoever is only far behind leaves where
    /// that costs nothing: others keep up, and as many of them are asked as before.
    fn who_leaves(&self, now: Millis, sync: &SyncRecord) -> Option<Turn> {
        let settings = self.belief.settings();
        let patience = settings.timing.voter_timeout;
        let (others, k) = (sync.other_voters(), sync.k as usize);
        let gone = |name: &MemberName| {
            let record = self.belief.member(name);
            let made_anew = record.is_some_and(|record| {
                let new = record.incarnation.filter(|data| others.get(name) != Some(data));
                new.is_some() || !record.tags.votes()
            });
            made_anew
                || self.belief.is_drained(name)
                || self.belief.given_up(name) == others.get(name)
                || self.electorate.is_gone(now, name, patience)
        };
        let close = |name: &MemberName| !self.electorate.behind_since.contains_key(name);
        let others_than = |leaver: &MemberName, keeps_up: &dyn Fn(&MemberName) -> bool| {
            let well = others.iter().filter(|voter| self.is_well(*voter));
            well.filter(|(name, _)| *name != leaver && keeps_up(name)).count()
        };
        let as_strict = k_of(settings.k, sync.voters.len() - 1) >= sync.k;
        let late = |name: &MemberName| {
            self.electorate.is_behind(now, name, patience) && others_than(name, &close) >= k
        };
        let mut names = others.keys();
        let spared = names.find(|name| gone(name) && others_than(name, &|_| true) >= k);
        let spared = spared.or_else(|| others.keys().find(|name| as_strict && late(name)));
        match spared {
            Some(name) if k + 2 <= sync.voters.len() => Some(Turn::Remove(name.clone())),
            // Where nobody can be spared, somebody has to join first.
            Some(_) | None => (k > 1 && others.keys().any(gone)).then_some(Turn::Lower),
        }
    }

    /// A second copy is waited for.
    pub(super) fn is_strict(&self) -> bool {
        self.belief.settings().strict && !self.off.is(Mechanism::Strict)
    }

    fn founding(&self, mut voters: Names) -> Turn {
        let own = self.belief.data().map(|(_, incarnation)| incarnation);
        if voters.is_empty() {
            return Turn::Stay;
        }
        voters.extend(own.map(|incarnation| (self.config.name.clone(), incarnation)));
        let k = k_of(self.belief.settings().k, voters.len());
        Turn::Found(voters, k)
    }

    /// Who streams, is close, may vote, and has been well for long enough, if there is time for that.
    fn fit_for_voting(&self, now: Millis, primary: &Primary) -> Names {
        let limit = self.belief.settings().maximum_lag_on_failover;
        let patience = self.belief.settings().timing.voter_timeout;
        let anybody = self.electorate.takes_anybody(now, patience);
        let fit = primary.replicas.iter().filter(|(name, sender)| {
            let record = self.belief.member(name);
            let same = record.is_some_and(|record| {
                record.incarnation == Some(sender.incarnation) && record.tags.votes()
            });
            let close = primary.inserted.bytes_since(sender.flushed) <= limit;
            let same = same && !self.belief.is_drained(name);
            let same = same && self.belief.given_up(name) != Some(&sender.incarnation);
            sender.streaming && same && close && (anybody || self.electorate.is_back(now, name))
        });
        fit.map(|(name, sender)| (name.clone(), sender.incarnation)).collect()
    }

    /// Nobody who could acknowledge is left, and those who are left in the store could not elect another.
    fn may_go_alone(&self, now: Millis, sync: &SyncRecord) -> bool {
        let settings = self.belief.settings();
        let lonely = self.electorate.lonely_since;
        let long = lonely.is_some_and(|since| now.since(since) >= settings.timing.alone_after);
        // Whose data were made anew, or are being copied, cannot grant.
        let could = |(name, data): &(&MemberName, &Incarnation)| {
            let record = self.belief.member(name);
            record.is_some_and(|record| {
                let same = record.incarnation.is_none_or(|own| own == **data);
                same && record.role != MemberRole::Cloning
            })
        };
        let known = sync.other_voters().iter().filter(could).count();
        let safe = known < sync.grants_needed() || self.off.is(Mechanism::AloneAtLast);
        long && safe
    }
}

/// How many others are to flush a commit: as asked, within what there is.
fn k_of(asked: Option<u32>, voters: usize) -> u32 {
    let most = u32::try_from(voters.saturating_sub(1)).unwrap_or(u32::MAX).max(1);
    asked.unwrap_or_else(|| usual_k(voters)).clamp(1, most)
}
