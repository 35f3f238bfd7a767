//! What proves that we lead: a lease that etcd has renewed, or the consent of every member. Reads beliefs; never acts.

use crate::lease::{Leadership, Lease};
use crate::off::Mechanism;
use crate::records::Holder;
use crate::settings::Timing;
use crate::units::{LeaseId, Millis, Term};

use super::belief::Belief;

impl Belief {
    /// The proof that we lead, and may accept writes, if there is one at this instant. In a standby cluster there is
    /// none.
    pub(super) fn leadership(&self, now: Millis) -> Option<Leadership> {
        if self.site().is_some() && !self.off.is(Mechanism::NoLeadershipInStandby) {
            return None;
        }
        let proofs = self.leadership_by_lease(now).into_iter().chain(self.leadership_by_all(now));
        proofs.max_by_key(|proof| (proof.term(), proof.until()))
    }

    /// The same, by a lease that etcd has renewed.
    pub(super) fn leadership_by_lease(&self, now: Millis) -> Option<Leadership> {
        let (term, lease) = self.confirmed?;
        let leader = self.own_leader_key()?;
        // A renewal that is not confirmed yet is the same leadership with a higher number.
        // The watch may show the key moved onto our new, longer lease before the answer to that confirms it.
        let held = [Some(lease.id), self.lease.map(|newer| newer.id)].contains(&leader.lease);
        let same = leader.value.term >= term && held && leader.lease.is_some();
        if same { lease.leadership(term, now) } else { None }
    }

    /// The same, by the consent of every member. The store may have ended our lease meanwhile; nobody else has stood.
    fn leadership_by_all(&self, now: Millis) -> Option<Leadership> {
        let consent = self.consent?;
        let ours = self.own_leader_key().is_some_and(|key| key.value.term >= consent.term);
        let stands = ours || self.is_unclaimed(consent.term);
        if stands { consent.leadership(now) } else { None }
    }

    /// Whether we lead a standby cluster: in which term, and until when by the lease. It opens nothing.
    pub(super) fn standing(&self, now: Millis) -> Option<(Term, Millis)> {
        let term = self.own_leader_key()?.value.term;
        self.site()?;
        let proof = self.leadership_by_lease(now).filter(|proof| proof.term() == term)?;
        Some((term, proof.until()))
    }

    /// The same, where nothing of a later number is under way.
    pub(super) fn leadership_of_key(&self, now: Millis) -> Option<Leadership> {
        let term = self.own_leader_key()?.value.term;
        self.leadership(now).filter(|proof| proof.term() == term)
    }

    /// Nobody leads, and nobody has stood since we led this term.
    pub(super) fn is_unclaimed(&self, of: Term) -> bool {
        let Some(view) = self.view.as_ref().filter(|view| view.leader.is_none()) else {
            return false;
        };
        let (Some(term), Some(sync)) = (&view.term, &view.sync) else { return false };
        let (term, sync) = (&term.value, &sync.value);
        let held = matches!(&term.holder, Holder::Leader { member, .. } if *member == self.me);
        held && term.term == of && sync.term == of && sync.primary == self.me
    }

    /// How long a promise lets us lead.
    pub(super) fn spans(&self) -> Timing {
        let settings = self.settings().timing;
        let off = self.off.is(Mechanism::Margin);
        let margin = if off { Millis(0) } else { settings.margin };
        Timing { margin, ..settings }
    }

    /// The key of our leadership is gone, and our lease may have gone with it.
    pub(super) fn lease_is_doubtful(&self, lease: Lease) -> bool {
        let since = self.leaderless_since.filter(|_| self.consent.is_some());
        self.confirmed.is_some() && since.is_some_and(|since| lease.asked_at < since)
    }

    /// A renewal that no linearizable view has confirmed yet.
    pub(super) fn unconfirmed(&self) -> bool {
        let (Some(lease), Some(leader)) = (self.lease, self.own_leader_key()) else { return false };
        leader.lease == Some(lease.id) && self.confirmed != Some((leader.value.term, lease))
    }

    /// The ttl to ask a new lease for: ours lasts less long than the settings say, or longer though we have not asked
    /// for that (etcd grants no less than it is asked for, and sometimes more). A leader keeps the longer one: its
    /// guard would have to know of a shorter one before the key hangs on it.
    pub(super) fn other_ttl(&self, lease: Lease) -> Option<Millis> {
        let ttl = self.settings().timing.ttl;
        let longer = lease.ttl > ttl && self.asked_ttl != Some(ttl);
        let longer = longer && self.own_leader_key().is_none();
        (lease.ttl < ttl || longer).then_some(ttl)
    }

    /// A lease that our `leader` key hangs on and that this run of the agent does not hold yet.
    pub(super) fn lease_to_adopt(&self) -> Option<LeaseId> {
        if self.lease.is_some() { None } else { self.own_leader_key()?.lease }
    }
}
