//! What operators ask of the leader: checked before anything is stopped, and answered in the record of the request.

use serde::{Deserialize, Serialize};

use crate::bars::undrain_first;
use crate::effect::Job;
use crate::observe::Primary;
use crate::reason::Reason;
use crate::records::{
    Ask, Key, Loss, Manner, MemberRecord, Record, RequestId, RequestRecord, RequestState,
};
use crate::units::{MemberName, Millis, Revision, Term};

use super::Node;
use super::desk::{Change, Purpose, seen};
use super::hold::Held;
use super::role::Role;

/// A request that this leadership acts on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Accepted {
    id: RequestId,
    since: Millis,
    flushed: Flushed,
    /// Whether the PgBouncers hold their clients for it.
    #[serde(default)]
    pub(super) held: Held,
}

/// Whether Postgres was told to write everything out before it is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Flushed {
    NotYet,
    Yes,
}

/// Why something cannot be done.
pub(super) enum Unfit {
    /// And will not by waiting.
    Never(String),
    /// But it may in a moment: it has just begun to stream, or catches up.
    Yet(String),
}

impl Unfit {
    pub(super) fn nobody() -> Self {
        let why = "no replica is fit to take over: see haactl list for members that stream";
        Self::Yet(why.to_owned())
    }
}

/// What is written when a request is answered: an event too, if that was the last word.
pub(super) fn answered(change: Change, id: &RequestId, record: RequestRecord) -> Change {
    let event = (!record.is_open()).then(|| Record::Event(id.clone(), record.clone()));
    event.into_iter().fold(change.put(Record::Request(id.clone(), record)), Change::put)
}

/// So many finished requests are kept for people to read.
const KEPT: usize = 20;

impl Node {
    /// Requests found at the opening of a leadership were made to a leader that is no more.
    pub(super) fn inherited_requests(&mut self, term: Term) {
        for (id, request) in self.open_requests() {
            if let Some(state) = self.inherits(&request, term) {
                self.answer(&id, &request, state);
            }
        }
    }

    /// What came of a request that an earlier leadership had taken; of any other nothing.
    pub(super) fn inherits_taken(
        &self,
        request: &RequestRecord,
        term: Term,
    ) -> Option<RequestState> {
        let earlier = matches!(request.state, RequestState::Accepted { term: of } if of < term);
        earlier.then(|| self.inherits(request, term)).flatten()
    }

    /// What came of a request to an earlier leadership; nothing yet, where this one goes on with it.
    fn inherits(&self, request: &RequestRecord, term: Term) -> Option<RequestState> {
        let me = self.config.name.clone();
        let done = match self.belief.site() {
            None => leads_now(&me, term),
            Some(_) => RequestState::Done { what: format!("{me} leads now, in term {term}") },
        };
        Some(match (&request.ask, &request.state) {
            (Ask::Switchover { .. }, RequestState::Pending) => RequestState::Refused {
                why: format!("the leader was lost before it could act; {me} leads now"),
            },
            (Ask::Switchover { to } | Ask::Failover { to, .. }, _) => match to {
                Some(to) if *to != me => RequestState::Refused {
                    why: format!("{to} did not take over in time; {me} leads now"),
                },
                Some(_) | None => done,
            },
            (Ask::Drain { member }, RequestState::Accepted { .. }) if *member == me => {
                let why = format!("nobody took over in time; {me} leads now, and is not drained");
                RequestState::Refused { why }
            }
            (Ask::Restart { member, manner: Manner::InPlace }, RequestState::Accepted { .. }) => {
                if *member == me {
                    let mut what =
                        format!("{me} was restarted in place, and accepts writes in term {term}");
                    let facts = self.belief.facts.as_ref();
                    if let Some(high) = facts.and_then(|facts| facts.parameters.lower().next()) {
                        let (name, now) = (&high.name, &high.running);
                        what += &format!(", but {name} is still {now}: its log says why");
                    }
                    return Some(RequestState::Done { what });
                }
                let why = format!("{member} did not come back in time; {me} leads now");
                RequestState::Refused { why }
            }
            (Ask::PromoteCluster { .. }, RequestState::Accepted { .. }) => done,
            (Ask::DemoteCluster { .. }, RequestState::Accepted { .. }) => RequestState::Refused {
                why: format!(
                    "the leader was lost, or its Postgres did not stop in order: {me} leads now, and this cluster \
                     follows no other"
                ),
            },
            (Ask::Reinit { member, .. }, _) if *member == me => {
                RequestState::Refused { why: format!("{me} leads now, and keeps its data") }
            }
            (
                Ask::Drain { .. }
                | Ask::Undrain { .. }
                | Ask::Restart { .. }
                | Ask::Reinit { .. }
                | Ask::Remove { .. }
                | Ask::PromoteCluster { .. }
                | Ask::DemoteCluster { .. }
                | Ask::Promote { .. }
                | Ask::KeepSlot { .. }
                | Ask::Reload { .. }
                | Ask::Command { .. }
                | Ask::Settings { .. },
                _,
            ) => return None,
        })
    }

