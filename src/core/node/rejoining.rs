//! How far a member is in becoming a follower, and what failed on the way. Never what is done next.

use serde::{Deserialize, Serialize};

use crate::effect::Job;
use crate::units::{Millis, Position, Term};

use super::upstream::Cascading;

/// The first wait after failed work, doubled up to the last.
const FIRST_WAIT: Millis = Millis(1_000);
pub(super) const LAST_WAIT: Millis = Millis(60_000);

/// What is to be done with our data before it can follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Plan {
    /// Nothing.
    #[default]
    Settle,
    /// Start with the leader of this term as its source: it was compared, and cannot be told while it runs.
    Attach(Term),
    /// Take back what the leader of this term does not have.
    Rewind(Term),
    /// Copy the leader of this term.
    Clone(Term),
    /// The same, though the data are as good as they were: an operator asked for it.
    Anew(Term),
}

/// How far we are in becoming a follower.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rejoining {
    pub(super) plan: Plan,
    /// The term whose leader our WAL was compared with, and found to be part of its history.
    pub(super) compared: Option<Term>,
    /// When the plan was made.
    pub(super) planned_at: Millis,
    /// The term whose leader our data were cloned from, or rewound to, in this run of the agent.
    pub(super) copied_in: Option<Term>,
    /// The same of the work under way.
    pub(super) copying_in: Option<Term>,
    /// The term whose leader they were rewound to, and not found to be part of its history since.
    #[serde(default)]
    pub(super) rewound_in: Option<Term>,
    /// Since when our recovery is bound for a timeline that is nobody's.
    #[serde(default)]
    pub(super) astray_since: Option<Millis>,
    /// When the Postgres was started that was stopped for that, until one streams on the leader's.
    #[serde(default)]
    pub(super) straightened: Option<u64>,
    pub(super) retry_at: Millis,
    pub(super) wait: Millis,
    pub(super) failed_starts: u32,
    #[serde(default)]
    pub(super) failed_rewinds: u32,
    #[serde(default)]
    pub(super) failed_clones: u32,
    #[serde(default)]
    pub(super) failed_fetches: u32,
    /// Where our WAL ended when the archive was asked last, and when that was.
    #[serde(default)]
    pub(super) fed: Option<(Position, Millis)>,
    /// This run of the agent started Postgres.
    pub(super) has_started: bool,
    /// It is to run, also while the cluster is paused.
    #[serde(default)]
    pub(super) owes_start: bool,
    /// Since when a Postgres starts that an earlier run of this agent has started.
    pub(super) starting_since: Option<Millis>,
    /// The last promotion was not done.
    pub(super) promote_failed: bool,
    /// It was: a look that shows a standby is an older one, or Postgres is about to leave recovery.
    #[serde(default)]
    pub(super) promote_done: bool,
    /// Until when our Postgres, which died while it led, need not be started.
    #[serde(default)]
    pub(super) yields_until: Millis,
    #[serde(default)]
    pub(super) cascading: Cascading,
}

impl Default for Rejoining {
    fn default() -> Self {
        Self {
            plan: Plan::Settle,
            compared: None,
            planned_at: Millis(0),
            copied_in: None,
            copying_in: None,
            rewound_in: None,
            astray_since: None,
            straightened: None,
            retry_at: Millis(0),
            wait: FIRST_WAIT,
            failed_starts: 0,
            failed_rewinds: 0,
            failed_clones: 0,
            failed_fetches: 0,
            fed: None,
            has_started: false,
            owes_start: true,
            starting_since: None,
            promote_failed: false,
            promote_done: false,
            yields_until: Millis(0),
            cascading: Cascading::default(),
        }
    }
}

impl Rejoining {
    /// The term whose leader's history our WAL is known to be part of.
    pub(super) const fn compared(&self) -> Option<Term> {
        self.compared
    }

    pub(super) const fn plan(&mut self, now: Millis, plan: Plan) {
        self.plan = plan;
        self.planned_at = now;
    }

    pub(super) fn done(&mut self, job: &Job) {
        self.wait = FIRST_WAIT;
        match job {
            Job::Clone(_) | Job::Rewind(_) => {
                // They are other data than those that were compared, also under the same leader.
                self.compared = None;
                self.copied_in = self.copying_in.take();
                self.rewound_in = self.copied_in.filter(|_| matches!(job, Job::Rewind(_)));
                self.plan = Plan::Settle;
                self.failed_rewinds = 0;
                self.failed_clones = 0;
                self.failed_fetches = 0;
            }
            Job::Fetch { .. } => self.failed_fetches = 0,
            Job::Start(..) => {
                self.failed_starts = 0;
                if matches!(self.plan, Plan::Attach(_)) {
                    self.plan = Plan::Settle;
                }
            }
            Job::InitDb => {}
            Job::Checkpoint
            | Job::Hold
            | Job::Lower
            | Job::Stop(_)
            | Job::Follow(..)
            | Job::Detach(_)
            | Job::Promote { .. } => {}
        }
    }

    pub(super) fn failed(&mut self, now: Millis, job: &Job) {
        // Detaching waits for replay, following for rules of access, and somebody may wait for us: both are tried again
        // and again.
        if matches!(job, Job::Detach(_) | Job::Follow(..)) {
            self.retry_at = now.after(FIRST_WAIT);
            return;
        }
        self.retry_at = now.after(self.wait);
        self.wait = self.wait.times(2).min(LAST_WAIT);
        match job {
            Job::Rewind(_) => self.failed_rewinds += 1,
            Job::Clone(_) => self.failed_clones += 1,
            Job::Start(..) => self.failed_starts += 1,
            Job::Fetch { .. } => self.failed_fetches += 1,
            Job::InitDb
            | Job::Checkpoint
            | Job::Hold
            | Job::Lower
            | Job::Stop(_)
            | Job::Follow(..)
            | Job::Detach(_)
            | Job::Promote { .. } => {}
        }
    }
}
