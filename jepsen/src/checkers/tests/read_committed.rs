//! Transactions as READ COMMITTED makes them, from a seed: each statement sees what is committed when it begins, an
//! append locks its list until the end. What it allows must be valid under it, and is not serializable.

use super::world::Dice;
use super::*;

const LISTS: u64 = 6;

#[derive(Default)]
struct Database {
    lists: Vec<Vec<u64>>,
    /// Which client holds the lock of each list.
    locks: Vec<Option<usize>>,
}

/// A transaction on its way: what it asks, and what it has done of that.
#[derive(Clone)]
struct Txn {
    asked: Vec<Step>,
    done: Vec<Step>,
}

impl Database {
    /// The next statement, unless it has to wait.
    fn step(&mut self, client: usize, txn: &mut Txn) {
        let mut step = txn.asked[txn.done.len()].clone();
        match &mut step {
            Step::Append { key, .. } => {
                let lock = &mut self.locks[*key as usize];
                if lock.is_some_and(|holder| holder != client) {
                    return;
                }
                *lock = Some(client);
            }
            Step::Read { key, list } => {
                let mut seen = self.lists[*key as usize].clone();
                seen.extend(own(&txn.done, *key));
                *list = Some(seen);
            }
        }
        txn.done.push(step);
    }

    fn end(&mut self, client: usize, committed: &[Step]) {
        for step in committed {
            if let Step::Append { key, value } = step {
                self.lists[*key as usize].push(*value);
            }
        }
        for lock in self.locks.iter_mut().filter(|lock| **lock == Some(client)) {
            *lock = None;
        }
    }
}

fn own(done: &[Step], of: u64) -> impl Iterator<Item = u64> {
    done.iter().filter_map(move |step| match step {
        Step::Append { key, value } => (*key == of).then_some(*value),
        Step::Read { .. } => None,
    })
}

fn asked(dice: &mut Dice) -> Vec<Step> {
    let step = |dice: &mut Dice| {
        let key = dice.below(LISTS);
        dice.next += 1;
        match dice.below(2) {
            0 => Step::Append { key, value: dice.next },
            _ => Step::Read { key, list: None },
        }
    };
    (0..dice.below(4) + 1).map(|_| step(dice)).collect()
}

fn run(seed: u64) -> Script {
    let mut dice = Dice::new(seed);
    let mut script = Script::default();
    let empty = vec![Vec::new(); LISTS as usize];
    let mut database = Database { lists: empty, locks: vec![None; LISTS as usize] };
    let mut clients: Vec<Option<Txn>> = vec![None; 10];
    for _ in 0..4_000 {
        let at = dice.below(10) as usize;
        let process = at as u32;
        let Some(mut txn) = clients[at].take() else {
            let asked = asked(&mut dice);
            script.invoke(process, Op::Txn(asked.clone()));
            clients[at] = Some(Txn { asked, done: Vec::new() });
            continue;
        };
        if txn.done.len() == txn.asked.len() {
            database.end(at, &txn.done);
            script.ok(process, Op::Txn(txn.done), "n1");
        } else if dice.below(12) == 0 {
            // Also the way out of a deadlock.
            database.end(at, &[]);
            script.fail(process, Op::Txn(txn.asked));
        } else {
            database.step(at, &mut txn);
            clients[at] = Some(txn);
        }
    }
    for (at, txn) in clients.into_iter().enumerate() {
        if let Some(txn) = txn {
            database.end(at, &[]);
            script.fail(at as u32, Op::Txn(txn.asked));
        }
    }
    for (key, list) in (0..).zip(database.lists) {
        script.done(99, Op::Txn(vec![Step::Read { key, list: Some(list) }]), "n1");
    }
    script
}

#[test]
fn what_read_committed_allows_is_valid_under_it_alone() {
    for seed in 0..10 {
        let script = run(seed);
        let options = Options { isolation: Isolation::ReadCommitted, ..Options::default() };
        let report = judge(&script.events, &options);
        assert_eq!(report.verdict, Verdict::Valid, "seed {seed}: {report}");
        let report = judge(&script.events, &Options::default());
        assert!(matches!(report.verdict, Verdict::Invalid { .. }), "seed {seed}: {report}");
    }
}

#[test]
fn a_dirty_read_is_found_under_read_committed() {
    for seed in 0..10 {
        let mut script = run(seed);
        let fails = |event: &&Event| event.phase == Phase::Fail;
        let failed = script.events.iter().filter(fails).find_map(|event| match &event.op {
            Op::Txn(steps) => steps.iter().find_map(|step| match step {
                Step::Append { key, value } => Some((event.index, *key, *value)),
                Step::Read { .. } => None,
            }),
            _ => None,
        });
        let (before, of, value) = failed.unwrap();
        let read = script
            .events
            .iter_mut()
            .filter(|event| event.phase == Phase::Ok && event.index > before);
        let planted = read.flat_map(|event| match &mut event.op {
            Op::Txn(steps) => steps.iter_mut(),
            _ => [].iter_mut(),
        });
        let mut lists = planted.filter_map(|step| match step {
            Step::Read { key, list: Some(list) } if *key == of => Some(list),
            Step::Read { .. } | Step::Append { .. } => None,
        });
        lists.next().unwrap().push(value);
        let options = Options { isolation: Isolation::ReadCommitted, ..Options::default() };
        let report = judge(&script.events, &options);
        let found = |anomaly| report.verdict.findings().iter().any(|told| told.anomaly == anomaly);
        assert!(found(Anomaly::G1a) && found(Anomaly::Phantom), "seed {seed}: {report}");
    }
}
