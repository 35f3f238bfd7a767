//! The commands of a story that do something to the world: which faults each stands for. Does none of them.

use haa_core::line::Fork;
use haa_core::observe::Door;
use haa_core::records::{Altered, Ask, Key, Loss, Manner};
use haa_core::units::{Lsn, MemberName, Position, Timeline};

use super::plan::{set, span};
use crate::conduct::Conduct;
use crate::net::Weather;
use crate::postgres::{Process, Replay};
use crate::world::abroad::Abroad;
use crate::world::faults::{Fault, When};
use crate::world::member::Life;
use crate::world::slots::Much;
use crate::world::{EtcdState, World};

/// The faults that a command brings.
pub(super) fn faults(world: &World, verb: &str, rest: &[&str]) -> Result<Vec<Fault>, String> {
    let end = |name: &str| -> Result<usize, String> {
        if name == "etcd" {
            return Ok(world.net.etcd());
        }
        let name: MemberName = name.parse().map_err(|why| format!("{why}"))?;
        world.index(&name).ok_or_else(|| format!("there is no member {name}"))
    };
    Ok(match (verb, rest) {
        ("kill-postgres", [m]) => vec![Fault::KillPostgres(end(m)?)],
        (_, [m, time]) if HANGS.contains(&verb) => hang(verb, end(m)?, time)?,
        ("kill-agent", [m]) => vec![Fault::KillAgent(end(m)?)],
        ("stop-agent", [m]) => vec![Fault::StopAgent(end(m)?)],
        ("start-agent", [m]) => vec![Fault::StartAgent(end(m)?)],
        ("kill-host", [m]) => vec![Fault::KillHost(end(m)?)],
        ("revive", [m]) => vec![Fault::Revive(end(m)?)],
        ("freeze" | "thaw" | "pause-replay" | "resume-replay", [m]) => still(verb, end(m)?),
        ("lose-disk", [m]) => vec![Fault::LoseDisk(end(m)?)],
        ("foreign-disk", [m]) => vec![Fault::ForeignDisk(end(m)?)],
        ("cut", [a, b]) => vec![Fault::Cut(end(a)?, end(b)?), Fault::Cut(end(b)?, end(a)?)],
        ("cut", [a, "->", b]) => vec![Fault::Cut(end(a)?, end(b)?)],
        ("mend", [a, b]) => vec![Fault::Mend(end(a)?, end(b)?), Fault::Mend(end(b)?, end(a)?)],
        ("mend", [a, "->", b]) => vec![Fault::Mend(end(a)?, end(b)?)],
        ("isolate", [m]) => around(world, end(m)?, Fault::Cut),
        ("rejoin", [m]) => around(world, end(m)?, Fault::Mend),
        ("slow-network", [late]) => {
            let late = span(late)?;
            vec![Fault::Weather(Weather { late_often: 1_000_000, late, ..Weather::default() })]
        }
        ("stop-etcd", []) => vec![Fault::StopEtcd],
        ("start-etcd", []) => vec![Fault::StartEtcd],
        ("mute-watch", [m, time]) => vec![Fault::MuteWatch(end(m)?, span(time)?)],
        ("promote-by-hand", [m]) => vec![Fault::PromoteByHand(end(m)?)],
        ("shut-door", [m]) => vec![Fault::ShutDoor(end(m)?)],
        ("recycle-wal", [m]) => vec![Fault::Recycle(end(m)?, Much::Bearable)],
        ("overrun-slots", [m]) => vec![Fault::Recycle(end(m)?, Much::TooMuch)],
        ("delete-leader-key", []) => vec![Fault::DeleteLeader],
        ("blind", [m, time]) => vec![Fault::Blind(end(m)?, span(time)?)],
        ("save-etcd", []) => vec![Fault::SaveEtcd],
        ("restore-etcd", []) => vec![Fault::RestoreEtcd],
        ("revoke-leader", []) => vec![Fault::RevokeEarly(leaders_lease(world)?)],
        ("set", words) => vec![Fault::Settings(set(world, words)?)],
        ("hold", [m, key]) => vec![Fault::Hold(end(m)?, written(key)?)],
        ("let-go", [m]) => vec![Fault::LetGo(end(m)?)],
        ("schedule", [time, verb, rest @ ..]) => {
            vec![Fault::Plan(planned(verb, rest)?, When::In(span(time)?))]
        }
        ("then", [verb, rest @ ..]) => vec![Fault::Plan(planned(verb, rest)?, When::Then)],
        ("promotions-hang", [time]) => {
            let promote_takes = span(time)?;
            let conduct = Conduct { promote_hangs: 1_000_000, promote_takes, ..world.conduct };
            vec![Fault::Conduct(conduct)]
        }
        (_, []) if let Some(conduct) = odds(&world.conduct, verb) => vec![Fault::Conduct(conduct)],
        _ => vec![abroad(world, verb, rest)?],
    })
}