    /// Act on what was asked of this leadership.
    pub(super) fn requests(
        &mut self,
        now: Millis,
        term: Term,
        primary: &Primary,
    ) -> Option<(Role, Reason)> {
        let open = self.open_requests();
        self.asked.retain(|id, _| open.iter().any(|(other, _)| other == id));
        let mut drains = None;
        let mut first = self.begun_to_hand_over(&open, term);
        for (id, request) in open {
            let (to, reason) = match &request.ask {
                Ask::Switchover { to } => (to.as_ref(), Reason::Switchover),
                Ask::Failover { loss: Loss::Accepted, .. } => {
                    self.lose_nothing(&id, &request);
                    continue;
                }
                Ask::Failover { to, .. } => (to.as_ref(), Reason::Failover),
                Ask::Drain { member } if self.is_undrained(member) => continue,
                Ask::Drain { .. } if *drains.get_or_insert_with(|| id.clone()) != id => continue,
                Ask::Drain { member } if *member == self.config.name => (None, Reason::Drained),
                Ask::Drain { member } => {
                    self.drain(now, (&id, &request), (&member.clone(), term, primary));
                    continue;
                }
                Ask::Restart { member, manner: Manner::InPlace } if *member == self.config.name => {
                    (None, Reason::Restarted)
                }
                Ask::DemoteCluster { .. } => (None, Reason::ClusterDemoted),
                Ask::PromoteCluster { .. }
                | Ask::Restart { .. }
                | Ask::Reinit { .. }
                | Ask::Remove { .. }
                | Ask::Undrain { .. }
                | Ask::Promote { .. }
                | Ask::KeepSlot { .. }
                | Ask::Reload { .. }
                | Ask::Command { .. }
                | Ask::Settings { .. } => {
                    self.admit(now, (&id, &request), (term, primary));
                    continue;
                }
            };
            let target = self.successor(now, reason, (to, primary));
            match (&request.state, target) {
                (RequestState::Accepted { term: of }, _) if *of < term => {
                    let state = self.inherits(&request, term);
                    self.answer(&id, &request, state.unwrap_or(RequestState::Pending));
                }
                (_, Ok(_)) if first.get_or_insert_with(|| named(&id, &request)).0 != id => {
                    let other = first.as_ref().map_or("", |(_, what)| what);
                    let why = format!("'{other}' is under way; ask again when it is done");
                    self.answer(&id, &request, RequestState::Refused { why });
                }
                (_, Err(Unfit::Yet(_))) if self.may_wait(now, &id) => {}
                (_, Err(Unfit::Never(why) | Unfit::Yet(why))) => {
                    self.answer(&id, &request, RequestState::Refused { why });
                }
                (RequestState::Accepted { .. }, Ok(target)) => {
                    match self.ready(now, (&id, &request), &target, reason) {
                        Some(Ok(())) => return Some(self.hands_over(now, reason, target)),
                        Some(Err(why)) => {
                            let why = format!("{why}; nothing was stopped");
                            self.answer(&id, &request, RequestState::Refused { why });
                        }
                        None => {}
                    }
                }
                (_, Ok(_)) => self.answer(&id, &request, RequestState::Accepted { term }),
            }
        }
        self.forget_requests();
        None
    }

