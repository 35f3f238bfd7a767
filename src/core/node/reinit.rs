//! Replicas that an operator has cloned anew: the leader admits it and does without their data, then the member lets
//! these go. Never a voter's, and never twice.

use crate::effect::Job;
use crate::observe::{PeerState, PostgresFacts, Primary, Server};
use crate::off::Mechanism;
use crate::records::{Ask, Kept, Key, Manner, RequestId, RequestRecord, RequestState};
use crate::units::{Incarnation, MemberName, Millis, Term};

use super::Node;
use super::belief::{Belief, Leader};
use super::desk::Change;
use super::requests::Unfit;

impl Belief {
    /// The data of this member that are to go: a leader has admitted it, and has done nothing to keep them since.
    pub(super) fn given_up(&self, name: &MemberName) -> Option<&Incarnation> {
        self.reinit_of(name).map(|(_, _, data)| data)
    }

    /// Whom an operator wants copied for it.
    pub(super) fn to_be_copied(&self, name: &MemberName) -> Option<&MemberName> {
        let (_, kept, _) = self.reinit_of(name)?;
        if let Ask::Reinit { from, .. } = &kept.value.ask { from.as_ref() } else { None }
    }

    pub(super) fn reinit_of(
        &self,
        name: &MemberName,
    ) -> Option<(&RequestId, &Kept<RequestRecord>, &Incarnation)> {
        let mut requests = self.view.iter().flat_map(|view| &view.requests);
        requests.find_map(|(id, kept)| match (&kept.value.ask, &kept.value.state) {
            (Ask::Reinit { member, data: Some(data), .. }, RequestState::Accepted { .. })
                if member == name =>
            {
                Some((id, kept, data))
            }
            (_, _) => None,
        })
    }
}

impl Node {
    /// Whether a replica's data may be thrown away. From then on they are no voter's, and will not be.
    pub(super) fn admit_reinit(
        &mut self,
        now: Millis,
        (id, request): (&RequestId, &RequestRecord),
        name: &MemberName,
        (term, primary): (Term, &Primary),
    ) {
        if *name == self.config.name {
            let why = format!(
                "{name} leads: its data are those that the others are cloned from; haactl switchover first"
            );
            return self.answer(id, request, RequestState::Refused { why });
        }
        if matches!(request.state, RequestState::Accepted { .. }) {
            if self.alive(name).is_ok() {
                return self.go_on(now, (id, request), name, primary);
            }
            let why = format!(
                "the agent of {name} is gone: when it is back, it goes on with its data if they are still there, and \
                 is cloned if not"
            );
            return self.answer(id, request, RequestState::Refused { why });
        }
        match self.may_reinit(now, (id, request), name, primary) {
            Err(Unfit::Yet(_)) if self.may_wait(now, id) => {}
            Err(Unfit::Never(why) | Unfit::Yet(why)) => {
                self.answer(id, request, RequestState::Refused { why });
            }
            Ok(found) => {
                self.asked.remove(id);
                let ask = request.ask.of_data(Some(found));
                let request = RequestRecord { ask, ..request.clone() };
                self.answer(id, &request, RequestState::Accepted { term });
            }
        }
    }

    /// It has begun. While its data are a voter's still, it comes to nothing where they are needed meanwhile: that may
    /// not end by itself, and data that are to go do nothing to be of use.
    ///
    /// The member waits for a `sync` without it that is younger than our word: by that, an addition of it that may
    /// still be on its way comes to nothing. A voter's removal is one; where it is none, `sync` is written once more.
    fn go_on(
        &mut self,
        now: Millis,
        (id, request): (&RequestId, &RequestRecord),
        name: &MemberName,
        primary: &Primary,
    ) {
        let Some((_, _, data)) = self.belief.reinit_of(name) else { return };
        let Some(sync) = self.belief.view.as_ref().and_then(|view| view.sync.as_ref()) else {
            return;
        };
        if sync.value.voters.get(name) != Some(data) {
            return self.affirm_after(id);
        }
        let unchanged = (Key::Sync, sync.revision);
        match self.may_go_without(now, id, name, primary) {
            Ok(()) => {
                self.asked.remove(id);
            }
            Err(_) if self.may_wait(now, id) => {}
            Err(Unfit::Never(why) | Unfit::Yet(why)) => {
                let why = format!("{why}; {name} keeps its data");
                let state = RequestState::Refused { why };
                self.answer_with(id, request, state, (Change::default(), Some(unchanged)));
            }
        }
    }

