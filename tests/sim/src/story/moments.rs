//! Instants that a story waits for, however long things take: `until n2 stands`. Does nothing to the world.

use haa_core::records::Holder;

use crate::postgres::Process;
use crate::world::World;

/// Whether it has come.
pub(super) fn comes(world: &World, words: &[&str]) -> Result<bool, String> {
    let [name, does] = words else { return Err("until who does what?".to_owned()) };
    let name = name.parse().map_err(|why| format!("{why}"))?;
    let member = world.index(&name).ok_or_else(|| format!("there is no member {name}"))?;
    let who = &world.members[member];
    let view = &world.etcd.view;
    let holder = view.term.as_ref().map(|kept| &kept.value.holder);
    Ok(match *does {
        "stands" => {
            matches!(holder, Some(Holder::Candidate { member, .. }) if *member == who.name)
        }
        // It has told so, of the attempt that stands.
        "grants" => who.agent.granted.as_ref().is_some_and(|of| of.term == world.term()),
        "leads" => view.leader.as_ref().is_some_and(|kept| kept.value.member == who.name),
        "promotes" => matches!(who.postgres.process, Process::Promoting(_)),
        // It was sent the history of a timeline, and none of its WAL.
        "turns" => who.postgres.target.is_some(),
        "works" => who.agent.errand.is_some(),
        "holds" => world.held_by == Some(member),
        "hangs" => world.is_held_up(member),
        _ => return Err(format!("'{does}' is nothing that a story waits for")),
    })
}