    fn hands_over(&mut self, now: Millis, reason: Reason, target: MemberName) -> (Role, Reason) {
        if let Some(facts) = self.belief.facts.clone() {
            self.will_lower(reason, &facts);
        }
        Role::hand_over(reason, Some(target), self.stopped_until(now))
    }

    /// That by which this leadership is about to end.
    fn begun_to_hand_over(
        &self,
        open: &[(RequestId, RequestRecord)],
        term: Term,
    ) -> Option<(RequestId, String)> {
        let mut begun =
            open.iter().filter(|(_, asked)| asked.state == RequestState::Accepted { term });
        let ours = begun.find(|(_, asked)| asked.ask.hands_over_from(&self.config.name));
        ours.map(|(id, asked)| named(id, asked))
    }

    /// Who is to lead after that hand-over.
    fn successor(
        &self,
        now: Millis,
        reason: Reason,
        (to, primary): (Option<&MemberName>, &Primary),
    ) -> Result<MemberName, Unfit> {
        if reason == Reason::Restarted {
            return Ok(self.config.name.clone());
        }
        if reason == Reason::ClusterDemoted {
            self.is_followed(primary)?;
            return Ok(self.config.name.clone());
        }
        if reason == Reason::Drained {
            self.spare(&self.config.name, primary)?;
        }
        let target = self.target(now, to, primary)?;
        match self.lacks_slot(&target).filter(|_| reason != Reason::Failover) {
            None => Ok(target),
            Some(slot) => Err(Unfit::Yet(format!(
                "{target} has no copy of the slot {slot} yet, whose consumer could not go on: haactl doctor says \
                 more; haactl failover --to {target} does without"
            ))),
        }
    }

    /// What a member does, or has done, without the leadership going to another.
    fn admit(
        &mut self,
        now: Millis,
        (id, request): (&RequestId, &RequestRecord),
        (term, primary): (Term, &Primary),
    ) {
        let asked = (id, request);
        match &request.ask {
            Ask::Restart { member, manner } => {
                self.admit_restart(now, asked, (member, *manner), (term, primary));
            }
            Ask::Reinit { member, .. } => {
                self.admit_reinit(now, asked, member, (term, primary));
            }
            Ask::Remove { member } => self.remove(now, asked, member, (term, primary)),
            Ask::Reload { member } => self.admit_errand(now, asked, (member, term)),
            Ask::Settings { .. } => {
                self.admit_errand(now, asked, (&self.config.name.clone(), term));
            }
            Ask::PromoteCluster { .. } => {
                let why = "this cluster follows no other: it accepts writes already".to_owned();
                let done = self.inherits_taken(request, term);
                self.answer(id, request, done.unwrap_or(RequestState::Refused { why }));
            }
            Ask::Switchover { .. }
            | Ask::Failover { .. }
            | Ask::Drain { .. }
            | Ask::Undrain { .. }
            | Ask::DemoteCluster { .. }
            | Ask::Promote { .. }
            | Ask::KeepSlot { .. }
            | Ask::Command { .. } => {}
        }
    }

    /// Whether what a target lacks may still come: a request is borne as long as its target will have to stand.
    pub(super) fn may_wait(&mut self, now: Millis, id: &RequestId) -> bool {
        let since = *self.asked.entry(id.clone()).or_insert(now);
        let until = since.after(self.belief.settings().timing.successor_timeout);
        self.desk.wake_at(until);
        now < until
    }

