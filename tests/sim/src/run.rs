//! One seed from beginning to end: a safety phase with faults, then everything heals, then a liveness phase.

use std::collections::BTreeMap;

use haa_core::node::Pools;
use haa_core::records::Tags;
use haa_core::settings::{Durability, Settings, Timing};
use haa_core::units::Millis;

use crate::client::Way;
use crate::dice::Dice;
use crate::invariants::{Demand, Ledger, Violation, check, demand};
use crate::mutation::Broken;
use crate::sometimes::Sometimes;
use crate::time::At;
use crate::world::nemesis::{Kind, Mix};
use crate::world::{EtcdRelease, Event, Guard, Plan, World};

/// What to run beside the seed.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The guard.
    pub guard: Guard,
    /// What is broken on purpose.
    pub broken: Option<Broken>,
    /// With this durability only; else the seed draws it.
    pub only: Option<Durability>,
    /// Whether to write the story down.
    pub told: Told,
    /// Whether there are PgBouncers that agents hold.
    pub pools: Pools,
}

/// Whether to write the story down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Line by line.
    Yes,
    /// Not at all, which is faster.
    No,
}

/// What came of a seed.
#[derive(Debug)]
pub struct Report {
    /// How long it was in virtual time.
    pub simulated: At,
    /// How many events that took.
    pub events: u64,
    /// What happened.
    pub sometimes: Sometimes,
    /// What did not hold.
    pub violation: Option<Violation>,
    /// The story, if it was to be told.
    pub story: Vec<String>,
}

/// After everything healed a client can write by then: a lease runs out, a clone or a rewind ends, an election.
const WRITE_BOUND: At = At::secs(60);
/// After a client could write everybody streams by then: some attempts at a rewind and a clone.
const STREAM_BOUND: At = At::secs(120);
const TURN: At = At::ms(250);
/// In a million.
const HOLD_FAILS: u32 = 200_000;

/// A world and its judges.
#[derive(Debug)]
pub struct Trial {
    /// The world.
    pub world: World,
    ledger: Ledger,
}

impl Trial {
    /// A world that is judged from its first instant.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        Self { world: World::new(plan), ledger: Ledger::default() }
    }

    /// Lets the world go on until `limit`, and judges after every event.
    ///
    /// # Errors
    /// The first violation.
    pub fn until(&mut self, limit: At) -> Result<(), Violation> {
        loop {
            let more = self.world.step(limit);
            self.judge()?;
            if !more {
                return Ok(());
            }
        }
    }

    fn judge(&mut self) -> Result<(), Violation> {
        if self.world.deeds.is_empty() {
            return Ok(());
        }
        let deeds = std::mem::take(&mut self.world.deeds);
        for deed in &deeds {
            check(&self.world, &mut self.ledger, *deed)?;
        }
        self.world.deeds = deeds;
        self.world.deeds.clear();
        Ok(())
    }

    /// Waits until a demand is met.
    ///
    /// # Errors
    /// It is not met within `bound`, or something else does not hold.
    pub fn expect(&mut self, what: Demand, bound: At) -> Result<(), Violation> {
        let by = self.world.now.after(bound);
        while !demand(&mut self.world, what, by)? {
            let next = self.world.now.after(TURN);
            self.until(next)?;
        }
        Ok(())
    }
}

/// Runs one seed.
#[must_use]
pub fn run(seed: u64, options: Options) -> Report {
    let mut dice = Dice::new(seed ^ 0x5eed);
    let members = [1, 2, 3, 3, 3, 3, 4, 5][dice.below(8)];
    let settings = settings(&mut dice, seed, options.only);
    // Haad's own value, and one that an operator might prefer.
    let quick = settings.durability != Some(Durability::Async) && seed.is_multiple_of(2);
    let haads = At::ms(settings.timing.receiver_timeout().0);
    let receiver_timeout = if quick { haads } else { At::secs(5) };
    let plan = Plan {
        other_site: None,
        follows: false,
        seed,
        members,
        settings,
        guard: options.guard,
        tags: tags(seed, members),
        namesakes: BTreeMap::new(),
        apart: dice.ms(0, 300),
        etcd: if dice.percent(15) { EtcdRelease::Old } else { EtcdRelease::New },
        broken: options.broken,
        receiver_timeout,
        drift_ppm: [0, 200, 20_000][dice.below(3)],
        pools: options.pools,
    };
    let mut trial = Trial::new(plan);
    if options.told == Told::Yes {
        trial.world.story = Some(vec![]);
    }
    let violation = phases(&mut trial, &mut dice).err();
    let mut world = trial.world;
    let standing = world.standing();
    if let Some(story) = &mut world.story {
        story.extend(standing);
    }
    let mut sometimes = world.sometimes;
    if violation.is_none() {
        sometimes.count("run without a violation");
    }
    let story = world.story.unwrap_or_default();
    Report { simulated: world.now, events: world.events, sometimes, violation, story }
}

