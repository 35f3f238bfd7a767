//! Members that are gone for good, and are forgotten at once: their slots, their places on lists. Never one that lives.

use std::collections::BTreeSet;

use crate::observe::Primary;
use crate::records::{Ask, Kept, Key, RequestId, RequestRecord, RequestState};
use crate::units::{MemberName, Millis, Revision, Term};

use super::Node;
use super::belief::Belief;
use super::desk::Change;
use super::requests::Unfit;

impl Belief {
    fn removals(&self) -> impl Iterator<Item = (&MemberName, &Kept<RequestRecord>)> {
        let requests = self.view.iter().flat_map(|view| view.requests.values());
        requests.filter_map(|kept| {
            let Ask::Remove { member } = &kept.value.ask else { return None };
            Some((member, kept))
        })
    }

    /// Who is being forgotten now, and is not back.
    pub(super) fn being_removed(&self) -> BTreeSet<MemberName> {
        let begun = self
            .removals()
            .filter(|(_, kept)| matches!(kept.value.state, RequestState::Accepted { .. }));
        let gone = begun.filter(|(name, _)| self.member(name).is_none());
        gone.map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn is_being_removed(&self, name: &MemberName) -> bool {
        self.being_removed().contains(name)
    }

    /// When a member of this name was forgotten last, as the store counts. Who was here later is another one.
    pub(super) fn forgotten_at(&self, name: &MemberName) -> Option<Revision> {
        let done = self.removals().filter(|(of, kept)| {
            let state = &kept.value.state;
            *of == name
                && matches!(state, RequestState::Accepted { .. } | RequestState::Done { .. })
        });
        done.map(|(_, kept)| kept.revision).max()
    }
}

impl Node {
    /// Forgets a member; done when it has no slot on our server, and is on no list.
    pub(super) fn remove(
        &mut self,
        now: Millis,
        (id, request): (&RequestId, &RequestRecord),
        name: &MemberName,
        (term, primary): (Term, &Primary),
    ) {
        let begun = matches!(request.state, RequestState::Accepted { .. });
        let known = if begun { Ok(()) } else { self.is_known(name, primary) };
        match known.and_then(|()| self.may_remove(name, primary)) {
            Err(Unfit::Yet(_)) if self.may_wait(now, id) => {}
            Err(Unfit::Never(why) | Unfit::Yet(why)) => {
                self.answer(id, request, RequestState::Refused { why });
            }
            Ok(()) if !begun => {
                let change = Change::default().delete(Key::Drained(name.clone()));
                let state = RequestState::Accepted { term };
                // One that is back in that moment stays what it is: drained, too.
                let absent = (Key::Member(name.clone()), Revision::ABSENT);
                self.answer_with(id, request, state, (change, Some(absent)));
            }
            Ok(()) if self.is_listed_anywhere(name) || primary.slots.contains(&name.slot()) => {
                self.desk.look(now, Millis(250));
            }
            Ok(()) => {
                let what = format!(
                    "{name} is forgotten: it is on no list, and no WAL is kept for it; if it is started again, it \
                     joins like a new member"
                );
                self.answer(id, request, RequestState::Done { what });
            }
        }
    }

    fn may_remove(&self, name: &MemberName, primary: &Primary) -> Result<(), Unfit> {
        if *name == self.config.name {
            let why = format!("{name} leads: haactl switchover first, then stop its agent");
            return Err(Unfit::Never(why));
        }
        if self.belief.member(name).is_some() {
            let why = format!(
                "{name} is not gone: its agent lives, or died less than its lease ago ({}); stop its agent first, and \
                 then wait for so long",
                self.belief.settings().timing.ttl
            );
            return Err(Unfit::Never(why));
        }
        if primary.replicas.contains_key(name) {
            return Err(Unfit::Yet(format!("the Postgres of {name} still streams: stop it first")));
        }
        if self.belief.is_named_voter(name) {
            let why = format!(
                "acknowledged commits may rest on {name}: it is a voter until others can do without it; bring another \
                 member back first, see haactl list"
            );
            return Err(Unfit::Yet(why));
        }
        Ok(())
    }

    fn is_listed_anywhere(&self, name: &MemberName) -> bool {
        let sync = self.belief.view.as_ref().and_then(|view| view.sync.as_ref());
        let listed = sync.is_some_and(|sync| {
            sync.value.members.contains_key(name) || sync.value.voters.contains_key(name)
        });
        listed || self.belief.is_drained(name)
    }

    fn is_known(&self, name: &MemberName, primary: &Primary) -> Result<(), Unfit> {
        let known = self.belief.member(name).is_some()
            || self.is_listed_anywhere(name)
            || self.has_seen(name)
            || primary.slots.contains(&name.slot());
        let why = || Unfit::Never(format!("there was no member {name} here: see haactl list"));
        known.then_some(()).ok_or_else(why)
    }
}
