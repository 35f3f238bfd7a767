//! Stories: what is done to a cluster and what it does, in words that an operator of Postgres reads. Judges nothing.
//!
//! A block is some lines of commands (`;` separates them too), a line `----`, what happened, and an empty line.

mod commands;
mod moments;
mod plan;

use std::fmt::Write as _;

use crate::invariants::Violation;
use crate::mutation::Broken;
use crate::postgres::Process;
use crate::run::Trial;
use crate::time::At;
use crate::world::member::Life;
use crate::world::{Plan, World};
use commands::{faults, idle};
use moments::comes;
use plan::plan;

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
                let until = trial.world.now.after(plan::span(span)?);
                trial.until(until)
            }
            ("until", moment) => until(trial, moment)?,
            ("write", [count]) => {
                let count = count.parse().map_err(|_| "how many writes?")?;
                write(trial, count)
            }
            ("write-to", [name, count]) => {
                let member = trial.world.index(&name.parse().map_err(|_| "write to whom?")?);
                let count = count.parse().map_err(|_| "how many writes?")?;
                write_to(trial, member.ok_or("there is no such member")?, count)
            }
            ("reads", []) => {
                reads(&mut trial.world);
                Ok(())
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

/// Until that comes, at most two minutes.
fn until(trial: &mut Trial, moment: &[&str]) -> Result<Result<(), Violation>, String> {
    let limit = trial.world.now.after(At::secs(120));
    while !comes(&trial.world, moment)? {
        if trial.world.now >= limit {
            trial.world.say(|_| format!("two minutes, and never: {}", moment.join(" ")));
            break;
        }
        let next = trial.world.now.after(At::ms(1));
        if let Err(violation) = trial.until(next) {
            return Ok(Err(violation));
        }
    }
    Ok(Ok(()))
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

/// The same by clients that hold a connection to this member and ask nobody.
fn write_to(trial: &mut Trial, member: usize, count: usize) -> Result<(), Violation> {
    let mut writes = Vec::new();
    for _ in 0..count {
        writes.extend(trial.world.write(member, crate::client::Way::Pinned));
        let next = trial.world.now.after(At::ms(10));
        trial.until(next)?;
    }
    let known = &trial.world.acknowledged;
    let done = known.iter().filter(|known| writes.contains(&known.write)).count();
    let name = trial.world.members[member].name.clone();
    trial.world.say(|_| format!("{done} of {count} writes acknowledged by {name}, asked directly"));
    Ok(())
}

/// Where each member says that readers go, in one line if they agree.
fn reads(world: &mut World) {
    let told = |world: &World, member: usize| {
        let now = world.local(member);
        let status = world.members[member].agent.status.as_ref()?;
        let routes = status.routes(now).ok()?;
        let names: Vec<String> = routes.replicas.iter().map(|to| to.member.to_string()).collect();
        Some(if names.is_empty() { "nobody".to_owned() } else { names.join(" ") })
    };
    let all: std::collections::BTreeSet<String> =
        (0..world.members.len()).filter_map(|member| told(world, member)).collect();
    let all: Vec<String> = all.into_iter().collect();
    world.say(|_| format!("readers go to {}", all.join(", or to ")));
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
            Process::Primary if who.postgres.doomed => "waits for its disk to end".to_owned(),
            Process::Primary => "accepts writes".to_owned(),
        };
        let timeline = who.postgres.wal().map_or(0, |wal| self.wals.branch(wal.branch).timeline.0);
        format!("{} {postgres}, timeline {timeline}{agent}", who.name)
    }
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
