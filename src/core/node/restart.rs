//! Restarts of a Postgres that an operator asks for: the leader says whose may go down, and the member does it. Never
//! two at a time.

use serde::{Deserialize, Serialize};

use crate::effect::Job;
use crate::input::JobResult;
use crate::observe::{PostgresFacts, Primary, Server, Shutdown};
use crate::reason::Reason;
use crate::records::{Ask, Manner, RequestId, RequestRecord, RequestState};
use crate::units::{MemberName, Millis, Term};

use super::Node;
use super::desk::Purpose;
use super::requests::Unfit;
use super::role::How;

/// The restart of ours that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Restarting {
    id: RequestId,
    /// It was a voter, and is to be one again.
    voter: bool,
    /// What it came to so far; nothing while its Postgres has not been down.
    came: Option<Result<(), String>>,
}

/// The limits of the data of a primary that is restarted in place, where its parameters are to be lower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Lowering {
    /// They are as they are to be.
    #[default]
    NotAsked,
    /// They follow once Postgres has stopped.
    Wanted,
    /// They follow now. It had stopped like this.
    Begun(Shutdown),
}

/// A leadership that ends sooner is not given more work.
const TO_LOWER: Millis = Millis(2_000);

impl Node {
    /// Our primary is about to be stopped. One that stops already says nothing of its parameters: what it said stands.
    pub(super) fn will_lower(&mut self, reason: Reason, facts: &PostgresFacts) {
        if !matches!(facts.server, Server::Primary(_)) {
            return;
        }
        self.lowering = match facts.parameters.lower().next() {
            Some(_) if reason == Reason::Restarted => Lowering::Wanted,
            Some(_) | None => Lowering::NotAsked,
        };
    }

    /// How our primary stopped; nothing yet, while its data are made to ask for less. Only whoever leads and is to lead
    /// again does that: WAL is added, which nobody else has. What is let go is what was there before, for no commit is
    /// in the rest.
    pub(super) fn lowered(&mut self, now: Millis, how: &How, at: Shutdown) -> Option<Shutdown> {
        match (std::mem::take(&mut self.lowering), how, at) {
            (Lowering::Begun(before), _, _) => Some(before),
            (Lowering::Wanted, How::InOrder { .. }, Shutdown::Primary(_))
                if self.belief.leadership(now.after(TO_LOWER)).is_some() =>
            {
                self.lowering = Lowering::Begun(at);
                self.desk.job(Job::Lower);
                None
            }
            (Lowering::Wanted | Lowering::NotAsked, _, _) => Some(at),
        }
    }

    /// Whether a Postgres may be restarted; the member sees that.
    pub(super) fn admit_restart(
        &mut self,
        now: Millis,
        (id, request): (&RequestId, &RequestRecord),
        (name, manner): (&MemberName, Manner),
        (term, primary): (Term, &Primary),
    ) {
        let begun = matches!(request.state, RequestState::Accepted { .. });
        if *name == self.config.name && manner == Manner::Rolling && request.due.is_some() {
            let what =
                format!("{name} leads: the switchover after the others' restarts restarts it too");
            return self.answer(id, request, RequestState::Done { what });
        }
        let may = if *name == self.config.name {
            Err(Unfit::Never(format!(
                "{name} leads: haactl switchover first, or haactl restart {name} --in-place, which closes writes \
                 meanwhile"
            )))
        } else {
            self.may_be_down(now, id, (name, manner), primary)
        };
        let why = match may {
            _ if begun && self.alive(name).is_ok() && *name != self.config.name => return,
            Err(Unfit::Yet(_)) if !begun && self.may_wait(now, id) => return,
            Err(Unfit::Yet(why) | Unfit::Never(why)) => why,
            Ok(()) => return self.answer(id, request, RequestState::Accepted { term }),
        };
        self.answer(id, request, RequestState::Refused { why });
    }

    /// Whether this replica can be spared for a while, and no other one is down on an operator's wish.
    pub(super) fn may_be_down(
        &self,
        now: Millis,
        id: &RequestId,
        (name, manner): (&MemberName, Manner),
        primary: &Primary,
    ) -> Result<(), Unfit> {
        self.alive(name)?;
        self.none_down_beside(id, name)?;
        let Some(sync) = self.belief.view.as_ref().and_then(|view| view.sync.as_ref()) else {
            return Ok(());
        };
        let others = sync.value.members.keys().chain(sync.value.voters.keys());
        let mut others = others.filter(|other| *other != name && **other != self.config.name);
        let away = others.find(|other| {
            let sender = primary.replicas.get(*other).filter(|sender| sender.streaming);
            sender.is_none() || self.belief.heard(now, other).is_none()
        });
        match away.filter(|_| manner == Manner::Rolling || self.spare(name, primary).is_err()) {
            Some(away) => Err(Unfit::Yet(format!(
                "{away} does not stream: with {name} down too, too few would be left"
            ))),
            None => Ok(()),
        }
    }

