//! What operators ask of a standby cluster, and what makes a cluster one, or one that accepts writes again. Promises
//! nothing of the other cluster: the two have no store in common.

use std::collections::BTreeMap;

use crate::effect::Job;
use crate::observe::{PostgresFacts, Primary, Standby};
use crate::reason::Reason;
use crate::records::{
    Ask, Holder, Key, Loss, Manner, Record, RequestId, RequestRecord, RequestState, SyncRecord,
    TermRecord,
};
use crate::settings::Durability;
use crate::site::Site;
use crate::units::{Lsn, MemberName, Millis, Position, Revision, Term};

use super::Node;
use super::desk::{Change, seen};
use super::rejoining::Plan;
use super::replica::STARTS_BEFORE_CLONE;
use super::requests::Unfit;
use super::role::Role;

/// Whether WAL that was replayed up to there holds all up to this one. Of another timeline it may hold something else.
pub(super) fn has(replayed: Position, at: Position) -> bool {
    replayed.timeline == at.timeline && replayed.lsn >= at.lsn
}

impl Node {
    /// Acts on what was asked of a standby cluster's leader, and follows the other cluster unless that was to end it.
    pub(super) fn standby_requests(
        &mut self,
        now: Millis,
        term: Term,
        seen: (&PostgresFacts, &Standby),
    ) -> Option<(Role, Reason)> {
        let open = self.open_requests();
        self.asked.retain(|id, _| open.iter().any(|(other, _)| other == id));
        let mut turns = false;
        for (id, request) in open {
            let asked = (&id, &request);
            if let Some(state) = self.inherits_taken(&request, term) {
                self.answer(&id, &request, state);
                continue;
            }
            match &request.ask {
                Ask::PromoteCluster { at_least } => {
                    turns |= self.turns(now, asked, (*at_least, term), seen);
                }
                Ask::DemoteCluster { to } => self.follow_another(asked, to),
                Ask::Switchover { to } | Ask::Failover { to, loss: Loss::Allowed } => {
                    self.hand_on(now, asked, (to.as_ref(), term));
                }
                Ask::Reinit { member, .. } if *member == self.config.name => {
                    turns |= self.reinit_first(asked, term, seen);
                }
                Ask::Restart { member, manner: Manner::Alone | Manner::Rolling }
                | Ask::Reinit { member, .. } => self.spare_follower(now, asked, (member, term)),
                Ask::Failover { loss: Loss::Accepted, .. }
                | Ask::Restart { manner: Manner::InPlace, .. }
                | Ask::Drain { .. }
                | Ask::Remove { .. } => {
                    let why = "this cluster is a standby of another, and that is not done in one: haactl \
                               promote-cluster comes first";
                    self.answer(&id, &request, RequestState::Refused { why: why.to_owned() });
                }
                Ask::Reload { member } => self.admit_errand(now, asked, (member, term)),
                Ask::Settings { .. } => {
                    self.admit_errand(now, asked, (&self.config.name.clone(), term));
                }
                Ask::Undrain { .. }
                | Ask::Promote { .. }
                | Ask::KeepSlot { .. }
                | Ask::Command { .. } => {}
            }
        }
        self.forget_requests();
        if !turns {
            self.follow_abroad(now, seen.0, seen.1);
        }
        None
    }

    /// Makes this cluster one that accepts writes, once it has what it is to have. Whether that has begun: from then on
    /// our Postgres is to receive from nobody.
    fn turns(
        &mut self,
        now: Millis,
        (id, request): (&RequestId, &RequestRecord),
        (at_least, term): (Option<Position>, Term),
        (facts, standby): (&PostgresFacts, &Standby),
    ) -> bool {
        let own = Position { lsn: standby.replayed, ..standby.position };
        if let Some(at) = at_least.filter(|at| !has(own, *at)) {
            if self.may_wait(now, id) {
                self.desk.look(now, Millis(100));
                return false;
            }
            let why = format!(
                "{} has replayed up to {own}, and {at} was asked for: what is missing was committed at the other \
                 cluster. Nothing was changed. If it streams by haactl status, ask again; if not, and the other site \
                 is demoted already, haactl promote-cluster takes it back there, to be demoted anew",
                self.config.name
            );
            self.answer(id, request, RequestState::Refused { why });
            return false;
        }
        if !self.desk.settled(facts) {
            return true;
        }
        if !standby.detached {
            if self.may_try(now) {
                self.desk.job(Job::Detach(None));
            }
            return true;
        }
        if let Some((also, change)) = self.turned(now, standby, at_least) {
            let state = RequestState::Accepted { term };
            self.answer_with(id, request, state, (change, also));
        }
        true
    }

