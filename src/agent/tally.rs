//! What is counted of the agent's own doing: work, changes of role, leaderships. Counts what was decided, no more.

use std::time::{SystemTime, UNIX_EPOCH};

use haa_core::discard::{Commits, Discarded};
use haa_core::effect::{Effect, Job, StoreWish};
use haa_core::input::{Input, JobResult};
use haa_core::lease::Leadership;
use haa_core::records::{HistoryRecord, Record};
use haa_core::units::{JobId, Term};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use serde::Serialize;

/// Of the steps to a leadership: milliseconds where all is well, and as long as an operator would wait.
const BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0];

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

/// The counts.
#[derive(Debug)]
pub(super) struct Tally {
    jobs: Family<[(&'static str, &'static str); 2], Counter>,
    roles: Family<[(&'static str, String); 2], Counter>,
    leaderships: Family<[(&'static str, String); 1], Counter>,
    phases: Family<[(&'static str, &'static str); 1], Histogram>,
    began: Family<[(&'static str, &'static str); 0], Gauge>,
    discards: Family<[(&'static str, &'static str); 1], Counter>,
    lost: Family<[(&'static str, &'static str); 0], Counter>,
    /// What was discarded, and the store does not show yet: another run of the agent may tell it.
    untold: Vec<Discarded>,
    /// The work that was wished last.
    job: Option<(JobId, &'static str)>,
    /// The term that `began` tells about.
    leads: Option<Term>,
}

impl Tally {
    /// Begins at nothing, and shows it.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let tally = Self {
            jobs: Family::default(),
            roles: Family::default(),
            leaderships: Family::default(),
            phases: Family::new_with_constructor(histogram),
            began: Family::default(),
            discards: Family::default(),
            lost: Family::default(),
            untold: Vec::new(),
            job: None,
            leads: None,
        };
        registry.register("haa_jobs", "Work on Postgres that ended", tally.jobs.clone());
        registry.register(
            "haa_discards",
            "Times that this member's data held WAL which the leader does not have, and gave it up",
            tally.discards.clone(),
        );
        registry.register(
            "haa_discarded_transactions",
            "Transactions in that WAL, where they were counted",
            tally.lost.clone(),
        );
        registry.register(
            "haa_role_changes",
            "Changes of this agent's role, by the new one",
            tally.roles.clone(),
        );
        registry.register(
            "haa_leaderships",
            "Leaderships of this member that came to accept writes",
            tally.leaderships.clone(),
        );
        registry.register(
            "haa_leadership_phase_seconds",
            "Steps to a leadership of this member, each since the last sign of the leader before",
            tally.phases.clone(),
        );
        registry.register(
            "haa_leadership_began_timestamp_seconds",
            "Since when this agent holds its leadership, as Unix time",
            tally.began.clone(),
        );
        tally
    }

    /// What came in, and what was wished then.
    pub(super) fn step(&mut self, input: &Input, effects: &[Effect]) {
        match input {
            Input::Job(id, result) => self.ended(*id, result),
            Input::Discarded(lost) => {
                self.untold.retain(|known| known.fork != lost.fork);
                self.untold.push(Discarded::clone(lost));
            }
            Input::Tick
            | Input::Store(_)
            | Input::Lease(_)
            | Input::LeaseSeen(_)
            | Input::StoreRevokesEarly(_)
            | Input::Postgres(_)
            | Input::Promised(_)
            | Input::Tags(_)
            | Input::Wall(_)
            | Input::Peer(_)
            | Input::Stop(_) => {}
        }
        for effect in effects {
            match effect {
                Effect::Job(id, job) => self.job = Some((*id, word(job))),
                Effect::Announce(change) => {
                    let role = ("role", change.to.clone());
                    self.roles.get_or_create(&[role, ("reason", slug(&change.reason))]).inc();
                }
                Effect::Store(StoreWish::Txn(txn)) => {
                    for (record, _) in &txn.put {
                        if let Record::History(_, record) = record {
                            self.told(record);
                        }
                    }
                }
                Effect::ForgetNote(fork) => {
                    if let Some(at) = self.untold.iter().position(|lost| lost.fork == *fork) {
                        let lost = self.untold.swap_remove(at);
                        self.discarded(&lost.commits);
                    }
                }
                Effect::Store(_)
                | Effect::Close(_)
                | Effect::Look
                | Effect::Slots(..)
                | Effect::Promise(_)
                | Effect::List(..)
                | Effect::OpenDoor(_)
                | Effect::Beat(_)
                | Effect::Publish(_)
                | Effect::Exit(_) => {}
            }
        }
    }

    /// The leadership as it is told.
    pub(super) fn leadership(&mut self, leadership: Option<Leadership>) {
        let term = leadership.map(Leadership::term);
        if term == std::mem::replace(&mut self.leads, term) {
            return;
        }
        self.began.clear();
        if term.is_some() {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
            self.began.get_or_create(&[]).set(seconds);
        }
    }

    fn ended(&mut self, id: JobId, result: &JobResult) {
        let Some((_, job)) = self.job.take_if(|(of, _)| *of == id) else { return };
        let result = match result {
            JobResult::Done => "done",
            JobResult::Failed(_) => "failed",
            JobResult::Aborted => "aborted",
        };
        self.jobs.get_or_create(&[("job", job), ("result", result)]).inc();
    }

    fn discarded(&self, commits: &Commits) {
        match commits {
            Commits::Counted { transactions, .. } => {
                self.discards.get_or_create(&[("counted", "yes")]).inc();
                self.lost.get_or_create(&[]).inc_by(*transactions);
            }
            Commits::NotCounted(_) => {
                self.discards.get_or_create(&[("counted", "no")]).inc();
            }
        }
    }

    /// The history is written once when clients are let in, and once more when everybody follows.
    fn told(&self, record: &HistoryRecord) {
        let steps = record.phases.taken();
        let observe = |name: &'static str, ms: u64| {
            let seconds = std::time::Duration::from_millis(ms).as_secs_f64();
            self.phases.get_or_create(&[("phase", name)]).observe(seconds);
        };
        match record.phases.attached_ms {
            Some(ms) => observe("attached", ms),
            None => {
                self.leaderships.get_or_create(&[("reason", slug(&record.reason))]).inc();
                steps.into_iter().for_each(|(name, ms)| observe(name, ms));
            }
        }
    }
}

/// As it is written in the journal.
fn slug(reason: &impl Serialize) -> String {
    match serde_json::to_value(reason) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(_) | Err(_) => "other".to_owned(),
    }
}

const fn word(job: &Job) -> &'static str {
    match job {
        Job::InitDb => "initdb",
        Job::Clone(_) => "clone",
        Job::Rewind(_) => "rewind",
        Job::Start(..) => "start",
        Job::Checkpoint => "checkpoint",
        Job::Lower => "lower",
        Job::Hold => "hold",
        Job::Stop(_) => "stop",
        Job::Follow(..) => "follow",
        Job::Detach(_) => "detach",
        Job::Fetch { .. } => "fetch",
        Job::Promote { .. } => "promote",
    }
}
