//! The invariants of the design, one file each. They see everything and change nothing.

mod a1;
mod a2;
mod a3;
mod a4;
mod a5;
mod a6;
mod i01;
mod i02;
mod i03;
mod i05;
mod i06;
mod i07;
mod i08;
mod i09;
mod i10;
mod i11;
mod i12;
mod i13;
mod i14;
mod i15;
mod i16;
mod i17;
mod i18;

use std::collections::BTreeMap;
use std::fmt;

use haa_core::units::{MemberName, SystemId, Term, Timeline};

pub use i12::{Demand, demand};

use crate::time::At;
use crate::wal::{BranchId, Wal};
use crate::world::member::Life;
use crate::world::{Deed, Guard, World};

/// An invariant that does not hold.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which, such as `I1`.
    pub invariant: &'static str,
    /// When.
    pub at: At,
    /// The newest term in etcd.
    pub term: Term,
    /// Whom it is about.
    pub members: Vec<usize>,
    /// In a sentence.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.members.iter().map(|m| format!("n{}", m + 1)).collect();
        let names = names.join(" ");
        write!(
            f,
            "{} at {} in term {} [{names}]: {}",
            self.invariant, self.at, self.term, self.what
        )
    }
}

/// What the invariants remember of the past.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    highest: Term,
    leaders: BTreeMap<Term, usize>,
    timelines: BTreeMap<Timeline, BranchId>,
    system: Option<SystemId>,
    creator: Option<MemberName>,
    before: a2::Before,
    strays: BTreeMap<usize, At>,
    shown: i17::Shown,
    /// When `strict` was last seen not to be set.
    lax_at: At,
    /// etcd says again what it said before: what it says of voters holds for no commit since.
    restored: bool,
}

/// Every invariant, after one event.
///
/// # Errors
/// The first that does not hold.
pub fn check(world: &World, ledger: &mut Ledger, deed: Deed) -> Result<(), Violation> {
    if let Deed::Restored = deed {
        // Terms and reservations begin anew with it; what that costs is for stories to show.
        *ledger = Ledger { restored: true, ..Ledger::default() };
    }
    i03::check(world, ledger, deed)?;
    i07::check(world, ledger, deed)?;
    i14::check(world, ledger, deed)?;
    i01::check(world, deed)?;
    i02::check(world, deed)?;
    i05::check(world, deed)?;
    i06::check(world, ledger, deed)?;
    i13::check(world, deed)?;
    a1::check(world, deed)?;
    a2::check(world, ledger, deed)?;
    a3::check(world, deed)?;
    a4::check(world, ledger, deed)?;
    a5::check(world, deed)?;
    a6::check(world, deed)?;
    i08::check(world, ledger, deed)?;
    i09::check(world, ledger, deed)?;
    i10::check(world, deed)?;
    i16::check(world, deed)?;
    i11::check(world, deed)?;
    i15::check(world, deed)?;
    i17::check(world, ledger, deed)?;
    i18::check(world, ledger, deed)
}

/// A leadership's Postgres has come out of recovery: the first of these commits, all of earlier terms, that it does not
/// hold, and its own WAL. A promotion that comes late, of whoever was deposed meanwhile, owes nothing to later terms.
fn lacks<T>(
    world: &World,
    opened: usize,
    mut commits: impl Iterator<Item = (T, Wal)>,
) -> Option<(T, Wal, Wal)> {
    let own = world.members[opened].postgres.wal()?;
    let term = world.wals.branch(own.branch).term?;
    let (of, commit) = commits.find(|(_, commit)| {
        let earlier = world.wals.branch(commit.branch).term < Some(term);
        earlier && !world.wals.holds(own, *commit)
    })?;
    Some((of, commit, own))
}

/// Whether acknowledged commits rest on voters just now.
fn quorum(world: &World) -> bool {
    world.etcd.view.sync.as_ref().is_some_and(|kept| kept.value.is_quorum())
}

fn broken(world: &World, invariant: &'static str, members: Vec<usize>, what: String) -> Violation {
    Violation { invariant, at: world.now, term: world.term(), members, what }
}

/// Without a guard nobody closes writes for an agent that is frozen, dead, or just back.
fn excused(world: &World, member: usize) -> bool {
    let agent = &world.members[member].agent;
    // A look at a Postgres that hangs takes a second, and ending it some more.
    let back = world.now.since(agent.awake_since) < At::secs(2);
    world.plan.guard == Guard::Off && (agent.state != Life::Running || back)
}
