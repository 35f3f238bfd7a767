//! Stories: what is done to a cluster and what it does, in words that an operator of Postgres reads. Judges nothing.
//!
//! A block is some lines of commands (`;` separates them too), a line `----`, what happened, and an empty line.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use haa_core::records::{Ask, Tags};
use haa_core::settings::{Durability, Settings, Timing};
use haa_core::units::{MemberName, Millis};

use crate::conduct::Conduct;
use crate::invariants::Violation;
use crate::mutation::Broken;
use crate::postgres::Process;
use crate::run::Trial;
use crate::time::At;
use crate::world::faults::Fault;
use crate::world::member::Life;
use crate::world::{EtcdRelease, EtcdState, Guard, Plan, World};

/// A story that is being told.
#[derive(Debug, Default)]
pub struct Story {
    trial: Option<Trial>,
    broken: Option<Broken>,
}

/// The story in `text` as it comes out, in the same form; equal to `text` if it is as expected.
///
/// # Errors
/// The line that cannot be read, and why.
pub fn retell(text: &str) -> Result<String, String> {
    retell_broken(text, None)
}

/// As [`retell`], with something broken on purpose.
///
/// # Errors
/// The line that cannot be read, and why.
pub fn retell_broken(text: &str, broken: Option<Broken>) -> Result<String, String> {
    let mut story = Story { trial: None, broken };
    let mut told = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let _ = writeln!(told, "{line}");
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line != "----" {
            for command in line.split(';') {
                story.obey(command.trim()).map_err(|why| format!("'{line}': {why}"))?;
            }
            continue;
        }
        while lines.next_if(|line| !line.trim().is_empty()).is_some() {}
        for line in story.tell() {
            let _ = writeln!(told, "{line}");
        }
    }
    Ok(told)
}

impl Story {
    fn tell(&mut self) -> Vec<String> {
        let story = self.trial.as_mut().and_then(|trial| trial.world.story.as_mut());
        let lines = story.map(std::mem::take).unwrap_or_default();
        // What is done is read above; without the instant, which changes with every change of a delay.
        lines
            .iter()
            .filter_map(|line| line.get(12..))
            .filter(|l| !l.starts_with("  *"))
            .map(str::to_owned)
            .collect()
    }

    fn obey(&mut self, command: &str) -> Result<(), String> {
        let words: Vec<&str> = command.split_whitespace().collect();
        let Some((verb, rest)) = words.split_first() else { return Ok(()) };
        if *verb == "cluster" {
            self.trial = Some(Trial::new(Plan { broken: self.broken, ..plan(rest)? }));
            if let Some(trial) = &mut self.trial {
                trial.world.story = Some(vec![]);
            }
            return Ok(());
        }
        let trial = self.trial.as_mut().ok_or("a story begins with 'cluster'")?;
        let outcome = match (*verb, rest) {
            ("settle", []) => settle(trial),
            ("advance", [span]) => {
                let until = trial.world.now.after(self::span(span)?);
                trial.until(until)
            }
            ("write", [count]) => {
                let count = count.parse().map_err(|_| "how many writes?")?;
                write(trial, count)
            }
            ("status", []) => {
                status(&mut trial.world);
                Ok(())
            }
            _ => {
                for fault in faults(&trial.world, verb, rest)? {
                    if idle(&trial.world, &fault) {
                        return Err(format!("'{command}' does nothing as things stand"));
                    }
                    trial.world.inject(&fault);
                }
                Ok(())
            }
        };
        if let Err(violation) = outcome {
            blame(&mut trial.world, &violation);
        }
        Ok(())
    }
}

fn blame(world: &mut World, violation: &Violation) {
    world.say(|_| format!("VIOLATION {violation}"));
}

