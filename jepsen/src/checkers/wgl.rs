//! The search for an order of one register's operations, by Wing, Gong and Lowe, with a budget. Never gives
//! up silently, and never looks at a clock.
//!
//! Operations are done one after the other, each no earlier than it began; when one that has been acknowledged
//! would have to wait beyond its end, the search goes back. A place in the search is what was done and what the
//! register holds then; none is looked at twice. What is unknown may be done at any time, or never.

use std::collections::HashSet;

use super::calls::Call;

/// What an operation does to a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Read(i64),
    Write(i64),
    Swap(i64, i64),
}

impl Act {
    /// What the register holds afterwards; `None` if this cannot be done now.
    fn on(self, held: i64) -> Option<i64> {
        match self {
            Self::Read(value) => (value == held).then_some(held),
            Self::Write(value) => Some(value),
            Self::Swap(from, to) => (from == held).then_some(to),
        }
    }
}

/// An operation that has to be done, or may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task<'c, 'h> {
    pub(crate) call: &'c Call<'h>,
    pub(crate) act: Act,
}

/// What came of the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// There is an order.
    Ordered,
    /// There is none. The furthest place: which could not be done, what the register held, and who wrote that.
    Stuck { at: usize, state: i64, before: Option<usize> },
    /// The budget is used up.
    TooLong,
}

/// `tasks` in the order in which they began; `budget` is how many may be tried. Of one that is stuck the
/// places are those in `tasks`.
pub(crate) fn search(tasks: &[Task<'_, '_>], budget: u64) -> Outcome {
    // Acknowledged ones first: what is unknown has no end, and would stand in the way of every window.
    let mut order: Vec<usize> = (0..tasks.len()).collect();
    order.sort_by_key(|task| !tasks[*task].call.ok());
    let sorted: Vec<Task<'_, '_>> = order.iter().map(|task| tasks[*task]).collect();
    match Search::new(&sorted).run(budget) {
        Outcome::Stuck { at, state, before } => {
            Outcome::Stuck { at: order[at], state, before: before.map(|task| order[task]) }
        }
        outcome @ (Outcome::Ordered | Outcome::TooLong) => outcome,
    }
}

/// One that was done: which, what was held before, and who had written that.
#[derive(Clone, Copy)]
struct Done {
    task: usize,
    held: i64,
    writer: Option<usize>,
}

struct Search<'t, 'c, 'h> {
    /// The acknowledged ones, then the unknown ones, each in the order in which they began.
    tasks: &'t [Task<'c, 'h>],
    acked: usize,
    done: Vec<bool>,
    path: Vec<Done>,
    held: i64,
    writer: Option<usize>,
    /// The first acknowledged one that is not done.
    low: usize,
    seen: HashSet<Box<[u32]>>,
    furthest: (usize, Outcome),
}

impl<'t, 'c, 'h> Search<'t, 'c, 'h> {
    fn new(tasks: &'t [Task<'c, 'h>]) -> Self {
        Self {
            tasks,
            acked: tasks.iter().filter(|task| task.call.ok()).count(),
            done: vec![false; tasks.len()],
            path: Vec::new(),
            held: 0,
            writer: None,
            low: 0,
            seen: HashSet::new(),
            furthest: (0, Outcome::Stuck { at: 0, state: 0, before: None }),
        }
    }

    fn run(mut self, budget: u64) -> Outcome {
        let mut tried = 0;
        let mut from = 0;
        while self.low < self.acked {
            if tried > budget {
                return Outcome::TooLong;
            }
            if let Some(task) = self.next(from, &mut tried) {
                self.perform(task);
                from = 0;
                if self.seen.insert(self.place()) {
                    continue;
                }
            } else {
                self.note();
            }
            let Some(undone) = self.undo() else { return self.furthest.1 };
            // A read that fits may as well come at once: if that leads nowhere, nothing else does.
            let read = matches!(self.tasks[undone].act, Act::Read(_));
            from = if read { self.tasks.len() } else { undone + 1 };
        }
        Outcome::Ordered
    }

