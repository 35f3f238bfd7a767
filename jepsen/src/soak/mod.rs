//! A soak of an operator's work: haactl's verbs, one after the other, under load, each checked against what the
//! cluster shows afterwards. Breaks nothing on purpose, and judges no client's history.

mod hand;
mod lead;
mod members;
mod refuse;
mod set;
mod step;

use std::time::Duration;

use clap::ValueEnum;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use serde::Serialize;
use tokio::time::Instant;

use crate::hosts::{Haactl, Lab, Watch};
use crate::matrix;
use crate::nemesis::Struck;
use crate::workloads::Recorder;

pub use step::Wrong;

use step::Step;

/// What an operator does, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// A switchover to the best replica
    Switchover,
    /// A switchover to a replica that is named
    SwitchoverTo,
    /// A failover while somebody leads, which hands over
    Failover,
    /// A replica's Postgres restarted
    Restart,
    /// The primary's Postgres restarted where it is
    InPlace,
    /// Everybody's Postgres restarted
    Rolling,
    /// A replica cloned anew
    Reinit,
    /// A replica taken out of use, and back
    Drain,
    /// The primary taken out of use, and back
    DrainPrimary,
    /// A pause with a switchover in it, and its end
    Pause,
    /// A longer lease, and the usual one again
    Lease,
    /// Two copies of each commit, and the usual number again
    Copies,
    /// A parameter that is taken at once
    WorkMem,
    /// A parameter that waits for a restart, and a rolling restart
    MaxConnections,
    /// A member's file changed, spoilt and mended, read each time
    Reload,
    /// A member stopped, forgotten, and started again with its data
    Remove,
    /// The same, without its data
    Replace,
    /// A command that nobody can act on, cancelled
    Cancel,
    /// What must be refused, and change nothing
    Refusals,
}

/// What is asked of a soak.
#[derive(Clone, Debug)]
pub struct Soak {
    /// Which verbs; each comes once before any comes again.
    pub verbs: Vec<Verb>,
}

impl Soak {
    /// What a new cluster begins with: what is to be changed while it runs must not be in the members' own files.
    ///
    /// # Errors
    /// Never: it is written here.
    pub fn settings() -> anyhow::Result<toml::Table> {
        let number = set::MAX_CONNECTIONS;
        Ok(format!("[postgres.parameters]\nmax_connections = {number}").parse()?)
    }

    /// The verbs in the order in which they come: all of them, shuffled, again and again.
    fn order(&self, seed: u64) -> impl Iterator<Item = Verb> + use<> {
        let mut rng = StdRng::seed_from_u64(seed);
        let (mut bag, all) = (Vec::new(), self.verbs.clone());
        std::iter::from_fn(move || {
            if bag.is_empty() {
                bag.clone_from(&all);
                bag.shuffle(&mut rng);
            }
            bag.pop()
        })
    }
}

/// After a verb the verdict is healthy again within this.
const HEALTHY: Duration = Duration::from_secs(60);
/// And everybody votes again within this: a voter that was away often is let in later each time.
const WHOLE: Duration = Duration::from_secs(330);
/// Everybody votes before the first one.
const BEGIN: Duration = Duration::from_secs(60);

/// What was done, and what was not as it was said to be.
#[derive(Debug, Default)]
pub struct Done {
    /// One for each verb.
    pub steps: Vec<Struck>,
    /// In the order in which it was found.
    pub wrong: Vec<Wrong>,
}

/// Works for so long, or until the cluster is not whole any more.
///
/// # Errors
/// When it could not be looked whether a verb did what it said.
pub async fn run(
    soak: &Soak,
    (length, seed): (Duration, u64),
    (lab, watch): (&mut Lab, &Watch),
    recorder: &Recorder,
    say: &mut (impl FnMut(&str) + Send),
) -> anyhow::Result<Done> {
    let (ctl, began) = (Haactl::of(lab)?, Instant::now());
    let mut done = Done::default();
    watch.whole(BEGIN).await?;
    for (number, verb) in (1_u64..).zip(soak.order(seed)) {
        if began.elapsed() >= length {
            break;
        }
        let rng = StdRng::seed_from_u64(seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let (from, name) = (recorder.now(), matrix::word(verb));
        let mut step = Step::begin(&mut *lab, watch, &ctl, rng).await?;
        act(verb, &mut step).await?;
        let acted = step.counted();
        let whole = step.recover(HEALTHY, WHOLE).await;
        let to = recorder.now();
        for line in step.said() {
            say(&format!("          {line}"));
        }
        for text in step.wrong() {
            say(&format!("    WRONG {text}"));
            let text = format!("step {number}, {name}: {text}");
            done.wrong.push(Wrong { text, from, to });
        }
        let proof = format!("{acted}; {whole}");
        let at = to / 1_000_000;
        say(&format!("{:>7}.{:03} s  step {number}, {name}: {proof}", at / 1_000, at % 1_000));
        done.steps.push(Struck { name, from, to: Some(to), proof: Some(proof), loss: None });
        if !step.is_whole() {
            step.put_right().await?;
            break;
        }
    }
    Ok(done)
}

async fn act(verb: Verb, step: &mut Step<'_>) -> anyhow::Result<()> {
    match verb {
        Verb::Switchover => lead::hand_over(step, "switchover", None).await,
        Verb::SwitchoverTo => {
            let to = step.replica();
            lead::hand_over(step, "switchover", Some(to)).await
        }
        Verb::Failover => lead::hand_over(step, "failover", None).await,
        Verb::Restart => lead::restart(step).await,
        Verb::InPlace => lead::restart_in_place(step).await,
        Verb::Rolling => lead::rolling(step).await,
        Verb::Reinit => members::reinit(step).await,
        Verb::Drain => {
            let member = step.replica();
            members::drain(step, member).await
        }
        Verb::DrainPrimary => {
            let member = step.leader();
            members::drain(step, member).await
        }
        Verb::Pause => set::pause(step).await,
        Verb::Lease => set::lease(step).await,
        Verb::Copies => set::copies(step).await,
        Verb::WorkMem => set::work_mem(step).await,
        Verb::MaxConnections => set::max_connections(step).await,
        Verb::Reload => hand::reload(step).await,
        Verb::Remove => members::remove(step, members::Find::Kept).await,
        Verb::Replace => members::remove(step, members::Find::Emptied).await,
        Verb::Cancel => hand::cancel(step).await,
        Verb::Refusals => refuse::all(step).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_comes_before_any_comes_again_and_a_seed_gives_one_order() {
        let soak = Soak { verbs: Verb::value_variants().to_vec() };
        let drawn = |seed| soak.order(seed).take(2 * soak.verbs.len()).collect::<Vec<_>>();
        let order = drawn(7);
        for half in order.chunks(soak.verbs.len()) {
            let mut sorted = half.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, soak.verbs);
        }
        assert_eq!(order, drawn(7));
        assert_ne!(order, drawn(8));
        assert_eq!(Soak { verbs: Vec::new() }.order(7).next(), None);
    }

    #[test]
    fn what_a_soak_changes_is_left_to_the_settings() {
        let settings = Soak::settings().unwrap();
        let number = settings["postgres"]["parameters"]["max_connections"].as_integer();
        assert_eq!(number, Some(set::MAX_CONNECTIONS));
    }
}
