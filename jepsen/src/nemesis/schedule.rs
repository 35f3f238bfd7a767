//! Which fault comes when: drawn from a seed, printed, and read back from its print. Never looks at the cluster.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde::{Deserialize, Serialize};

use super::{
    Fault, Kind, Target, clock, cpu, cut, data, disk, etcd, freeze, fsync, hand, kill, member,
    network, page, power, rewind, settings,
};

/// A fault and its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Milliseconds after the beginning.
    pub at_ms: u64,
    /// For how long; healing comes then.
    pub for_ms: u64,
    /// What.
    pub fault: Fault,
}

/// All faults of a run, in the order in which they strike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule(pub Vec<Entry>);

/// Clients are at work before the first fault.
const LEAD: u64 = 3_000;
/// Between two faults, for a cluster to come together again: sometimes enough, sometimes not.
const REST: std::ops::Range<u64> = 3_000..11_000;

impl Schedule {
    /// Draws one for these kinds.
    #[must_use]
    pub fn draw(kinds: &[Kind], length: Duration, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let end = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        let mut entries = Vec::new();
        let mut at_ms = LEAD + rng.random_range(0..2_000);
        while at_ms + 1_000 < end {
            let Some(kind) = kinds.choose(&mut rng).copied() else { break };
            let (fault, for_ms) = draw(kind, &mut rng);
            let others: Vec<Kind> = kinds.iter().copied().filter(|other| *other != kind).collect();
            entries.push(Entry { at_ms, for_ms, fault });
            if let Some(second) = others.choose(&mut rng).copied()
                && rng.random_bool(0.3)
            {
                let (fault, for_ms) = draw(second, &mut rng);
                let later = at_ms + rng.random_range(0..=for_ms.min(3_000));
                entries.push(Entry { at_ms: later, for_ms, fault });
            }
            at_ms += for_ms + rng.random_range(REST);
        }
        entries.retain(|entry| entry.at_ms < end);
        for entry in &mut entries {
            entry.for_ms = entry.for_ms.min(end - entry.at_ms);
        }
        entries.sort_by_key(|entry| entry.at_ms);
        Self(entries)
    }

    /// Whether a fault of this kind is in it: some need hosts that are made for them.
    #[must_use]
    pub fn needs(&self, kind: Kind) -> bool {
        self.0.iter().any(|entry| entry.fault.kind() == kind)
    }

    /// The kinds that are in it, and those that were asked for: a short one may have none of some.
    #[must_use]
    pub fn kinds(&self, asked: &[Kind]) -> Vec<Kind> {
        let drawn = self.0.iter().map(|entry| entry.fault.kind());
        let all: BTreeSet<Kind> = asked.iter().copied().chain(drawn).collect();
        all.into_iter().collect()
    }

    /// One JSON object a line.
    #[must_use]
    pub fn print(&self) -> String {
        let mut text = String::new();
        for entry in &self.0 {
            let line = serde_json::to_string(entry).unwrap_or_default();
            let _ = writeln!(text, "{line}");
        }
        text
    }

    /// Reads what [`Self::print`] wrote.
    ///
    /// # Errors
    /// Names the line.
    pub fn read(text: &str) -> anyhow::Result<Self> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let entries: anyhow::Result<Vec<Entry>> = lines
            .map(|(number, line)| {
                let tell = || format!("line {} of the schedule does not read", number + 1);
                serde_json::from_str(line).with_context(tell)
            })
            .collect();
        Ok(Self(entries?))
    }
}