    /// Whether all is ready for a hand-over to this target; `None` while it may still come to that. If not, why.
    fn ready(
        &mut self,
        now: Millis,
        (id, request): (&RequestId, &RequestRecord),
        target: &MemberName,
        reason: Reason,
    ) -> Option<Result<(), String>> {
        if self.is_too_late(now, request) {
            return Some(Err("the store took it too late: it has lapsed".to_owned()));
        }
        if !self.heard_since(now, id, target)? {
            return Some(Err(format!("{target} has fallen silent")));
        }
        if self.is_flushed() { self.is_held(reason) } else { None }
    }

    /// Whether the target has spoken since its request was accepted; `None` while that may still come. Its host
    /// may have died a moment ago, and once we have stopped, it is too late to find out.
    fn heard_since(&mut self, now: Millis, id: &RequestId, target: &MemberName) -> Option<bool> {
        let known = self.accepted.take().filter(|known| known.id == *id);
        let new = || Accepted {
            id: id.clone(),
            since: now,
            flushed: Flushed::NotYet,
            held: Held::NotYet,
        };
        let since = self.accepted.insert(known.unwrap_or_else(new)).since;
        if *target == self.config.name {
            return Some(true);
        }
        let until = since.after(self.belief.settings().timing.suspect_after);
        let heard = self.belief.peers.get(target).is_some_and(|(at, _)| *at > since);
        if heard && self.belief.heard(now, target).is_some() {
            return Some(true);
        }
        self.desk.wake_at(until);
        (now >= until).then_some(false)
    }

    /// Whether what the stop would have to write is written already; writes go on meanwhile.
    fn is_flushed(&mut self) -> bool {
        let flushed =
            self.accepted.as_ref().is_some_and(|accepted| accepted.flushed == Flushed::Yes);
        if !flushed {
            self.desk.job(Job::Checkpoint);
        }
        flushed
    }

    /// The checkpoint has come to its end. If it failed, the stop takes longer; that is all.
    pub(super) fn checkpointed(&mut self) {
        if let Some(accepted) = &mut self.accepted {
            accepted.flushed = Flushed::Yes;
        }
    }

    /// Those that somebody may act on now. One whose time has come is as if it had just been asked.
    pub(super) fn open_requests(&self) -> Vec<(RequestId, RequestRecord)> {
        let requests = self.belief.view.iter().flat_map(|view| &view.requests);
        let open = requests.filter(|(_, kept)| kept.value.is_open());
        let open = open.filter_map(|(id, kept)| match kept.value.state {
            RequestState::Scheduled if self.due.contains(id) => {
                let state = RequestState::Pending;
                Some((id.clone(), RequestRecord { state, ..kept.value.clone() }))
            }
            RequestState::Scheduled => None,
            RequestState::Pending
            | RequestState::Accepted { .. }
            | RequestState::Done { .. }
            | RequestState::Refused { .. } => Some((id.clone(), kept.value.clone())),
        });
        open.collect()
    }

    pub(super) fn answer(&mut self, id: &RequestId, request: &RequestRecord, state: RequestState) {
        self.answer_with(id, request, state, (Change::default(), []));
    }

    /// The same, with what it changes, if some things more are as they were seen.
    pub(super) fn answer_with(
        &mut self,
        id: &RequestId,
        request: &RequestRecord,
        state: RequestState,
        (change, also): (Change, impl IntoIterator<Item = (Key, Revision)>),
    ) {
        let Some(view) = self.belief.view.as_ref() else { return };
        let mut compare = vec![
            (Key::Request(id.clone()), seen(view.requests.get(id))),
            (Key::Leader, seen(view.leader.as_ref())),
        ];
        compare.extend(also);
        let change = answered(change, id, RequestRecord { state, ..request.clone() });
        self.desk.txn(Purpose::Request(id.clone()), compare, change);
    }