fn settings(dice: &mut Dice, seed: u64, only: Option<Durability>) -> Settings {
    let usual = Timing::default();
    let timing = match dice.below(4) {
        0 => Timing { ttl: Millis(5_000), round: Millis(1_000), margin: Millis(1_000), ..usual },
        1 => Timing { ttl: Millis(30_000), round: Millis(10_000), margin: Millis(4_000), ..usual },
        2 => Timing { margin: Millis(500), ..usual },
        _ => usual,
    };
    // Of its own, so that a seed brings the same faults in both.
    let mut dice = Dice::new(seed ^ 0xacc0);
    let any = [Some(Durability::Async), Some(Durability::Quorum), None, None];
    let durability = match only {
        None => any[dice.below(4)],
        Some(only) => Some(only),
    };
    let k = [None, None, None, Some(2)][dice.below(4)];
    let fast = durability != Some(Durability::Async) && seed % 6 == 4;
    let timing = if fast { Timing::fast() } else { timing };
    let strict = dice.percent(20);
    Settings { durability, k, strict, timing, ..Settings::default() }
}

/// In some seeds one of several members may not lead, in some others are cloned from some, in some one may not vote, or
/// streams from another than the leader. Each drawn apart, as below.
fn tags(seed: u64, members: usize) -> BTreeMap<usize, Tags> {
    let mut tags: BTreeMap<usize, Tags> = BTreeMap::new();
    let mut dice = Dice::new(seed ^ 0x7a65);
    if members >= 2 && dice.percent(12) {
        tags.entry(dice.below(members)).or_default().nofailover = true;
    }
    let mut dice = Dice::new(seed ^ 0xc10e);
    if dice.percent(30) {
        for _ in 0..=dice.below(2) {
            tags.entry(dice.below(members)).or_default().clonefrom = true;
        }
    }
    let mut dice = Dice::new(seed ^ 0x5afe);
    // A primary that nobody can stand in for may wait for good.
    let spared = members < 3 || tags.values().any(|tags| tags.nofailover);
    if !spared && dice.percent(8) {
        let whose = dice.below(members);
        let from = (whose + 1 + dice.below(members - 1)) % members;
        let tags = tags.entry(whose).or_default();
        match dice.below(2) {
            0 => tags.nosync = true,
            _ => tags.replicatefrom = format!("n{}", from + 1).parse().ok(),
        }
    }
    tags
}

/// Some seeds bring long outages of etcd, alone or beside the rest. Drawn apart, so that the others stay as they are.
fn outages(seed: u64) -> Vec<Kind> {
    let mut dice = Dice::new(seed ^ 0xfa11);
    let dark = [Kind::LongEtcd, Kind::Dark];
    if dice.percent(30) { dark[dice.below(2)..].to_vec() } else { vec![] }
}

/// Some seeds have an operator at work on members. Drawn apart, as outages are.
fn upkeep(seed: u64) -> Vec<Kind> {
    let mut dice = Dice::new(seed ^ 0x0b5e);
    let upkeep = [Kind::Drain, Kind::Restart];
    let mut kinds = if dice.percent(30) { upkeep[dice.below(2)..].to_vec() } else { Vec::new() };
    kinds.extend(dice.percent(20).then_some(Kind::Reinit));
    kinds.extend(dice.percent(20).then_some(Kind::Remove));
    kinds
}

fn phases(trial: &mut Trial, dice: &mut Dice) -> Result<(), Violation> {
    // Drawn apart, as tags are.
    trial.world.conduct.one_backup = Dice::new(trial.world.plan.seed ^ 0xbac).percent(20).into();
    trial.world.conduct.write_every = At::ms([0, 40, 300, 1_500][dice.below(4)]);
    if trial.world.plan.pools == Pools::Known {
        trial.world.conduct.hold_fails = HOLD_FAILS;
    }
    trial.world.later(At::ms(10), Event::Client(Way::Routed));
    trial.world.later(At::ms(11), Event::Client(Way::Pinned));
    // Some seeds break things while the cluster is being made.
    if dice.percent(75) {
        trial.expect(Demand::Stream, STREAM_BOUND)?;
    }
    let until = trial.world.now.after(dice.span(At::secs(20), At::secs(150)));
    let mut mix = Mix::draw(dice, until);
    if trial.world.plan.settings.durability != Some(Durability::Async) {
        mix = mix.with_quorum(&mut Dice::new(trial.world.plan.seed ^ 0xf0e5));
    }
    if trial.world.plan.etcd == EtcdRelease::Old && dice.percent(50) {
        mix.kinds.push(Kind::Early);
    }
    mix.kinds.extend(outages(trial.world.plan.seed));
    mix.kinds.extend(upkeep(trial.world.plan.seed));
    trial.world.unleash(mix);
    trial.until(until)?;
    trial.world.heal();
    let ttl = At::ms(trial.world.plan.settings.timing.ttl.0);
    // A strict primary that lost every other copy waits until one is made anew.
    let copy = if trial.world.plan.settings.strict { STREAM_BOUND } else { At(0) };
    trial.expect(Demand::Write, WRITE_BOUND.after(ttl).after(copy))?;
    trial.expect(Demand::Stream, STREAM_BOUND)
}