    /// Writes `sync` once more, if it is older than our word for this request.
    pub(super) fn affirm_after(&mut self, id: &RequestId) {
        let view = self.belief.view.as_ref();
        let kept = view.and_then(|view| view.requests.get(id)).map(|kept| kept.revision);
        let sync = view.and_then(|view| view.sync.as_ref());
        if let Some(sync) = sync.filter(|sync| Some(sync.revision) < kept) {
            let same = sync.value.clone();
            self.write_sync(same);
        }
    }

    /// Whether its data are not needed, neither for as long as a clone takes nor as a voter's.
    fn may_go_without(
        &self,
        now: Millis,
        id: &RequestId,
        name: &MemberName,
        primary: &Primary,
    ) -> Result<(), Unfit> {
        self.may_be_down(now, id, (name, Manner::Alone), primary)?;
        self.spare(name, primary)
    }

    /// Which data would go.
    fn may_reinit(
        &self,
        now: Millis,
        (id, request): (&RequestId, &RequestRecord),
        name: &MemberName,
        primary: &Primary,
    ) -> Result<Incarnation, Unfit> {
        self.may_go_without(now, id, name, primary)?;
        if let Ask::Reinit { from: Some(from), .. } = &request.ask
            && *from != self.config.name
            && let Err(why) = self.may_copy(now, from, primary.position.timeline)
        {
            return Err(Unfit::Yet(format!("{name} cannot be cloned from {from}: {why}")));
        }
        let data = self.belief.member(name).and_then(|record| record.incarnation);
        data.ok_or_else(|| Unfit::Yet(format!("{name} has no data: it is being cloned already")))
    }

    /// Our data are to go: no acknowledged commit rests on them, and the leader is heard to be open, so that there is
    /// somebody to clone from.
    pub(super) fn is_condemned(&self, now: Millis, leader: &Leader) -> bool {
        let beat = self.belief.heard(now, &leader.member);
        let open = beat.is_some_and(|beat| {
            let first = beat.state == PeerState::Primary || self.belief.site().is_some();
            first && beat.term == leader.term && !beat.blind
        });
        let own = self.belief.data().map(|(_, data)| data);
        let Some((id, kept, data)) = self.belief.reinit_of(&self.config.name) else { return false };
        let sync = self.belief.view.as_ref().and_then(|view| view.sync.as_ref());
        let free = sync.is_some_and(|sync| {
            let votes = sync.value.voters.get(&self.config.name) == Some(data);
            !votes && sync.revision > kept.revision
        });
        let free = free || self.off.is(Mechanism::ReinitOfVoter);
        own == Some(*data) && open && free && self.why_not_cloned(id).is_none()
    }

    /// A clone has failed. While nobody asks for one, the next attempt says more.
    pub(super) fn clone_fails(&mut self, why: &str) {
        let asked = self.belief.reinit_of(&self.config.name);
        self.clone_failed = asked.map(|(id, _, _)| (id.clone(), why.to_owned()));
    }

    /// Why the clone that this request asked for failed, if it did.
    pub(super) fn why_not_cloned(&self, id: &RequestId) -> Option<&str> {
        self.clone_failed.as_ref().filter(|(of, _)| of == id).map(|(_, why)| why.as_str())
    }

    /// Our data go sooner or later: nothing is done to keep them.
    pub(super) fn is_given_up(&self) -> bool {
        let own = self.belief.data().map(|(_, data)| data);
        own.is_some() && self.belief.given_up(&self.config.name).copied() == own
    }

    /// Has our data made anew, and answers when we stream again. Whether our Postgres stops for it now.
    pub(super) fn reinits(&mut self, now: Millis, facts: &PostgresFacts, leader: &Leader) -> bool {
        let me = self.config.name.clone();
        let Some((id, kept, data)) = self.belief.reinit_of(&me) else {
            return false;
        };
        let (id, request, data) = (id.clone(), kept.value.clone(), *data);
        let anew = self.belief.data().is_some_and(|(_, own)| own != data);
        if let (false, Some(why)) = (anew, self.why_not_cloned(&id)) {
            let why = format!(
                "{me} could not be cloned: {why}; it goes on with its data if they are still there, and is cloned \
                 if not"
            );
            self.answer(&id, &request, RequestState::Refused { why });
            return false;
        }
        let Server::Standby(standby) = &facts.server else { return false };
        if !self.desk.settled(facts) {
            return false;
        }
        if let (true, Some(supplied)) = (anew, self.is_supplied(standby)) {
            let what = format!("{me} was cloned anew, and {supplied}");
            self.answer(&id, &request, RequestState::Done { what });
        }
        let begins = self.is_condemned(now, leader) && self.may_try(now);
        if begins {
            self.plan_anew(now, leader.term);
            self.desk.job(Job::Stop(self.unhurried_stop()));
        }
        begins
    }
}