    /// Whether no other Postgres is down on an operator's wish, as far as that is in this one's way.
    pub(super) fn none_down_beside(&self, id: &RequestId, name: &MemberName) -> Result<(), Unfit> {
        let open = self.open_requests();
        let own = open.iter().find(|(of, _)| of == id).map(|(_, request)| &request.ask);
        let clones = matches!(own, Some(Ask::Reinit { .. }));
        let other = open.iter().find(|(of, request)| {
            // Our word for it may be on its way.
            let accepted = matches!(request.state, RequestState::Accepted { .. })
                || self.desk.waits_for(&Purpose::Request(of.clone()));
            let down = match &request.ask {
                // A clone brings the restart of the same member to its end, which may not come by itself.
                Ask::Restart { member, .. } => !(clones && member == name),
                ask => matches!(ask, Ask::Reinit { .. }),
            };
            of != id && accepted && down
        });
        other.map_or(Ok(()), |(_, other)| Err(Unfit::Yet(under_way(other))))
    }

    /// Restarts our standby, and answers when it is as it was. Whether it begins now.
    pub(super) fn restarts(&mut self, now: Millis, facts: &PostgresFacts) -> bool {
        let asked = self.open_requests().into_iter().find(|(_, request)| {
            let ours =
                matches!(&request.ask, Ask::Restart { member, .. } if *member == self.config.name);
            ours && matches!(request.state, RequestState::Accepted { .. })
        });
        let Some((id, request)) = asked else {
            self.restarting = None;
            return false;
        };
        let me = self.config.name.clone();
        if let Some(Restarting { came: Some(Err(why)), .. }) = &self.restarting {
            let why = format!("the Postgres of {me} was stopped, and did not start: {why}");
            self.answer(&id, &request, RequestState::Refused { why });
            return false;
        }
        let Server::Standby(standby) = &facts.server else { return false };
        if !self.desk.settled(facts) {
            return false;
        }
        let supplied = self.is_supplied(standby);
        match (self.restarting.clone().filter(|restarting| restarting.id == id), supplied) {
            (None, _) if self.may_try(now) => {
                self.restarting =
                    Some(Restarting { id, voter: self.belief.is_voter(), came: None });
                self.desk.job(Job::Stop(self.unhurried_stop()));
                return true;
            }
            (Some(Restarting { voter, came: Some(Ok(())), .. }), Some(supplied))
                if !voter || self.belief.is_voter() || !self.may_vote() =>
            {
                let state = match &facts.parameters.objection {
                    None => RequestState::Done {
                        what: format!("the Postgres of {me} was restarted, and {supplied}"),
                    },
                    // A rolling restart does not go on to those that do take it.
                    Some(why) => RequestState::Refused {
                        why: format!(
                            "the Postgres of {me} was restarted, and {supplied}, but not with all: {why}"
                        ),
                    },
                };
                self.answer(&id, &request, state);
            }
            (Some(_) | None, _) => {}
        }
        false
    }

    /// Whether it is to be a voter again.
    fn may_vote(&self) -> bool {
        let drained = self.belief.is_drained(&self.config.name);
        self.belief.quorum().is_some() && self.config.tags.votes() && !drained
    }

    /// It counts as restarted once it was seen down.
    pub(super) fn note_down(&mut self, facts: &PostgresFacts) {
        if let (Server::Stopped(_), Some(restarting)) = (&facts.server, &mut self.restarting) {
            restarting.came.get_or_insert(Ok(()));
        }
    }

    /// How the work of a restart ended.
    pub(super) fn note_restart(&mut self, job: &Job, result: &JobResult) {
        let Some(restarting) = &mut self.restarting else { return };
        let stops = matches!(job, Job::Stop(_));
        match result {
            JobResult::Failed(_) | JobResult::Aborted if stops => self.restarting = None,
            JobResult::Failed(why) if matches!(job, Job::Start(..)) => {
                restarting.came = Some(Err(why.clone()));
            }
            JobResult::Done | JobResult::Failed(_) | JobResult::Aborted => {}
        }
    }
}

/// Why another one has to wait: it may be for what does not come by itself.
fn under_way(other: &RequestRecord) -> String {
    let what = other.ask.sentence();
    let mut why = format!("'{what}' is under way; ask again when it is done");
    if let Ask::Restart { member, .. } = &other.ask {
        why += &format!(
            ". It is done when {member} streams again, and votes if it did: its log says why it does not, and haactl \
             reinit {member} clones it anew"
        );
    }
    why
}