/// What goes wrong from now on, or does not any more.
fn odds(now: &Conduct, verb: &str) -> Option<Conduct> {
    const ALWAYS: u32 = 1_000_000;
    let now = *now;
    Some(match verb {
        "rewinds-fail" => Conduct { rewind_fails: ALWAYS, ..now },
        "rewinds-see-nothing" => Conduct { rewind_blind: 1, ..now },
        "limits-fall" => Conduct { limits_fall: 1, ..now },
        "copies-fail" => Conduct { copies_fail: 1, ..now },
        "histories-stay" => Conduct { histories_stay: 1, ..now },
        "promotions-fail" => Conduct { promote_fails: ALWAYS, ..now },
        "clones-fail" => Conduct { clone_fails: ALWAYS, ..now },
        "no-room" => Conduct { no_room: 1, ..now },
        "one-backup" => Conduct { one_backup: 1, ..now },
        "starts-fail" => Conduct { start_fails: ALWAYS, ..now },
        "snapshots-pend" => Conduct { snapshots_pend: ALWAYS, ..now },
        "promotions-hang" => Conduct { promote_hangs: ALWAYS, ..now },
        "holds-fail" => Conduct { hold_fails: ALWAYS, ..now },
        "promotions-go-astray" => Conduct { promote_astray: ALWAYS, ..now },
        "outcomes-unknown" => Conduct { txn_untold: ALWAYS, ..now },
        "nothing-fails" => now.healed(),
        _ => return None,
    })
}

/// What stands still, or goes on.
fn still(verb: &str, member: usize) -> Vec<Fault> {
    let fault = match verb {
        "freeze" => Fault::Freeze,
        "thaw" => Fault::Thaw,
        "pause-replay" => Fault::PauseReplay,
        _ => Fault::ResumeReplay,
    };
    vec![fault(member)]
}

const HANGS: [&str; 4] = ["stall-postgres", "hang-disk", "fill-disk", "deafen"];

/// What of a Postgres hangs, or is full, for so long.
fn hang(verb: &str, member: usize, time: &str) -> Result<Vec<Fault>, String> {
    let fault = match verb {
        "hang-disk" => Fault::HangDisk,
        "fill-disk" => Fault::FillDisk,
        "deafen" => Fault::Deafen,
        _ => Fault::StallPostgres,
    };
    Ok(vec![fault(member, span(time)?)])
}

/// What happens at another cluster, or between the two; else what an operator asks for.
fn abroad(world: &World, verb: &str, words: &[&str]) -> Result<Fault, String> {
    let all = || {
        let wal = world.members[world.plan.other_site?].postgres.wal()?;
        Some(world.wals.position(wal))
    };
    Ok(match (verb, words) {
        ("other-site", ["fails-over"]) => Fault::Abroad(Abroad::FailsOver),
        ("other-site", ["loses", bytes]) => {
            Fault::Abroad(Abroad::Loses(bytes.parse().map_err(|_| "how many bytes?")?))
        }
        ("other-site", ["loses-timeline"]) => Fault::Abroad(Abroad::LosesTimeline),
        ("other-site", ["stops"]) => Fault::Abroad(Abroad::Stops),
        ("other-site", ["promotes"]) => Fault::Abroad(Abroad::Promotes),
        ("other-site", ["follows", member]) => {
            let member = world.index(&named(member)?).ok_or("there is no such member")?;
            Fault::Abroad(Abroad::Follows(member))
        }
        ("promote-cluster", ["at-least", "all"]) => {
            Fault::Request(Ask::PromoteCluster { at_least: all() })
        }
        ("promote-cluster", ["at-least", "more"]) => {
            let more = |all| Position { lsn: Lsn(u64::MAX), ..all };
            Fault::Request(Ask::PromoteCluster { at_least: all().map(more) })
        }
        ("promote-cluster", []) => Fault::Request(Ask::PromoteCluster { at_least: None }),
        ("demote-cluster", []) => {
            let to = world.site().ok_or("there is no other site")?;
            Fault::Request(Ask::DemoteCluster { to })
        }
        ("other-site", _) => return Err("what does the other site?".to_owned()),
        (_, _) => Fault::Request(asked(verb, words)?),
    })
}

/// What an operator asks for in advance.
fn planned(verb: &str, rest: &[&str]) -> Result<Ask, String> {
    let pause = match (verb, rest) {
        ("pause", []) => true,
        ("resume", []) => false,
        ("set", [word]) => {
            let (key, to) = word.split_once('=').ok_or("set what to what?")?;
            let (key, to) = (key.to_owned(), Some(to.to_owned()));
            return Ok(Ask::Settings { changes: vec![Altered { key, from: None, to }] });
        }
        ("reload", [member]) => return Ok(Ask::Reload { member: named(member)? }),
        _ => return asked(verb, rest),
    };
    let (from, to) = (Some((!pause).to_string()), Some(pause.to_string()));
    Ok(Ask::Settings { changes: vec![Altered { key: "pause".to_owned(), from, to }] })
}

