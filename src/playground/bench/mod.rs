//! The benchmark: the same accident again and again under a writer, and how long it kept the writer waiting.
//! Prints p50, p99 and the longest; asserts no time, but fails when an acknowledged row is lost.

mod writer;

use std::io::Write as _;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde_json::json;

use haa_core::units::MemberName;

use super::error::PlaygroundError;
use super::options::Options;
use super::tour::text;
use super::{OnDrop, Playground};

use writer::Writer;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// A leadership younger than this is not taken over on silence (`timing.settle`, with a second for the clock).
const SETTLE: Duration = Duration::from_secs(4);
/// How long etcd is away.
const AWAY: Duration = Duration::from_secs(40);

/// What happens to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    /// The primary's postmaster is killed; its agent lives
    Postgres,
    /// Everything of the primary's member is killed
    Host,
    /// The primary's agent is killed and stays away; Postgres lives
    Agent,
    /// The primary's agent is frozen; Postgres lives
    FrozenAgent,
    /// A planned switchover
    Switchover,
    /// All of etcd is killed and comes back after 40 s
    Etcd,
}

/// Runs `fault` so many times in this new playground. Whatever happens, nothing of it is left.
///
/// # Errors
/// The run in which the cluster did not come back, or an acknowledged row that is lost.
pub async fn run(options: Options, fault: Fault, runs: usize) -> Result<(), PlaygroundError> {
    let mut bench = Bench { playground: Playground::create(options)?, gaps: Vec::new() };
    let outcome = tokio::select! {
        outcome = bench.runs(fault, runs) => outcome,
        () = super::interrupted() => Err("it was interrupted".to_owned()),
    };
    match outcome {
        Ok(()) => bench.playground.stop(),
        Err(why) => {
            say(&bench.playground.tails())?;
            let (number, name) = (bench.gaps.len() + 1, "run");
            bench.playground.on_drop(OnDrop::LeaveRunning);
            bench.playground.stop()?;
            Err(PlaygroundError::Step { number, name, why })
        }
    }
}

struct Bench {
    playground: Playground,
    gaps: Vec<Duration>,
}

impl Bench {
    async fn runs(&mut self, fault: Fault, runs: usize) -> Result<(), String> {
        self.playground.start_all().await.map_err(text)?;
        self.ready().await?;
        let mut writer = Writer::begin(&self.playground).await?;
        for _ in 0..runs {
            tokio::time::sleep(SETTLE).await;
            let old = self.playground.wait_for_primary(PATIENCE).await.map_err(text)?;
            let gap = self.once(fault, &old, &mut writer).await?;
            say(&format!("run {}: {} ms", self.gaps.len() + 1, gap.as_millis())).map_err(text)?;
            self.gaps.push(gap);
            self.playground.revive(&old).map_err(text)?;
            self.ready().await?;
        }
        self.judge(fault, &writer).await
    }

    /// The accident, until the writer goes on.
    async fn once(
        &mut self,
        fault: Fault,
        old: &MemberName,
        writer: &mut Writer,
    ) -> Result<Duration, String> {
        let began = Instant::now();
        match fault {
            Fault::Postgres => self.playground.kill_postgres(old).map_err(text)?,
            Fault::Host => self.playground.kill_host(old).map_err(text)?,
            Fault::Agent => self.playground.kill_agent(old).map_err(text)?,
            Fault::FrozenAgent => self.playground.freeze_agent(old).map_err(text)?,
            Fault::Switchover => self.switch_over(old).await?,
            Fault::Etcd => {
                self.playground.stop_etcd().map_err(text)?;
                tokio::time::sleep(AWAY).await;
                self.playground.start_etcd().await.map_err(text)?;
            }
        }
        if fault != Fault::Etcd {
            self.another_leads(old).await?;
        }
        let done = Instant::now();
        if !writer.acknowledged_after(done, PATIENCE).await {
            return Err(format!("no row was acknowledged within {PATIENCE:?}"));
        }
        Ok(writer.known().longest_gap(began))
    }

    async fn switch_over(&self, old: &MemberName) -> Result<(), String> {
        let answer = self.playground.http_post(old, "/switchover", &json!({ "leader": old })).await;
        match answer.map_err(|error| format!("no answer: {error}"))? {
            (200..300, _) => Ok(()),
            (status, said) => Err(format!("{old} refused with {status}: {said}")),
        }
    }

    async fn another_leads(&self, old: &MemberName) -> Result<(), String> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let routes = self.playground.routes_to_primary().await;
            if routes.and_then(|routes| routes.primary).is_some_and(|to| to.member != old.as_str())
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(format!("nobody took over from {old} within {PATIENCE:?}"))
    }

    async fn ready(&self) -> Result<(), String> {
        // Who lost a vote has it back after a while, which doubles with each loss.
        self.playground.wait_voting(PATIENCE).await.map(drop).map_err(text)
    }

    async fn judge(&mut self, fault: Fault, writer: &Writer) -> Result<(), String> {
        let primary = self.playground.wait_for_primary(PATIENCE).await.map_err(text)?;
        let known = writer.known();
        let at = self.playground.postgres(&primary);
        let lost = writer::missing(&self.playground, &at, &known.acknowledged).await?;
        self.gaps.sort();
        let rank = |share: usize| (self.gaps.len() * share).div_ceil(100).saturating_sub(1);
        let at = |share| self.gaps.get(rank(share)).map_or(0, Duration::as_millis);
        let name = fault.to_possible_value().map_or_else(String::new, |v| v.get_name().to_owned());
        say(&format!(
            "{name}: longest pause between two acknowledged writes p50 {} ms, p99 {} ms, max {} ms over {} \
             runs; {} rows acknowledged, {} attempts failed, {lost} acknowledged rows lost",
            at(50),
            at(99),
            at(100),
            self.gaps.len(),
            known.acknowledged.len(),
            known.failed,
        ))
        .map_err(text)?;
        match lost {
            0 => Ok(()),
            lost => Err(format!("{lost} acknowledged rows are not on {primary}")),
        }
    }
}

fn say(line: &str) -> Result<(), PlaygroundError> {
    writeln!(std::io::stdout().lock(), "{line}").map_err(PlaygroundError::Write)
}