    /// A standby cluster follows another from now on.
    fn follow_another(&mut self, (id, request): (&RequestId, &RequestRecord), to: &Site) {
        let Some(view) = self.belief.view.as_ref() else { return };
        let Some(sync) = view.sync.as_ref() else { return };
        let also = [(Key::Sync, sync.revision), (Key::Term, seen(view.term.as_ref()))];
        let version = sync.value.version + 1;
        let record = SyncRecord { version, standby: Some(to.clone()), ..sync.value.clone() };
        let what = format!("this cluster, a standby already, follows {to} from now on");
        let change = Change::default().put(Record::Sync(record));
        self.answer_with(id, request, RequestState::Done { what }, (change, also));
    }

    /// The leadership of a standby cluster goes to another member: nothing is open, and nothing is stopped.
    fn hand_on(
        &mut self,
        now: Millis,
        (id, request): (&RequestId, &RequestRecord),
        (to, term): (Option<&MemberName>, Term),
    ) {
        match self.heir(now, to) {
            Err(Unfit::Yet(_)) if self.may_wait(now, id) => {}
            Err(Unfit::Never(why) | Unfit::Yet(why)) => {
                self.answer(id, request, RequestState::Refused { why });
            }
            Ok(name) => {
                let Some(last) = self.belief.term_key().cloned() else { return };
                let holder = Holder::Released {
                    member: self.config.name.clone(),
                    checkpoint: None,
                    successor: Some(name),
                };
                let reason = Reason::Switchover;
                let record = TermRecord { holder, reason, ..last.value };
                let change = Change::default().put(Record::Term(record)).delete(Key::Leader);
                let state = RequestState::Accepted { term };
                let also = Some((Key::Term, last.revision));
                self.answer_with(id, request, state, (change, also));
            }
        }
    }

    fn heir(&self, now: Millis, to: Option<&MemberName>) -> Result<MemberName, Unfit> {
        let Some(name) = to else {
            let best = self.belief.best_candidate(now).cloned();
            return best.ok_or_else(Unfit::nobody);
        };
        self.may_be_named(name)?;
        let why = || Unfit::Yet(format!("{name} is not fit to lead: see haactl list"));
        self.belief.is_candidate(now, name).then(|| name.clone()).ok_or_else(why)
    }

    /// A follower's Postgres may be restarted, or its data made anew, one after the other: no commit rests on it.
    fn spare_follower(
        &mut self,
        now: Millis,
        (id, request): (&RequestId, &RequestRecord),
        (name, term): (&MemberName, Term),
    ) {
        let begun = matches!(request.state, RequestState::Accepted { .. });
        let data = self.belief.member(name).and_then(|record| record.incarnation);
        let may = self.alive(name).and_then(|()| {
            if *name == self.config.name {
                let why = format!("{name} leads: haactl switchover first");
                return Err(Unfit::Never(why));
            }
            if !begun && data.is_none() && matches!(request.ask, Ask::Reinit { .. }) {
                return Err(Unfit::Yet(format!("{name} has no data: it is being cloned already")));
            }
            if begun { Ok(()) } else { self.none_down_beside(id, name) }
        });
        match (may, &request.ask) {
            (Err(Unfit::Yet(_)), _) if self.may_wait(now, id) => {}
            (Err(Unfit::Never(why) | Unfit::Yet(why)), _) => {
                self.answer(id, request, RequestState::Refused { why });
            }
            (Ok(()), Ask::Reinit { .. }) if begun => self.affirm_after(id),
            (Ok(()), _) if begun => {}
            (Ok(()), Ask::Reinit { .. }) => {
                let ask = request.ask.of_data(data);
                let request = RequestRecord { ask, ..request.clone() };
                self.answer(id, &request, RequestState::Accepted { term });
            }
            (Ok(()), _) => self.answer(id, request, RequestState::Accepted { term }),
        }
    }

