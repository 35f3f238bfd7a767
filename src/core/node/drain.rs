//! Members that an operator has taken out of use: no voters, never elected, not read from. Decides who may be; stops
//! nothing.

use std::collections::BTreeSet;

use crate::observe::Primary;
use crate::records::{Ask, DrainRecord, Kept, Key, Record, RequestId, RequestRecord, RequestState};
use crate::units::{MemberName, Millis, Revision, Term};

use super::Node;
use super::belief::Belief;
use super::desk::{Change, seen};
use super::requests::{Unfit, answered};

impl Belief {
    pub(super) fn is_drained(&self, name: &MemberName) -> bool {
        self.drained().any(|(other, _)| other == name)
    }

    fn drained(&self) -> impl Iterator<Item = (&MemberName, &Kept<DrainRecord>)> {
        self.view.iter().flat_map(|view| &view.drained)
    }

    /// By name.
    pub(super) fn all_drained(&self) -> BTreeSet<MemberName> {
        self.drained().map(|(name, _)| name.clone()).collect()
    }

    /// When the last was drained, as the store counts.
    pub(super) fn drained_at(&self) -> Revision {
        self.drained().map(|(_, kept)| kept.revision).max().unwrap_or(Revision::ABSENT)
    }

    /// Whether the leader has to do it; while there is none, whoever is first may.
    pub(super) fn is_led_by_another(&self) -> bool {
        let led = self.view.as_ref().is_some_and(|view| view.leader.is_some());
        led && self.own_leader_key().is_none()
    }

    /// Everybody who is heard goes by this.
    fn all_know(&self, now: Millis, kept: &Kept<DrainRecord>) -> bool {
        let names = self.view.iter().flat_map(|view| view.members.keys());
        let mut heard = names.filter_map(|name| self.heard(now, name));
        heard.all(|beat| beat.drained >= kept.revision)
    }
}

impl Node {
    /// Takes a replica out of use; done when it is. No attempt may be under way that does not know of it: a candidate
    /// has seen everything that was written before its attempt.
    pub(super) fn drain(
        &mut self,
        now: Millis,
        (id, request): (&RequestId, &RequestRecord),
        (name, term, primary): (&MemberName, Term, &Primary),
    ) {
        let kept = self.belief.drained().find(|(other, _)| *other == name);
        let Some((_, kept)) = kept else {
            let spared = self.alive(name).and_then(|()| self.spare(name, primary));
            return match spared.and_then(|()| self.leaves_somebody(name)) {
                Err(Unfit::Yet(_)) if self.may_wait(now, id) => {}
                Err(Unfit::Never(why) | Unfit::Yet(why)) => {
                    self.answer(id, request, RequestState::Refused { why });
                }
                Ok(()) => {
                    let record =
                        DrainRecord { by: request.by.clone(), at_unix_ms: request.asked_unix_ms };
                    let change = Change::default().put(Record::Drained(name.clone(), record));
                    let attempt = (Key::Term, seen(self.belief.term_key()));
                    let state = RequestState::Accepted { term };
                    self.answer_with(id, request, state, (change, Some(attempt)));
                }
            };
        };
        let votes = self.belief.is_named_voter(name);
        if !votes && self.belief.all_know(now, kept) {
            let what = format!(
                "{name} is drained: no voter, not read from, and it will not lead before haactl undrain {name}"
            );
            self.answer(id, request, RequestState::Done { what });
        }
    }