    pub(super) fn forget_requests(&mut self) {
        let Some(view) = self.belief.view.as_ref() else { return };
        // Whoever comes after it looks at how it ended.
        let open = view.requests.values().filter(|kept| kept.value.is_open());
        let awaited: Vec<&RequestId> =
            open.filter_map(|kept| kept.value.due.as_ref()?.after.as_ref()).collect();
        let ended = view.requests.iter().filter(|(_, kept)| !kept.value.is_open());
        let ended = ended.filter(|(id, _)| !awaited.contains(id));
        let mut ended: Vec<_> =
            ended.map(|(id, kept)| (kept.value.ended_unix_ms, id.clone())).collect();
        if ended.len() <= KEPT {
            return;
        }
        ended.sort();
        let (_, id) = ended.swap_remove(0);
        let compare = vec![(Key::Request(id.clone()), seen(view.requests.get(&id)))];
        let change = Change::default().delete(Key::Request(id.clone()));
        self.desk.txn(Purpose::Request(id), compare, change);
    }

    /// To whom the leadership can go; else why it cannot, in a sentence.
    pub(super) fn target(
        &self,
        now: Millis,
        to: Option<&MemberName>,
        primary: &Primary,
    ) -> Result<MemberName, Unfit> {
        let Some(name) = to else {
            return self.best_replica(now).ok_or_else(Unfit::nobody);
        };
        self.may_be_named(name)?;
        if self.belief.member(name).is_some_and(|record| record.tags.nofailover) {
            return Err(Unfit::Never(format!("{name} is tagged nofailover")));
        }
        let fed = self.belief.member(name).is_some_and(|record| record.tags.nostream);
        if fed && !self.belief.listed(name) {
            let why =
                format!("{name} is tagged nostream: whoever lives on the archive never leads");
            return Err(Unfit::Never(why));
        }
        let cascades = |record: &MemberRecord| record.tags.replicatefrom.is_some();
        if self.belief.member(name).is_some_and(cascades) && !self.belief.listed(name) {
            let why =
                format!("{name} is tagged replicatefrom: whoever streams from another never leads");
            return Err(Unfit::Never(why));
        }
        let votes = self.belief.member(name).is_none_or(|record| record.tags.votes());
        if !votes && self.belief.quorum().is_some() && !self.belief.listed(name) {
            let why =
                format!("{name} never votes by its tags, and in quorum only a voter may lead");
            return Err(Unfit::Never(why));
        }
        let Some(sender) = primary.replicas.get(name).filter(|sender| sender.streaming) else {
            return Err(Unfit::Yet(format!("{name} does not stream from the primary")));
        };
        let lag = primary.position.lsn.bytes_since(sender.flushed);
        let limit = self.belief.settings().maximum_lag_on_failover;
        if lag > limit {
            let why = format!("{name} is {lag} bytes behind; at most {limit} are allowed");
            return Err(Unfit::Yet(why));
        }
        if !self.belief.listed(name) {
            let why = format!("{name} has just joined and may not lead yet; try again in a second");
            return Err(Unfit::Yet(why));
        }
        self.could_win(now, name)?;
        Ok(name.clone())
    }

    /// What whoever is to lead next has to be, in any kind of cluster.
    pub(super) fn may_be_named(&self, name: &MemberName) -> Result<(), Unfit> {
        if *name == self.config.name {
            return Err(Unfit::Never(format!("{name} is the leader already")));
        }
        self.alive(name)?;
        if self.belief.is_drained(name) {
            return Err(Unfit::Never(undrain_first(name)));
        }
        Ok(())
    }
}

/// With how people call it.
fn named(id: &RequestId, asked: &RequestRecord) -> (RequestId, String) {
    (id.clone(), asked.ask.sentence())
}

fn leads_now(leader: &MemberName, term: Term) -> RequestState {
    RequestState::Done { what: format!("{leader} accepts writes now, in term {term}") }
}