fn plan(words: &[&str]) -> Result<Plan, String> {
    let mut timing = Timing::default();
    let mut guard = Guard::Off;
    let mut durability = Some(Durability::Async);
    let (mut k, mut strict) = (None, false);
    let mut members = 0;
    let mut tags = BTreeMap::new();
    let mut etcd = EtcdRelease::New;
    let mut lag = Settings::default().maximum_lag_on_failover;
    for word in words {
        match word.split_once('=') {
            Some(("ttl", value)) => timing.ttl = millis(value)?,
            Some(("round", value)) => timing.round = millis(value)?,
            Some(("margin", value)) => timing.margin = millis(value)?,
            Some(("guard", "on")) => guard = Guard::On,
            Some(("durability", "quorum")) => durability = Some(Durability::Quorum),
            Some(("durability", "auto")) => durability = None,
            Some(("strict", "on")) => strict = true,
            Some(("k", value)) => k = Some(value.parse().map_err(|_| "k is how many?")?),
            Some(("etcd", "old")) => etcd = EtcdRelease::Old,
            Some(("max_lag", bytes)) => lag = bytes.parse().map_err(|_| "how many bytes?")?,
            Some(("nofailover", name)) => tag(&mut tags, name)?.nofailover = true,
            Some(("preferred", name)) => tag(&mut tags, name)?.failover_priority = 1,
            Some(_) => return Err(format!("'{word}' is not a setting of a story")),
            None => members += 1,
        }
    }
    timing.check()?;
    let maximum_lag_on_failover = lag;
    let settings = Settings { durability, k, strict, maximum_lag_on_failover, timing };
    let apart = At::ms(500);
    let drift_ppm = 0;
    Ok(Plan { seed: 1, members, settings, guard, etcd, broken: None, tags, apart, drift_ppm })
}

fn tag<'a>(tags: &'a mut BTreeMap<usize, Tags>, name: &str) -> Result<&'a mut Tags, String> {
    let number: usize = name.trim_start_matches('n').parse().map_err(|_| "tag which member?")?;
    Ok(tags.entry(number.checked_sub(1).ok_or("members count from n1")?).or_default())
}

fn millis(text: &str) -> Result<Millis, String> {
    Ok(Millis(span(text)?.0 / 1_000))
}

fn span(text: &str) -> Result<At, String> {
    let wrong = |_| format!("'{text}' is not a span such as 500ms or 10s");
    match text.strip_suffix("ms") {
        Some(ms) => ms.parse().map(At::ms).map_err(wrong),
        None => text.trim_end_matches('s').parse().map(At::secs).map_err(wrong),
    }
}

/// Until one leads, all that run stream from it, and nothing has happened for two seconds; two minutes at most.
fn settle(trial: &mut Trial) -> Result<(), Violation> {
    let limit = trial.world.now.after(At::secs(120));
    let mut quiet = At(0);
    while trial.world.now < limit && quiet < At::secs(2) {
        let before = trial.world.story.as_ref().map_or(0, Vec::len);
        let next = trial.world.now.after(At::ms(250));
        trial.until(next)?;
        let same = trial.world.story.as_ref().map_or(0, Vec::len) == before;
        let calm = same && trial.world.settled();
        quiet = if calm { quiet.after(At::ms(250)) } else { At(0) };
    }
    if quiet < At::secs(2) {
        trial.world.say(|_| "still not settled after two minutes".to_owned());
    }
    Ok(())
}

/// Writes, ten milliseconds apart; after the last there is time for it to reach the replicas.
fn write(trial: &mut Trial, count: usize) -> Result<(), Violation> {
    let mut writes = Vec::new();
    for _ in 0..count {
        writes.extend(trial.world.routed_write());
        let next = trial.world.now.after(At::ms(10));
        trial.until(next)?;
    }
    let known = &trial.world.acknowledged;
    let done = |write: &u64| known.iter().any(|known| known.write == *write);
    let acknowledged = writes.iter().filter(|(_, write)| done(write));
    let name = |member: usize| trial.world.members[member].name.to_string();
    let mut by: Vec<String> = acknowledged.map(|(member, _)| name(*member)).collect();
    let total = by.len();
    by.dedup();
    trial.world.say(|_| match total {
        0 => format!("none of {count} writes acknowledged"),
        _ => format!("{total} of {count} writes acknowledged by {}", by.join(" ")),
    });
    Ok(())
}

