//! A primary, a replica that lags, and failovers, from a seed: what Postgres really does must be valid in every
//! judge's eyes, and what a broken failover does must be found by each that can see it.

use super::world::{Copy, Dice, Open, read_all};
use super::*;

/// What goes wrong in the second failover.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Nothing,
    /// The new primary lacks what the old one acknowledged last.
    Behind,
    /// The old one goes on for its clients.
    Zombie,
    /// A commit that was retried takes place twice.
    Twice,
}

const OPERATIONS: u64 = 1500;

struct Cluster {
    dice: Dice,
    script: Script,
    primary: Copy,
    /// Every change, in the order of commits, and how many the replica has replayed.
    log: Vec<Op>,
    replica: Copy,
    replayed: usize,
    timeline: u32,
    clients: Vec<(u32, Open)>,
    ends: Vec<TimelineEnd>,
    led: Vec<Leadership>,
}

fn member(timeline: u32) -> String {
    format!("n{}", timeline % 2 + 1)
}

impl Cluster {
    fn new(seed: u64) -> Self {
        let copy = Copy::new(OPERATIONS);
        let mut cluster = Self {
            dice: Dice::new(seed),
            script: Script::default(),
            primary: copy.clone(),
            log: Vec::new(),
            replica: copy,
            replayed: 0,
            timeline: 0,
            clients: (0..20).map(|process| (process, None)).collect(),
            ends: Vec::new(),
            led: Vec::new(),
        };
        cluster.promote();
        cluster
    }

    fn now(&self) -> u64 {
        self.script.events.len() as u64 * 1_000_000_000
    }

    fn place(&self) -> String {
        format!("{}/{}/{}", member(self.timeline), self.timeline, self.log.len())
    }

    fn promote(&mut self) {
        let now = self.now();
        if let (Some(end), Some(led)) = (self.ends.last_mut(), self.led.last_mut()) {
            end.end = Some(self.log.len() as u64);
            led.to = Some(now);
        }
        self.timeline += 1;
        let timeline = self.timeline;
        self.ends.push(TimelineEnd { timeline, end: None });
        let (term, leader, timeline) = (timeline.into(), member(timeline), Some(timeline));
        self.led.push(Leadership { term, leader, timeline, from: now, to: None });
    }

    /// One client asks, or is answered.
    fn step(&mut self) {
        let at = self.dice.below(20) as usize;
        let (process, open) = self.clients[at].clone();
        let Some((asked, _)) = open else {
            let asked = self.dice.question();
            self.script.invoke(process, asked.clone());
            self.clients[at].1 = Some((asked, None));
            return;
        };
        self.clients[at].1 = None;
        let place = self.place();
        match self.primary.perform(&asked) {
            None => self.script.fail(process, asked),
            Some(answer) => {
                self.log.push(asked);
                self.script.ok(process, answer, &place)
            }
        };
    }

    /// A client reads a list and a register where the past is.
    fn read_replica(&mut self) {
        let more = self.log.len() - self.replayed;
        self.replay(more as u64);
        let key = self.dice.next / 500 * 8 + self.dice.below(8);
        let txn =
            Op::Txn(vec![Step::Read { key, list: None }, Step::Read { key: key ^ 1, list: None }]);
        let op = if self.dice.below(2) == 0 { txn } else { Op::Get { key: key % 10, value: None } };
        let answer = self.replica.perform(&op).unwrap();
        let place = format!("~n3/{}/{}", self.timeline, self.replayed);
        let process = 500 + self.dice.below(5) as u32;
        self.script.invoke(process, op).ok(process, answer, &place);
    }

    fn replay(&mut self, most: u64) {
        for _ in 0..self.dice.below(most + 1) {
            self.replica.perform(&self.log[self.replayed]);
            self.replayed += 1;
        }
    }

