//! A1: in `async`, an election goes to the most advanced of those that can be heard: no acknowledged commit is lost
//! that a member had which could have led.
//!
//! Judged where nothing but the loss of the old primary was going on: both members ran, in recovery, reached each
//! other and etcd, for as long as an election with every patience in it takes.

use haa_core::reason::Reason;
use haa_core::units::{Lsn, Term};

use super::{Violation, broken, quorum};
use crate::client::Acknowledged;
use crate::net::Weather;
use crate::postgres::Process;
use crate::time::At;
use crate::wal::{BranchId, Wal};
use crate::world::{Deed, World};

/// Longer than a candidate waits for anything that it is to wait for.
const CALM: At = At::secs(8);

pub(super) fn check(world: &World, deed: Deed) -> Result<(), Violation> {
    let Deed::Opened(member) = deed else { return Ok(()) };
    let Some(wal) = world.members[member].postgres.wal() else { return Ok(()) };
    let made = world.wals.branch(wal.branch);
    let (Some((branch, end)), Some(_)) = (made.parent, made.term) else { return Ok(()) };
    let took = Wal { branch, end };
    let last = last_led(world, made.term).map(|branch| Wal { branch, end: Lsn(u64::MAX) });
    let asked = world.etcd.view.term.as_ref().map(|kept| kept.value.reason);
    // An operator who names a member, or asks for a failover, has weighed the loss.
    if quorum(world) || !calm(world, member) || asked == Some(Reason::Failover) {
        return Ok(());
    }
    let others = (0..world.members.len()).filter(|&other| other != member);
    for other in others.filter(|&other| could_lead(world, other, member)) {
        let Some(theirs) = world.members[other].postgres.wal() else { continue };
        let is_in = |commit: &Acknowledged, wal| commit.is_in(&world.wals, wal);
        // What an earlier election lost is not lost in this one.
        let lost = world.acknowledged.iter().filter(|commit| {
            is_in(commit, theirs)
                && !is_in(commit, took)
                && last.is_none_or(|wal| is_in(commit, wal))
        });
        let count = lost.count();
        if count > 0 {
            let what = format!("elected without {count} acknowledged commits that another had");
            return Err(broken(world, "A1", vec![member, other], what));
        }
    }
    Ok(())
}

/// The timeline of the leadership before that of this term.
fn last_led(world: &World, term: Option<Term>) -> Option<BranchId> {
    let made = (0..).map(BranchId).zip(world.wals.all());
    let led = made.filter_map(|(id, branch)| Some((branch.term?, id)));
    led.filter(|(of, _)| Some(*of) < term).max_by_key(|(of, _)| *of).map(|(_, id)| id)
}

fn calm(world: &World, member: usize) -> bool {
    let agent = &world.members[member].agent;
    let postgres = &world.members[member].postgres;
    let deaf = postgres.deaf.map_or(At(0), |(_, until)| until);
    let seen = postgres.stalled_until.max(deaf).max(agent.blind_until);
    let since = world.troubled_at[member].max(agent.awake_since).max(seen);
    let usual = world.conduct == world.conduct.healed() && world.net.weather == Weather::default();
    usual && world.now.since(since) >= CALM && agent.watch.mute_until <= world.now
}

fn could_lead(world: &World, other: usize, leader: usize) -> bool {
    let who = &world.members[other];
    let etcd = world.net.etcd();
    let sync = world.etcd.view.sync.as_ref().map(|kept| &kept.value.members);
    let listed = sync.and_then(|members| members.get(&who.name)).copied();
    let incarnation = who.postgres.disk.as_ref().map(|disk| disk.incarnation);
    let tagged = world.plan.tags.get(&other).is_some_and(|tags| tags.nofailover);
    let drained = world.etcd.view.drained.contains_key(&who.name);
    calm(world, other)
        && !tagged
        && !drained
        && who.agent.awake()
        && who.postgres.process == Process::Standby
        && world.now.since(who.postgres.started) >= CALM
        && listed.is_some()
        && listed == incarnation
        && world.net.joined(other, leader)
        && world.net.joined(other, etcd)
        && world.net.joined(leader, etcd)
}
