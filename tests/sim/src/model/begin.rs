//! From nothing to a cluster in which the first member leads and all others stream: one way, without a choice.

use crate::model::action::Action;
use crate::model::scope::{Left, Scope};
use crate::model::state::{Life, State};
use crate::postgres::{Process, Stream};

/// More events than it takes.
const PATIENCE: usize = 5_000;
/// So many quiet steps after that, so that nothing of the beginning is under way any more.
const QUIET: usize = 4;

/// So much is told of a cluster that does not form.
const TOLD: usize = 100;

impl State {
    /// The state in which every exploration begins.
    ///
    /// # Errors
    /// The first of what happened, if the cluster does not come to be.
    pub fn formed(scope: &Scope) -> Result<Self, Vec<String>> {
        let mut state = Self::empty(scope);
        state.noted.story = Some(Vec::new());
        state.start_agent(0);
        state.run_until(|state| state.members[0].postgres.open())?;
        for member in 1..scope.members {
            state.start_agent(member);
        }
        state.run_until(Self::all_stream)?;
        for _ in 0..QUIET {
            let now = state.now;
            state.run_until(|state| state.now > now)?;
        }
        // The last step is done with: what comes next is a choice.
        state.run_until(|state| state.choices().contains(&Action::Step))?;
        let Scope { faults, writes, wishes, steps, .. } = *scope;
        state.left = Left { faults, writes, wishes, steps };
        state.noted = crate::model::state::Noted::default();
        Ok(state)
    }

    fn all_stream(&self) -> bool {
        let joined = |member: usize| {
            let postgres = &self.members[member].postgres;
            postgres.process == Process::Standby && postgres.stream != Stream::Idle
        };
        let listed = self.etcd.view.sync.as_ref().map_or(0, |sync| sync.value.members.len());
        (1..self.members.len()).all(joined) && listed == self.members.len()
    }

    fn run_until(&mut self, reached: impl Fn(&Self) -> bool) -> Result<(), Vec<String>> {
        for _ in 0..PATIENCE {
            if reached(self) {
                return Ok(());
            }
            let mut choices = self.choices().into_iter();
            let next = choices.find(|action| match action {
                // Members that are not to run yet, and leases of nobody.
                Action::Start(m) => self.members[*m].life != Life::Down,
                _ => true,
            });
            let Some(next) = next else { break };
            self.apply(next);
        }
        let story = self.noted.story.take().unwrap_or_default();
        Err(story.into_iter().take(TOLD).collect())
    }
}