fn status(world: &mut World) {
    for member in 0..world.members.len() {
        let line = world.describe(member);
        world.say(|_| line);
    }
    let primary = (0..world.members.len()).find(|&member| world.members[member].postgres.open());
    let Some(wal) = primary.and_then(|member| world.members[member].postgres.wal()) else { return };
    let lost = world.acknowledged.iter().filter(|write| !write.is_in(&world.wals, wal)).count();
    let all = world.acknowledged.len();
    world.say(|_| format!("{lost} of {all} acknowledged writes are lost"));
}

impl World {
    fn describe(&self, member: usize) -> String {
        let who = &self.members[member];
        let agent = match who.agent.state {
            Life::Running | Life::Stumbling => "",
            Life::Frozen => ", agent frozen",
            Life::Down => ", agent down",
        };
        let postgres = match who.postgres.process {
            Process::Down if who.postgres.disk.is_none() => "no data".to_owned(),
            Process::Down => "stopped".to_owned(),
            Process::Starting => "starting".to_owned(),
            Process::Standby | Process::Promoting(_) => match who.postgres.source {
                Some(source) => format!("standby of {}", self.members[source].name),
                None => "standby of nobody".to_owned(),
            },
            Process::Primary => "accepts writes".to_owned(),
        };
        let timeline = who.postgres.wal().map_or(0, |wal| self.wals.branch(wal.branch).timeline.0);
        format!("{} {postgres}, timeline {timeline}{agent}", who.name)
    }
}

fn faults(world: &World, verb: &str, rest: &[&str]) -> Result<Vec<Fault>, String> {
    let end = |name: &str| -> Result<usize, String> {
        if name == "etcd" {
            return Ok(world.net.etcd());
        }
        let name: MemberName = name.parse().map_err(|why| format!("{why}"))?;
        world.index(&name).ok_or_else(|| format!("there is no member {name}"))
    };
    let odds = |conduct: Conduct| vec![Fault::Conduct(conduct)];
    Ok(match (verb, rest) {
        ("kill-postgres", [m]) => vec![Fault::KillPostgres(end(m)?)],
        ("stall-postgres", [m, time]) => vec![Fault::StallPostgres(end(m)?, span(time)?)],
        ("kill-agent", [m]) => vec![Fault::KillAgent(end(m)?)],
        ("stop-agent", [m]) => vec![Fault::StopAgent(end(m)?)],
        ("start-agent", [m]) => vec![Fault::StartAgent(end(m)?)],
        ("kill-host", [m]) => vec![Fault::KillHost(end(m)?)],
        ("revive", [m]) => vec![Fault::Revive(end(m)?)],
        ("freeze", [m]) => vec![Fault::Freeze(end(m)?)],
        ("thaw", [m]) => vec![Fault::Thaw(end(m)?)],
        ("lose-disk", [m]) => vec![Fault::LoseDisk(end(m)?)],
        ("foreign-disk", [m]) => vec![Fault::ForeignDisk(end(m)?)],
        ("cut", [a, b]) => vec![Fault::Cut(end(a)?, end(b)?), Fault::Cut(end(b)?, end(a)?)],
        ("cut", [a, "->", b]) => vec![Fault::Cut(end(a)?, end(b)?)],
        ("mend", [a, b]) => vec![Fault::Mend(end(a)?, end(b)?), Fault::Mend(end(b)?, end(a)?)],
        ("isolate", [m]) => around(world, end(m)?, Fault::Cut),
        ("rejoin", [m]) => around(world, end(m)?, Fault::Mend),
        ("stop-etcd", []) => vec![Fault::StopEtcd],
        ("start-etcd", []) => vec![Fault::StartEtcd],
        ("mute-watch", [m, time]) => vec![Fault::MuteWatch(end(m)?, span(time)?)],
        ("promote-by-hand", [m]) => vec![Fault::PromoteByHand(end(m)?)],
        ("blind", [m, time]) => vec![Fault::Blind(end(m)?, span(time)?)],
        ("save-etcd", []) => vec![Fault::SaveEtcd],
        ("restore-etcd", []) => vec![Fault::RestoreEtcd],
        ("revoke-leader", []) => vec![Fault::RevokeEarly(leaders_lease(world)?)],
        ("rewinds-fail", []) => odds(Conduct { rewind_fails: 1_000_000, ..world.conduct }),
        ("promotions-fail", []) => odds(Conduct { promote_fails: 1_000_000, ..world.conduct }),
        ("clones-fail", []) => odds(Conduct { clone_fails: 1_000_000, ..world.conduct }),
        ("starts-fail", []) => odds(Conduct { start_fails: 1_000_000, ..world.conduct }),
        ("promotions-hang", []) => odds(Conduct { promote_hangs: 1_000_000, ..world.conduct }),
        ("outcomes-unknown", []) => odds(Conduct { txn_untold: 1_000_000, ..world.conduct }),
        ("nothing-fails", []) => odds(world.conduct.healed()),
        ("switchover" | "failover", to) => {
            let to = to.first().map(|name| name.parse()).transpose();
            let to = to.map_err(|why: haa_core::units::Unreadable| why.to_string())?;
            let ask =
                if verb == "failover" { Ask::Failover { to } } else { Ask::Switchover { to } };
            vec![Fault::Request(ask)]
        }
        _ => return Err("not a command of a story".to_owned()),
    })
}