    /// The next that can be done here, not before `from`; a read if there is one.
    fn next(&self, from: usize, tried: &mut u64) -> Option<usize> {
        let deadline = self.deadline();
        let begun = |task: &usize| self.tasks[*task].call.began < deadline;
        let window = || (from.max(self.low)..self.acked).take_while(begun);
        if from == 0 {
            let read = |task: &usize| matches!(self.tasks[*task].act, Act::Read(_));
            if let Some(task) = window().filter(read).find(|task| self.fits(*task, tried)) {
                return Some(task);
            }
        }
        let unknown = (from.max(self.acked)..self.tasks.len()).take_while(begun);
        window().chain(unknown).find(|task| self.fits(*task, tried))
    }

    fn fits(&self, task: usize, tried: &mut u64) -> bool {
        if self.done[task] {
            return false;
        }
        *tried += 1;
        let held = self.tasks[task].act.on(self.held);
        held.is_some_and(|held| task < self.acked || held != self.held && self.awaited(held))
    }

    /// Whether something that may be next needs this value. An unknown write that is not met at once may as well
    /// not have taken place: the write after it hides it.
    fn awaited(&self, value: i64) -> bool {
        let deadline = self.deadline();
        let begun = |task: &usize| self.tasks[*task].call.began < deadline;
        let window = (self.low..self.acked).take_while(begun);
        let unknown = (self.acked..self.tasks.len()).take_while(begun);
        window.chain(unknown).any(|task| {
            let (Act::Read(from) | Act::Swap(from, _)) = self.tasks[task].act else { return false };
            from == value && !self.done[task]
        })
    }

    /// The first end among the acknowledged ones that are not done: nothing that began later comes next.
    fn deadline(&self) -> usize {
        let mut deadline = usize::MAX;
        for task in self.low..self.acked {
            let call = self.tasks[task].call;
            if call.began > deadline {
                break;
            }
            if !self.done[task] {
                deadline = deadline.min(call.ended);
            }
        }
        deadline
    }

    /// What is held, what is done from `low` on (it began before `low` ended), and which unknown ones are.
    fn place(&self) -> Box<[u32]> {
        let number = |task: usize| u32::try_from(task).unwrap_or(u32::MAX);
        let held = self.held.to_be_bytes();
        let half =
            |at: usize| u32::from_be_bytes([held[at], held[at + 1], held[at + 2], held[at + 3]]);
        let end = self.tasks.get(self.low).map_or(0, |task| task.call.ended);
        let window = (self.low..self.acked).take_while(|task| self.tasks[*task].call.began <= end);
        let beyond = window.chain(self.acked..self.tasks.len()).filter(|task| self.done[*task]);
        [half(0), half(4), number(self.low)].into_iter().chain(beyond.map(number)).collect()
    }

    fn perform(&mut self, task: usize) {
        self.path.push(Done { task, held: self.held, writer: self.writer });
        let act = self.tasks[task].act;
        self.held = act.on(self.held).unwrap_or(self.held);
        if !matches!(act, Act::Read(_)) {
            self.writer = Some(task);
        }
        self.done[task] = true;
        while self.low < self.acked && self.done[self.low] {
            self.low += 1;
        }
    }

    fn undo(&mut self) -> Option<usize> {
        let Done { task, held, writer } = self.path.pop()?;
        (self.held, self.writer) = (held, writer);
        self.done[task] = false;
        if task < self.acked {
            self.low = self.low.min(task);
        }
        Some(task)
    }

    /// Remembers the furthest place, and which operation had to be next there: the one that ends first.
    fn note(&mut self) {
        let reached = self.path.len();
        if reached < self.furthest.0 {
            return;
        }
        let open = (self.low..self.acked).filter(|task| !self.done[*task]);
        let Some(at) = open.min_by_key(|task| self.tasks[*task].call.ended) else { return };
        let stuck = Outcome::Stuck { at, state: self.held, before: self.writer };
        self.furthest = (reached, stuck);
    }
}