    /// Whether our Postgres is down though we lead: an operator has our data made anew, and that has not failed, or it
    /// is told its source by a start. One that does not come up leaves the lead to another, if there is one.
    pub(super) fn remakes(&self, now: Millis) -> bool {
        let asked = self.belief.reinit_of(&self.config.name);
        let attaches = matches!(self.rejoining.plan, Plan::Attach(_));
        let starts = self.rejoining.failed_starts < STARTS_BEFORE_CLONE;
        let starts = starts || !self.belief.any_candidate(now);
        starts && (attaches || asked.is_some_and(|(id, _, _)| self.why_not_cloned(id).is_none()))
    }

    /// The leader's own data are made anew of the other cluster: it goes on leading, and the others are compared with
    /// the copy afterwards. Whether our Postgres is about to stop for it.
    fn reinit_first(
        &mut self,
        (id, request): (&RequestId, &RequestRecord),
        term: Term,
        (facts, standby): (&PostgresFacts, &Standby),
    ) -> bool {
        let me = self.config.name.clone();
        let own = self.belief.data().map(|(_, data)| data);
        let Ask::Reinit { data, .. } = &request.ask else { return false };
        if let Some(why) = self.why_not_cloned(id) {
            let why = format!("{me} could not be cloned: {why}; it goes on with its data");
            self.answer(id, request, RequestState::Refused { why });
            return false;
        }
        match data {
            None => {
                let ask = request.ask.of_data(own);
                let request = RequestRecord { ask, ..request.clone() };
                self.answer(id, &request, RequestState::Accepted { term });
            }
            Some(_) if *data != own => {
                if let Some(supplied) = self.is_supplied(standby) {
                    let what = format!("{me} was cloned anew, and {supplied}");
                    self.answer(id, request, RequestState::Done { what });
                }
            }
            Some(_) if self.desk.settled(facts) => {
                self.desk.job(Job::Stop(self.unhurried_stop()));
                return true;
            }
            Some(_) => return true,
        }
        false
    }

    /// Whether a standby cluster follows us closely enough to take over without a loss.
    pub(super) fn is_followed(&self, primary: &Primary) -> Result<(), Unfit> {
        let limit = self.belief.settings().maximum_lag_on_failover;
        let lag = |flushed: Lsn| primary.position.lsn.bytes_since(flushed);
        // What was left behind by a failover of ours says how far it is on a timeline that is no more.
        let begins = primary.lineage.last().map_or(Lsn(0), |fork| fork.lsn);
        let ours = begins..=primary.position.lsn;
        let streams = primary.abroad.values();
        let streams = streams.filter(|sender| sender.streaming && ours.contains(&sender.flushed));
        match streams.map(|sender| lag(sender.flushed)).min() {
            Some(lag) if lag <= limit => Ok(()),
            Some(lag) => Err(Unfit::Yet(format!(
                "the standby cluster is {lag} bytes behind; at most {limit} are allowed"
            ))),
            None => {
                let why = "no standby cluster streams from this one: writes would stop, and nobody could go on with \
                           all of them";
                Err(Unfit::Yet(why.to_owned()))
            }
        }
    }

    /// Our Postgres was stopped in order, for this cluster to follow another: what is written with the release.
    pub(super) fn demotion(&self, end: Position) -> Option<(Vec<(Key, Revision)>, Change)> {
        let view = self.belief.view.as_ref()?;
        let sync = view.sync.as_ref()?;
        let (id, kept, to) = view.requests.iter().find_map(|(id, kept)| {
            let Ask::DemoteCluster { to } = &kept.value.ask else { return None };
            matches!(kept.value.state, RequestState::Accepted { .. }).then_some((id, kept, to))
        })?;
        let mut members = sync.value.members.clone();
        members.extend(sync.value.voters.clone());
        let record = SyncRecord {
            version: sync.value.version + 1,
            durability: Durability::Async,
            voters: BTreeMap::new(),
            k: 0,
            members,
            standby: Some(to.clone()),
            ..sync.value.clone()
        };
        // Whoever has replayed past where that record begins has all of it.
        let all = Position { lsn: Lsn(end.lsn.0 + 1), ..end }.mark();
        let what = format!(
            "writes are closed, and this cluster follows {to}; there: haactl promote-cluster --at-least {all}"
        );
        let request = RequestRecord { state: RequestState::Done { what }, ..kept.value.clone() };
        let change = Change::default()
            .put(Record::Sync(record))
            .put(Record::Event(id.clone(), request.clone()))
            .put(Record::Request(id.clone(), request));
        Some((vec![(Key::Sync, sync.revision), (Key::Request(id.clone()), kept.revision)], change))
    }
}