/// Which of etcd's leases the leader's key hangs on.
fn leaders_lease(world: &World) -> Result<usize, String> {
    let lease = world.etcd.view.leader.as_ref().and_then(|kept| kept.lease);
    let all = world.etcd.leases();
    all.iter().position(|id| Some(*id) == lease).ok_or_else(|| "nobody leads".to_owned())
}

/// Whether it would change nothing: a story that says so misleads.
fn idle(world: &World, fault: &Fault) -> bool {
    let agent = |member: &usize| world.members[*member].agent.state;
    let postgres = |member: &usize| &world.members[*member].postgres;
    let down = |member: &usize| postgres(member).process == Process::Down;
    match fault {
        Fault::KillPostgres(m) | Fault::StallPostgres(m, _) => down(m),
        Fault::KillAgent(m) | Fault::StopAgent(m) => agent(m) == Life::Down,
        Fault::StartAgent(m) => agent(m) != Life::Down,
        Fault::Freeze(m) | Fault::Stumble(m) => agent(m) != Life::Running,
        Fault::Thaw(m) => agent(m) != Life::Frozen,
        Fault::KillHost(m) => agent(m) == Life::Down && down(m),
        Fault::Revive(m) => agent(m) != Life::Down,
        Fault::LoseDisk(m) | Fault::ForeignDisk(m) => !down(m) || postgres(m).disk.is_none(),
        Fault::Cut(from, to) => !world.net.open(*from, *to),
        Fault::Mend(from, to) => world.net.open(*from, *to),
        Fault::StopEtcd | Fault::Request(_) => world.etcd_state == EtcdState::Down,
        Fault::StartEtcd => world.etcd_state == EtcdState::Up,
        Fault::PromoteByHand(m) => postgres(m).process != Process::Standby,
        Fault::MuteWatch(..)
        | Fault::Blind(..)
        | Fault::SaveEtcd
        | Fault::RestoreEtcd
        | Fault::RevokeEarly(_)
        | Fault::Weather(_)
        | Fault::Conduct(_) => false,
    }
}

fn around(world: &World, member: usize, fault: impl Fn(usize, usize) -> Fault) -> Vec<Fault> {
    let others = (0..=world.net.etcd()).filter(|&other| other != member);
    others.flat_map(|other| [fault(member, other), fault(other, member)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_does_nothing_is_an_error() {
        let told =
            |commands: &str| retell(&format!("cluster n1 n2; settle\n----\n\n{commands}\n----\n"));
        for idle in ["thaw n1", "start-agent n1", "lose-disk n1", "mend n1 n2", "start-etcd"] {
            let why = told(idle).expect_err("it does nothing");
            assert!(why.contains("does nothing"), "{why}");
        }
        assert!(told("kill-postgres n1").is_ok());
    }
}
