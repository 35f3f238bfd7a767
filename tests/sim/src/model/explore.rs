//! The search: breadth first, each state once, until all are seen or an invariant breaks. Knows no rule of the world.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

use crate::model::action::Action;
use crate::model::judge::Violation;
use crate::model::scope::Scope;
use crate::model::sometimes::Sometimes;
use crate::model::state::State;

/// What came of an exploration.
#[derive(Clone, Debug)]
pub struct Report {
    /// States in which something was to be chosen, each once.
    pub states: usize,
    /// Events that were tried in them.
    pub events: usize,
    /// The longest way to a state, in choices.
    pub depth: usize,
    /// What happened, and in how many of the events.
    pub sometimes: BTreeMap<&'static str, usize>,
    /// What does not hold, and the shortest way there, a line an event.
    pub violation: Option<(Violation, Vec<String>)>,
    /// How many choices that way takes.
    pub choices: usize,
}

impl Report {
    /// How often something happened.
    #[must_use]
    pub fn of(&self, what: Sometimes) -> usize {
        let known = Sometimes::ALL.into_iter().find(|(known, _)| *known == what);
        known.and_then(|(_, sentence)| self.sometimes.get(sentence)).copied().unwrap_or(0)
    }
}

/// The digests are spread already.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u128(&mut self, digest: u128) {
        self.0 = digest as u64;
    }
}

type Seen = HashSet<u128, BuildHasherDefault<Spread>>;

/// How a state was reached.
#[derive(Clone, Copy, Debug)]
struct Step {
    from: u32,
    action: Option<Action>,
}

/// An exploration under way.
struct Search {
    seen: Seen,
    steps: Vec<Step>,
    report: Report,
}

/// Every state within the scope, from the cluster that is formed.
#[must_use]
pub fn explore(scope: &Scope) -> Report {
    let mut report = Report {
        states: 1,
        events: 0,
        depth: 0,
        sometimes: BTreeMap::new(),
        violation: None,
        choices: 0,
    };
    let start = match State::formed(scope) {
        Ok(state) => state,
        Err(story) => {
            let what = "no cluster forms, though nothing goes wrong".to_owned();
            report.violation = Some((Violation { invariant: "I12", what }, story));
            return report;
        }
    };
    let steps = vec![Step { from: 0, action: None }];
    let mut search = Search { seen: Seen::default(), steps, report };
    search.seen.insert(start.digest());
    let mut frontier = vec![(0_u32, start.clone())];
    while !frontier.is_empty() && scope.depth.is_none_or(|most| search.report.depth < most) {
        let mut next = Vec::new();
        for (at, state) in frontier {
            if let Some((violation, action)) = search.expand(at, &state, &mut next) {
                let way = search.way(at, action);
                search.report.choices = way.len();
                search.report.violation = Some((violation, told(start, &way)));
                return search.report;
            }
        }
        search.report.depth += usize::from(!next.is_empty());
        frontier = next;
    }
    search.report
}

impl Search {
    /// All that can happen in a state. The first violation ends the search.
    fn expand(
        &mut self,
        at: u32,
        state: &State,
        next: &mut Vec<(u32, State)>,
    ) -> Option<(Violation, Action)> {
        for action in state.choices() {
            let mut after = state.clone();
            after.noted.sometimes = 0;
            let last = go(&mut after, action);
            self.report.events += 1;
            self.count(after.noted.sometimes);
            if let Some(violation) = after.noted.violation {
                return Some((violation, action));
            }
            if self.seen.insert(after.digest()) {
                self.report.states += 1;
                let number = self.steps.len() as u32;
                self.steps.push(Step { from: at, action: Some(action) });
                if !last {
                    next.push((number, after));
                }
            }
        }
        None
    }

    fn count(&mut self, bits: u32) {
        if bits == 0 {
            return;
        }
        for (what, sentence) in Sometimes::ALL {
            if bits & what.bit() != 0 {
                *self.report.sometimes.entry(sentence).or_default() += 1;
            }
        }
    }

    /// The choices that lead to a state, and one more.
    fn way(&self, at: u32, last: Action) -> Vec<Action> {
        let mut way = vec![last];
        let mut step = self.steps[at as usize];
        while let Some(action) = step.action {
            way.push(action);
            step = self.steps[step.from as usize];
        }
        way.reverse();
        way
    }
}

/// An event, and whatever follows without a choice; true if nothing can happen after it.
fn go(state: &mut State, action: Action) -> bool {
    state.apply(action);
    loop {
        if state.noted.violation.is_some() {
            return true;
        }
        match state.choices().as_slice() {
            [] => return true,
            [only] => state.apply(*only),
            [..] => return false,
        }
    }
}

/// The same way again, with its story.
fn told(mut state: State, way: &[Action]) -> Vec<String> {
    state.noted.story = Some(Vec::new());
    for action in way {
        go(&mut state, *action);
    }
    state.noted.story.unwrap_or_default()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((violation, story)) = &self.violation {
            for line in story {
                writeln!(f, "{line}")?;
            }
            writeln!(f, "{violation}\n")?;
        }
        for (what, count) in &self.sometimes {
            writeln!(f, "{count:>10}  {what}")?;
        }
        write!(
            f,
            "{} states, {} events, at most {} choices deep",
            self.states, self.events, self.depth
        )?;
        match &self.violation {
            Some((violation, story)) => write!(
                f,
                "; {} is broken after {} choices, {} lines",
                violation.invariant,
                self.choices,
                story.len()
            ),
            None => write!(f, "; no violation"),
        }
    }
}
