//! A database of one copy and its clients, from a seed. Judges nothing.

use super::super::calls::tests::Script;
use crate::history::{Op, Step};

/// What a client has asked, and what it will be told.
pub(super) type Open = Option<(Op, Option<Op>)>;

/// Numbers without order, and the questions that they make.
pub(super) struct Dice {
    seed: u64,
    pub(super) next: u64,
}

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, next: 0 }
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
        (self.seed >> 33) % limit
    }

    pub(super) fn question(&mut self) -> Op {
        self.next += 1;
        let new = self.next;
        let key = new / 500 * 8 + self.below(8);
        let (from, to) = (self.below(5) as u32, self.below(5) as u32);
        match self.below(20) {
            0..9 => {
                let list = None;
                let other = new / 500 * 8 + self.below(8);
                Op::Txn(vec![Step::Read { key, list }, Step::Append { key: other, value: new }])
            }
            9..12 => Op::Get { key: key % 10, value: None },
            12..14 => Op::Put { key: key % 10, value: new as i64 },
            14 => Op::Cas { key: key % 10, from: new as i64 - 9, to: new as i64 },
            15 => Op::Transfer { from, to, amount: 1 },
            16 => Op::Balances(None),
            _ if new.is_multiple_of(400) => Op::All(None),
            _ => Op::Add(new),
        }
    }
}

/// A copy of everything.
#[derive(Clone)]
pub(super) struct Copy {
    pub(super) lists: Vec<Vec<u64>>,
    pub(super) set: Vec<u64>,
    registers: Vec<i64>,
    balances: Vec<i64>,
}

impl Copy {
    /// With room for the lists of so many operations.
    pub(super) fn new(operations: u64) -> Self {
        let lists = vec![Vec::new(); (operations as usize / 500 + 1) * 8];
        Self { lists, set: Vec::new(), registers: vec![0; 10], balances: vec![100; 5] }
    }

    /// Does it, at this instant; `None` if it cannot be.
    pub(super) fn perform(&mut self, op: &Op) -> Option<Op> {
        let mut op = op.clone();
        match &mut op {
            Op::Txn(steps) => steps.iter_mut().for_each(|step| self.step(step)),
            Op::Get { key, value } => *value = Some(self.registers[*key as usize]),
            Op::Put { key, value } => self.registers[*key as usize] = *value,
            Op::Cas { key, from, to } => {
                let register = &mut self.registers[*key as usize];
                if register != from {
                    return None;
                }
                *register = *to;
            }
            Op::Transfer { from, to, amount } => {
                self.balances[*from as usize] -= *amount;
                self.balances[*to as usize] += *amount;
            }
            Op::Balances(balances) => *balances = Some(self.balances.clone()),
            Op::Add(element) => self.set.push(*element),
            Op::All(all) => *all = Some(self.set.clone()),
        }
        Some(op)
    }

    fn step(&mut self, step: &mut Step) {
        match step {
            Step::Append { key, value } => self.lists[*key as usize].push(*value),
            Step::Read { key, list } => *list = Some(self.lists[*key as usize].clone()),
        }
    }
}

/// A database of one copy, and forty clients at once of which one in two hundred never learns what became of
/// its question.
pub(super) fn world(operations: u64, seed: u64) -> Script {
    world_of(operations, seed, 200)
}

/// The same with one unknown answer in so many.
pub(super) fn world_of(operations: u64, seed: u64, one_in: u64) -> Script {
    let (mut dice, mut copy) = (Dice::new(seed), Copy::new(operations));
    let mut script = Script::default();
    let mut clients: Vec<(u32, Open)> = (0..40).map(|process| (process, None)).collect();
    while dice.next < operations {
        let at = dice.below(40) as usize;
        let (process, open) = clients[at].clone();
        let Some((asked, answer)) = open else {
            let asked = dice.question();
            let answer = copy.perform(&asked);
            script.invoke(process, asked.clone());
            clients[at].1 = Some((asked, answer));
            continue;
        };
        clients[at].1 = None;
        match answer {
            None => script.fail(process, asked),
            Some(_) if dice.below(one_in) == 0 => {
                clients[at].0 += 40;
                script.unknown(process, asked)
            }
            Some(answer) => script.ok(process, answer, "n1"),
        };
    }
    for (process, open) in clients {
        if let Some((asked, _)) = open {
            script.unknown(process, asked);
        }
    }
    read_all(&mut script, &copy, "n1");
    script
}

/// The final reads, at one member.
pub(super) fn read_all(script: &mut Script, copy: &Copy, place: &str) {
    for (key, list) in (0..).zip(&copy.lists) {
        let step = Step::Read { key, list: Some(list.clone()) };
        script.done(1_000_000, Op::Txn(vec![step]), place);
    }
    script.done(1_000_000, Op::All(Some(copy.set.clone())), place);
}