fn draw(kind: Kind, rng: &mut StdRng) -> (Fault, u64) {
    let primary = if rng.random_bool(0.7) { Target::Primary } else { Target::Replica };
    match kind {
        Kind::Kill => {
            let part = pick(&kill::Part::ALL, rng);
            // Without both for longer than a voter bears an agent's silence, an old primary answers readers that go
            // to it by a list of hosts. Only a watchdog keeps it from that, and runs have none.
            let most = if part == kill::Part::AgentAndGuard { 3_000 } else { 9_000 };
            (Fault::Kill(part, primary), rng.random_range(500..most))
        }
        Kind::Freeze => frozen(primary, rng),
        Kind::Partition => {
            let shape = pick(&cut::Shape::ALL, rng);
            (Fault::Cut(shape, primary), rng.random_range(2_000..20_000))
        }
        Kind::Network => {
            let quality = pick(&network::QUALITIES, rng);
            let scope = pick(&[network::Scope::Member, network::Scope::Everybody], rng);
            (Fault::Network(quality, scope, primary), rng.random_range(5_000..25_000))
        }
        Kind::Etcd => (Fault::Etcd(pick(&etcd::Harm::ALL, rng)), rng.random_range(2_000..25_000)),
        Kind::Clock => (wrong_clock(primary, rng), rng.random_range(3_000..12_000)),
        Kind::Disk => {
            (Fault::Disk(pick(&disk::Harm::ALL, rng), primary), rng.random_range(3_000..15_000))
        }
        Kind::Fsync => {
            let harm = pick(&fsync::Harm::ALL, rng);
            (Fault::Fsync(harm, primary), rng.random_range(3_000..15_000))
        }
        Kind::Power => {
            let extent = pick(&power::Extent::ALL, rng);
            (Fault::Power(extent, primary), rng.random_range(1_000..12_000))
        }
        Kind::Data => {
            (Fault::Data(pick(&data::Harm::DATA, rng), primary), rng.random_range(2_000..8_000))
        }
        Kind::Wal => (Fault::Data(data::Harm::Wal, primary), rng.random_range(2_000..8_000)),
        Kind::Page => (damaged_page(rng), rng.random_range(4_000..15_000)),
        Kind::Rewind => (Fault::Rewind(pick(&rewind::Part::ALL, rng)), 2_000),
        Kind::AcceptLoss => {
            (Fault::AcceptLoss(pick(&OTHERS[..2], rng)), rng.random_range(30_000..45_000))
        }
        Kind::Settings => {
            let change = pick(&settings::Change::SETTINGS, rng);
            (Fault::Settings(change), rng.random_range(3_000..15_000))
        }
        Kind::Pause => (Fault::Settings(settings::Change::Pause), rng.random_range(5_000..20_000)),
        Kind::Restart => (Fault::Restart(primary), 2_000),
        Kind::Switchover => (Fault::Switchover, 2_000),
        // A primary is refused: draw replicas more often.
        Kind::Reinit => (Fault::Reinit(pick(&OTHERS, rng)), 2_000),
        Kind::Drain => (Fault::Drain(primary), rng.random_range(3_000..15_000)),
        Kind::Flap => (Fault::Flap(pick(&cut::Shape::ALL, rng), rng.random(), primary), 500),
        Kind::Reset => (Fault::Reset(rng.random(), primary), 500),
        Kind::Cpu => {
            (Fault::Cpu(pick(&cpu::SHARES, rng), primary), rng.random_range(5_000..20_000))
        }
        Kind::Upgrade => (Fault::Upgrade(pick(&OTHERS, rng)), 2_000),
        Kind::ByHand => {
            (Fault::ByHand(pick(&hand::Slip::ALL, rng)), rng.random_range(3_000..12_000))
        }
        Kind::Member => {
            let find = pick(&member::Find::ALL, rng);
            (Fault::Member(find, pick(&OTHERS[..2], rng)), rng.random_range(1_000..8_000))
        }
    }
}

fn frozen(primary: Target, rng: &mut StdRng) -> (Fault, u64) {
    let part = pick(&freeze::Part::ALL, rng);
    let target = part.only_of().unwrap_or(primary);
    // Less than the lease, about it, well over it, and over three of it.
    let span = pick(&[300..3_000, 6_000..12_000, 15_000..25_000, 31_000..36_000], rng);
    (Fault::Freeze(part, target), rng.random_range(span))
}

fn wrong_clock(primary: Target, rng: &mut StdRng) -> Fault {
    let jumps = [-3_600, -30, 30, 3_600].map(|seconds| Fault::Clock(seconds, primary));
    let paces = clock::PACES.map(|percent| Fault::Pace(percent, primary));
    pick(&[&jumps[..], &paces].concat(), rng)
}

fn damaged_page(rng: &mut StdRng) -> Fault {
    let harm = pick(&page::Harm::ALL, rng);
    let target = match harm {
        page::Harm::Stopped => pick(&OTHERS, rng),
        page::Harm::Running => pick(&OTHERS[..2], rng),
    };
    Fault::Page(harm, target)
}

const OTHERS: [Target; 3] = [Target::Replica, Target::OtherReplica, Target::Primary];

fn pick<T: Clone>(all: &[T], rng: &mut StdRng) -> T {
    all[rng.random_range(0..all.len())].clone()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(120);

    #[test]
    fn a_seed_gives_one_schedule_and_its_print_gives_it_back() {
        let kinds = [Kind::Kill, Kind::Partition, Kind::Etcd];
        let one = Schedule::draw(&kinds, MINUTE, 7);
        assert_eq!(one, Schedule::draw(&kinds, MINUTE, 7));
        assert_ne!(one, Schedule::draw(&kinds, MINUTE, 8));
        assert!(one.0.len() > 4 && one.0.iter().all(|entry| entry.at_ms + entry.for_ms <= 120_000));
        assert_eq!(Schedule::read(&one.print()).unwrap(), one);
    }

    #[test]
    fn every_kind_draws_its_own_faults_and_they_are_printed_and_read() {
        for kind in Kind::value_variants() {
            let drawn = Schedule::draw(&[*kind], Duration::from_secs(600), 11);
            assert!(drawn.0.len() > 3, "{kind:?}");
            assert_eq!(drawn.kinds(&[]), [*kind]);
            assert_eq!(Schedule::read(&drawn.print()).unwrap(), drawn);
        }
    }

    /// What the gate runs with, and calls unknown if a kind is missing.
    #[test]
    fn the_gates_schedule_has_every_kind_that_it_asks_for() {
        let kinds = [Kind::Kill, Kind::Freeze, Kind::Partition, Kind::Etcd];
        let drawn = Schedule::draw(&kinds, Duration::from_secs(90), 8);
        assert_eq!(drawn.kinds(&[]), kinds);
        assert_eq!(Schedule::default().kinds(&kinds), kinds);
    }

    #[test]
    fn without_kinds_nothing_is_broken_and_a_bad_line_is_named() {
        assert_eq!(Schedule::draw(&[], MINUTE, 7), Schedule::default());
        let error = Schedule::read("\n{}").unwrap_err();
        assert!(error.to_string().contains("line 2"));
    }
}