/// What an operator asks for.
fn asked(verb: &str, rest: &[&str]) -> Result<Ask, String> {
    let to = || rest.first().map(|name| named(name)).transpose();
    Ok(match (verb, rest) {
        ("switchover", [] | [_]) => Ask::Switchover { to: to()? },
        ("failover", ["accept-loss"]) => Ask::Failover { to: None, loss: Loss::Accepted },
        ("failover", [_, "accept-loss"]) => Ask::Failover { to: to()?, loss: Loss::Accepted },
        ("failover", [] | [_]) => Ask::Failover { to: to()?, loss: Loss::Allowed },
        ("drain", [member]) => Ask::Drain { member: named(member)? },
        ("undrain", [member]) => Ask::Undrain { member: named(member)? },
        ("remove", [member]) => Ask::Remove { member: named(member)? },
        ("reinit", [member]) => reinit(member, None)?,
        ("reinit", [member, "from", from]) => reinit(member, Some(named(from)?))?,
        ("restart", [member]) => restart(member, Manner::Alone)?,
        ("restart", [member, "rolling"]) => restart(member, Manner::Rolling)?,
        ("restart", [member, "in-place"]) => restart(member, Manner::InPlace)?,
        _ => return Err("not a command of a story".to_owned()),
    })
}

fn reinit(member: &str, from: Option<MemberName>) -> Result<Ask, String> {
    Ok(Ask::Reinit { member: named(member)?, data: None, from })
}

fn restart(member: &str, manner: Manner) -> Result<Ask, String> {
    Ok(Ask::Restart { member: named(member)?, manner })
}

fn named(name: &str) -> Result<MemberName, String> {
    name.parse().map_err(|why| format!("{why}"))
}

/// The key, or one of its kind, that a transaction is told by.
fn written(key: &str) -> Result<Key, String> {
    match key {
        "term" => Ok(Key::Term),
        "leader" => Ok(Key::Leader),
        "sync" => Ok(Key::Sync),
        "discarded" => {
            Ok(Key::Discarded(named("any")?, Fork { timeline: Timeline(0), lsn: Lsn(0) }))
        }
        "drained" => Ok(Key::Drained(named("any")?)),
        "request" => Ok(Key::Request(String::new())),
        _ => Err(format!("'{key}' is none of term, leader, sync, discarded, drained and request")),
    }
}

/// Which of etcd's leases the leader's key hangs on.
fn leaders_lease(world: &World) -> Result<usize, String> {
    let lease = world.etcd.view.leader.as_ref().and_then(|kept| kept.lease);
    let all = world.etcd.leases();
    all.iter().position(|id| Some(*id) == lease).ok_or_else(|| "nobody leads".to_owned())
}

/// Whether it would change nothing: a story that says so misleads.
pub(super) fn idle(world: &World, fault: &Fault) -> bool {
    let agent = |member: &usize| world.members[*member].agent.state;
    let postgres = |member: &usize| &world.members[*member].postgres;
    let down = |member: &usize| postgres(member).process == Process::Down;
    match fault {
        Fault::KillPostgres(m)
        | Fault::StallPostgres(m, _)
        | Fault::HangDisk(m, _)
        | Fault::FillDisk(m, _)
        | Fault::Deafen(m, _) => down(m),
        Fault::KillAgent(m) | Fault::StopAgent(m) => agent(m) == Life::Down,
        Fault::StartAgent(m) => agent(m) != Life::Down,
        Fault::Freeze(m) | Fault::Stumble(m) => agent(m) != Life::Running,
        Fault::Thaw(m) => agent(m) != Life::Frozen,
        Fault::KillHost(m) => agent(m) == Life::Down && down(m),
        Fault::Revive(m) => agent(m) != Life::Down,
        Fault::LoseDisk(m) | Fault::ForeignDisk(m) => !down(m) || postgres(m).disk.is_none(),
        Fault::Cut(from, to) => !world.net.open(*from, *to),
        Fault::Mend(from, to) => world.net.open(*from, *to),
        Fault::StopEtcd | Fault::Request(_) | Fault::Plan(..) => {
            world.etcd_state == EtcdState::Down
        }
        Fault::LetGo(m) => !world.is_held_up(*m),
        Fault::StartEtcd => world.etcd_state == EtcdState::Up,
        Fault::PromoteByHand(m) => postgres(m).process != Process::Standby,
        Fault::PauseReplay(m) => postgres(m).replay == Replay::Paused,
        Fault::ShutDoor(m) => postgres(m).door == Door::Shut,
        Fault::ResumeReplay(m) => postgres(m).replay == Replay::Runs,
        Fault::MuteWatch(..)
        | Fault::Blind(..)
        | Fault::Recycle(..)
        | Fault::SaveEtcd
        | Fault::RestoreEtcd
        | Fault::Settings(_)
        | Fault::Hold(..)
        | Fault::RevokeEarly(_)
        | Fault::DeleteLeader
        | Fault::Abroad(_)
        | Fault::Weather(_)
        | Fault::Conduct(_) => false,
    }
}

fn around(world: &World, member: usize, fault: impl Fn(usize, usize) -> Fault) -> Vec<Fault> {
    let others = (0..=world.net.etcd()).filter(|&other| other != member);
    others.flat_map(|other| [fault(member, other), fault(other, member)]).collect()
}