    /// Whoever waits for an answer gets none; what they asked took place or did not.
    fn fail_over(&mut self, wrong: Wrong) {
        for at in 0..self.clients.len() {
            let (process, open) = self.clients[at].clone();
            let Some((asked, _)) = open else { continue };
            if self.dice.below(2) == 0 && self.primary.perform(&asked).is_some() {
                self.log.push(asked.clone());
            }
            self.script.unknown(process, asked);
            self.clients[at] = (process + 20, None);
        }
        if wrong == Wrong::Behind {
            // No more than twenty of these were not acknowledged.
            self.log.truncate(self.log.len() - 40);
            self.primary = Copy::new(OPERATIONS);
            self.log.iter().for_each(|op| drop(self.primary.perform(op)));
            (self.replica, self.replayed) = (self.primary.clone(), self.log.len());
        }
        let old = self.place();
        self.promote();
        for (element, place) in [(1 << 50, self.place()), ((1 << 50) + 1, old)] {
            if wrong == Wrong::Zombie {
                self.script.done(900, Op::Add(element), &place);
            }
        }
        if wrong == Wrong::Twice {
            let adds = |op: &&Op| matches!(op, Op::Add(_) | Op::Txn(_));
            let again = self.log.iter().rev().find(adds).cloned().unwrap();
            self.primary.perform(&again);
            self.log.push(again);
        }
    }

    fn judged(mut self) -> Report {
        for at in 0..self.clients.len() {
            let (process, open) = self.clients[at].clone();
            if let Some((asked, _)) = open {
                self.script.unknown(process, asked);
            }
        }
        let final_reads_from = Some(self.now());
        let place = self.place();
        read_all(&mut self.script, &self.primary, &place);
        let place = format!("~n3/{}/{}", self.timeline, self.log.len());
        read_all(&mut self.script, &self.primary, &place);
        let options = Options {
            final_reads_from,
            final_timeline: self.ends,
            leaderships: self.led,
            bank_total: Some(500),
            demanded: Checker::ALL.to_vec(),
            ..Options::default()
        };
        judge(&self.script.events, &options)
    }
}

fn run(seed: u64, wrong: Wrong) -> Report {
    let mut cluster = Cluster::new(seed);
    for step in 1..3000 {
        cluster.step();
        if step % 10 == 0 {
            cluster.read_replica();
        }
        if step % 700 == 0 {
            cluster.fail_over(if step == 1400 { wrong } else { Wrong::Nothing });
        }
    }
    cluster.judged()
}

#[test]
fn failovers_as_they_should_be_are_valid() {
    for seed in 0..20 {
        let report = run(seed, Wrong::Nothing);
        assert_eq!(report.verdict, Verdict::Valid, "seed {seed}: {report}");
        assert_eq!(report.checks.len(), Checker::ALL.len());
        assert!(report.checks.iter().all(|check| check.apart.is_empty()), "seed {seed}: {report}");
    }
}

fn found(report: &Report, checker: Checker) -> bool {
    let check = report.checks.iter().find(|check| check.checker == checker);
    check.is_some_and(|check| matches!(check.verdict, Verdict::Invalid { .. }))
}

#[test]
fn a_new_primary_that_lacks_acknowledged_commits_is_found_by_several_judges() {
    for seed in 0..10 {
        let report = run(seed, Wrong::Behind);
        assert!(found(&report, Checker::Ancestry), "seed {seed}: {report}");
        assert!(found(&report, Checker::Lists) || found(&report, Checker::Set), "{seed}: {report}");
    }
}

#[test]
fn a_primary_that_goes_on_is_found_by_acknowledgements_ancestry_and_the_record() {
    for seed in 0..10 {
        let report = run(seed, Wrong::Zombie);
        for checker in [Checker::OneWriter, Checker::Ancestry, Checker::Record, Checker::Set] {
            assert!(found(&report, checker), "seed {seed}, {checker:?}: {report}");
        }
    }
}

#[test]
fn a_commit_that_takes_place_twice_is_found() {
    for seed in 0..10 {
        let report = run(seed, Wrong::Twice);
        assert!(found(&report, Checker::Lists) || found(&report, Checker::Set), "{seed}: {report}");
    }
}
