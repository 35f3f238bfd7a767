//! A1: in `async`, an election goes to the most advanced of those that can be heard: no acknowledged commit is lost
//! that a member had which could have led.
//!
//! Judged where nothing but the loss of the old primary was going on: both members ran, in recovery, reached each
//! other and etcd, for as long as an election with every patience in it takes.

use haa_core::reason::Reason;

use super::{Violation, broken, quorum};
use crate::net::Weather;
use crate::postgres::Process;
use crate::time::At;
use crate::wal::Wal;
use crate::world::{Deed, World};

/// Longer than a candidate waits for anything that it is to wait for.
const CALM: At = At::secs(8);

pub(super) fn check(world: &World, deed: Deed) -> Result<(), Violation> {
    let Deed::Opened(member) = deed else { return Ok(()) };
    let Some(wal) = world.members[member].postgres.wal() else { return Ok(()) };
    let Some((branch, end)) = world.wals.branch(wal.branch).parent else { return Ok(()) };
    let took = Wal { branch, end };
    let asked = world.etcd.view.term.as_ref().map(|kept| kept.value.reason);
    // An operator who names a member, or asks for a failover, has weighed the loss.
    if quorum(world) || !calm(world, member) || asked == Some(Reason::Failover) {
        return Ok(());
    }
    let others = (0..world.members.len()).filter(|&other| other != member);
    for other in others.filter(|&other| could_lead(world, other, member)) {
        let Some(theirs) = world.members[other].postgres.wal() else { continue };
        let lost = world
            .acknowledged
            .iter()
            .filter(|commit| commit.is_in(&world.wals, theirs) && !commit.is_in(&world.wals, took));
        let count = lost.count();
        if count > 0 {
            let what = format!("elected without {count} acknowledged commits that another had");
            return Err(broken(world, "A1", vec![member, other], what));
        }
    }
    Ok(())
}

fn calm(world: &World, member: usize) -> bool {
    let agent = &world.members[member].agent;
    let stalled = world.members[member].postgres.stalled_until;
    let since = world.troubled_at[member].max(agent.awake_since).max(stalled);
    let usual = world.conduct == world.conduct.healed() && world.net.weather == Weather::default();
    usual && world.now.since(since) >= CALM && agent.watch.mute_until <= world.now
}

fn could_lead(world: &World, other: usize, leader: usize) -> bool {
    let who = &world.members[other];
    let etcd = world.net.etcd();
    let sync = world.etcd.view.sync.as_ref().map(|kept| &kept.value.members);
    let listed = sync.and_then(|members| members.get(&who.name)).copied();
    let incarnation = who.postgres.disk.as_ref().map(|disk| disk.incarnation);
    calm(world, other)
        && who.agent.awake()
        && who.postgres.process == Process::Standby
        && world.now.since(who.postgres.started) >= CALM
        && listed.is_some()
        && listed == incarnation
        && world.net.joined(other, leader)
        && world.net.joined(other, etcd)
        && world.net.joined(leader, etcd)
}