    /// The leader does it; while there is none, whoever is first. A drain that is not done yet ends with it: whoever
    /// leads would drain the member anew.
    pub(super) fn undrains(&mut self) {
        if self.belief.is_led_by_another() {
            return;
        }
        let open = self.open_requests();
        for (id, request) in &open {
            let Ask::Undrain { member } = &request.ask else { continue };
            let mut change = Change::default().delete(Key::Drained(member.clone()));
            let mut compare = Vec::new();
            for (drain, ended) in &open {
                let of = matches!(&ended.ask, Ask::Drain { member: of } if of == member);
                if !of || !self.is_before((drain, ended), (id, request)) {
                    continue;
                }
                let why = format!("haactl undrain {member} came before it was done");
                let state = RequestState::Refused { why };
                change = answered(change, drain, RequestRecord { state, ..ended.clone() });
                compare.push((Key::Request(drain.clone()), self.seen_request(drain)));
            }
            let how = match compare.is_empty() && !self.belief.is_drained(member) {
                true => "in use: it was not drained",
                false => "in use again: read from, a voter as soon as it is fit",
            };
            let what = format!("{member} is {how}");
            self.answer_with(id, request, RequestState::Done { what }, (change, compare));
        }
    }

    /// Whether somebody has asked to take the member back; that is done first.
    pub(super) fn is_undrained(&self, member: &MemberName) -> bool {
        let mut open = self.open_requests().into_iter();
        open.any(|(_, request)| matches!(&request.ask, Ask::Undrain { member: of } if of == member))
    }

    /// Whether this drain is older than that undrain. Nobody begins with a drain while an older undrain is open.
    fn is_before(
        &self,
        (drain, drained): (&RequestId, &RequestRecord),
        (undrain, undrained): (&RequestId, &RequestRecord),
    ) -> bool {
        if matches!(drained.state, RequestState::Accepted { .. }) {
            return true;
        }
        if drained.due.is_some() || undrained.due.is_some() {
            return drained.began_unix_ms() < undrained.began_unix_ms();
        }
        self.seen_request(drain) < self.seen_request(undrain)
    }

    fn seen_request(&self, id: &RequestId) -> Revision {
        let requests = self.belief.view.as_ref().map(|view| &view.requests);
        seen(requests.and_then(|requests| requests.get(id)))
    }

    /// Whether the voters can do without this member: another one has to be left beside whoever leads then.
    pub(super) fn spare(&self, name: &MemberName, primary: &Primary) -> Result<(), Unfit> {
        let Some(sync) = self.belief.quorum() else { return Ok(()) };
        let (listed, me) = (sync.voters.contains_key(name), *name == self.config.name);
        let others = sync.other_voters();
        let left = others.iter().filter(|(other, data)| {
            let sender = primary.replicas.get(*other).filter(|sender| sender.streaming);
            *other != name && sender.is_some_and(|sender| sender.incarnation == **data)
        });
        if !listed || left.count() > usize::from(me) {
            return Ok(());
        }
        let why = format!(
            "{name} is a voter that nobody can stand in for: without it acknowledged commits would be on one member \
             alone; bring another member back first, see haactl list"
        );
        Err(Unfit::Yet(why))
    }

    /// Whether another member is left that could become a voter beside this primary. Whoever is drained does not: with
    /// `strict` writes would wait for good.
    fn leaves_somebody(&self, name: &MemberName) -> Result<(), Unfit> {
        let members = || self.belief.view.iter().flat_map(|view| &view.members);
        let could = |other: &MemberName| {
            let tagged = members().any(|(of, kept)| of == other && !kept.value.tags.votes());
            *other != self.config.name && !tagged && !self.belief.is_drained(other)
        };
        let another = members().any(|(other, _)| other != name && could(other));
        if self.belief.quorum().is_none() || !could(name) || another {
            return Ok(());
        }
        let why = format!(
            "{name} is the last member that acknowledged commits could be on beside {}: bring another one back \
             first, or haactl undrain it, see haactl list",
            self.config.name
        );
        Err(Unfit::Never(why))
    }

    /// Whether its agent is there.
    pub(super) fn alive(&self, name: &MemberName) -> Result<(), Unfit> {
        if self.belief.member(name).is_some() {
            return Ok(());
        }
        let known = self.belief.view.iter().flat_map(|view| view.members.keys());
        let known: Vec<&str> = known.map(MemberName::as_str).collect();
        Err(Unfit::Never(format!("no member {name} is alive; alive are {}", known.join(", "))))
    }
}
