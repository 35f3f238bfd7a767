//! The tour: the main job, unattended, told step by step. Fails at the first step that does not hold.

mod sql;

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::json;

use haa_core::units::MemberName;

use super::error::PlaygroundError;
use super::options::Options;
use super::wait::summary;
use super::{OnDrop, Playground};

use sql::{Session, first_write, primary, wait_rows};

/// What a step may take; a failover waits for a lease, a start for initdb and two clones.
const PATIENCE: Duration = Duration::from_secs(60);
/// For this long, a switchover that is refused for its precondition is asked for again.
const ORDER: Duration = Duration::from_secs(10);
/// What the application writes before the accidents.
const ROWS: i64 = 1_000;

type Held = Result<(), String>;

/// Runs the tour in this new playground. Whatever happens, nothing of it is left.
///
/// # Errors
/// The step that did not hold; the ends of the logs were printed.
pub async fn run(options: Options) -> Result<(), PlaygroundError> {
    let mut tour = Tour {
        began: Instant::now(),
        step: (0, "nothing yet"),
        rows: 0,
        playground: Playground::create(options)?,
    };
    let outcome = tokio::select! {
        outcome = tour.steps() => outcome,
        () = super::interrupted() => Err("it was interrupted".to_owned()),
    };
    let (number, name) = tour.step;
    match outcome {
        Ok(()) => {
            let (began, directory) = (tour.began, tour.playground.directory().to_owned());
            tell(began, &format!("{}. Stop", number + 1))?;
            tour.playground.stop()?;
            tell(
                began,
                &format!("   nothing runs any more and {} is removed", directory.display()),
            )?;
            tell(began, "Every step held.")
        }
        Err(why) => {
            tell(tour.began, &format!("   did not hold: {why}"))?;
            tell(tour.began, &tour.playground.tails())?;
            tour.playground.on_drop(OnDrop::LeaveRunning);
            tour.playground.stop()?;
            Err(PlaygroundError::Step { number, name, why })
        }
    }
}

struct Tour {
    began: Instant,
    step: (usize, &'static str),
    /// How many rows were acknowledged.
    rows: i64,
    playground: Playground,
}

impl Tour {
    async fn steps(&mut self) -> Held {
        self.start().await?;
        self.write_rows().await?;
        let old = self.lose_postgres().await?;
        self.take_back(&old, "Take the old primary back").await?;
        let old = self.lose_member().await?;
        self.revive(&old).await?;
        self.take_back(&old, "Take the lost member back").await?;
        self.switch_over().await
    }

    async fn start(&mut self) -> Held {
        self.begin("Start one etcd, three Postgres and three haad")?;
        self.playground.start_all().await.map_err(text)?;
        let first = tokio::select! {
            first = self.playground.wait_for_primary(PATIENCE) => first.map_err(text)?,
            ended = self.playground.an_agent_ends() => return Err(text(ended)),
        };
        self.say(&format!("{first} initialised the cluster and is its primary"))?;
        let view = self.playground.wait_voting(PATIENCE).await.map_err(text)?;
        self.say(&summary(&view))
    }

    async fn write_rows(&mut self) -> Held {
        self.begin("Write rows through the address that /routes names")?;
        let (member, at) = self.primary().await?;
        let session = Session::open(&self.playground, &at).await?;
        let rows = format!("INSERT INTO tour SELECT FROM generate_series(1, {ROWS})");
        session.run("CREATE TABLE tour (at timestamptz DEFAULT clock_timestamp())").await?;
        session.run(&rows).await?;
        self.rows = ROWS;
        self.say(&format!("{member} at {at} took {ROWS} rows"))?;
        self.replicated().await
    }

    async fn lose_postgres(&mut self) -> Result<MemberName, String> {
        self.begin("Kill the primary's Postgres (SIGKILL to its postmaster)")?;
        let (old, _) = self.primary().await?;
        let killed = Instant::now();
        self.playground.kill_postgres(&old).map_err(text)?;
        self.succeeded(&old, killed).await?;
        Ok(old)
    }

    async fn lose_member(&mut self) -> Result<MemberName, String> {
        self.begin("Kill a whole member, the primary: agent and Postgres")?;
        self.replicated().await?;
        let (old, _) = self.primary().await?;
        let killed = Instant::now();
        self.playground.kill_host(&old).map_err(text)?;
        self.say(&format!("{old} is dead; the others will notice its silence"))?;
        self.succeeded(&old, killed).await?;
        Ok(old)
    }

    async fn revive(&mut self, name: &MemberName) -> Held {
        self.begin("Revive it")?;
        self.playground.revive(name).map_err(text)
    }

    async fn take_back(&mut self, old: &MemberName, title: &'static str) -> Held {
        self.begin(title)?;
        let view = self.playground.wait_member_streams(old, PATIENCE).await.map_err(text)?;
        self.say(&summary(&view))?;
        self.playground.wait_voting(PATIENCE).await.map_err(text)?;
        self.replicated().await
    }

    async fn switch_over(&mut self) -> Held {
        self.begin("Switch over")?;
        let (old, _) = self.primary().await?;
        let names = self.playground.names();
        let to = names.iter().find(|name| **name != old).ok_or("there is only one member")?;
        let (asked, said) = self.order(&old, to).await?;
        self.say(&format!("{old} said: {said}"))?;
        let (now, _) = self.succeeded(&old, asked).await?;
        if now != *to {
            return Err(format!("{to} was to lead, but {now} does"));
        }
        let old = old.clone();
        self.playground.wait_member_streams(&old, PATIENCE).await.map_err(text)?;
        self.say(&format!("{old} follows it"))?;
        self.replicated().await
    }

    /// Asks for the switchover; a primary that has not yet seen its newest replica stream is asked again.
    async fn order(&self, old: &MemberName, to: &MemberName) -> Result<(Instant, String), String> {
        let body = json!({ "leader": old, "candidate": to });
        let began = Instant::now();
        loop {
            let asked = Instant::now();
            let answer = self.playground.http_post(old, "/switchover", &body).await;
            match answer.map_err(|error| format!("no answer: {error}"))? {
                (200..300, said) => return Ok((asked, said)),
                (412, said) if began.elapsed() < ORDER => self.say(&format!("not yet: {said}"))?,
                (status, said) => return Err(format!("{old} refused with {status}: {said}")),
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Another member takes writes, and has every row that was acknowledged.
    async fn succeeded(
        &mut self,
        old: &MemberName,
        since: Instant,
    ) -> Result<(MemberName, Duration), String> {
        let (now, took) = first_write(&self.playground, since, PATIENCE).await?;
        self.rows += 1;
        let ms = took.as_millis();
        if now == *old {
            return Err(format!(
                "{old} itself accepts writes again, after {ms} ms: nobody took over"
            ));
        }
        self.say(&format!("{now} took over from {old}: first acknowledged write after {ms} ms"))?;
        let at = self.playground.postgres(&now);
        let count = wait_rows(&self.playground, &at, 0, PATIENCE).await?;
        // One more can be there: written, and its acknowledgement lost.
        if count < self.rows {
            return Err(format!("{now} has {count} rows, but {} were acknowledged", self.rows));
        }
        self.rows = count;
        self.say(&format!("{now} has all {count} rows"))?;
        Ok((now, took))
    }

    /// Every member that lives shows every row.
    async fn replicated(&mut self) -> Held {
        for name in self.playground.names() {
            if self.playground.agent(&name).map_err(text)?.is_some() {
                let at = self.playground.postgres(&name);
                let count = wait_rows(&self.playground, &at, self.rows, PATIENCE).await?;
                if count > self.rows {
                    return Err(format!("{name} has {count} rows, but {} were written", self.rows));
                }
            }
        }
        self.say(&format!("every living member has all {} rows", self.rows))
    }

    async fn primary(&self) -> Result<(MemberName, haa_core::units::Address), String> {
        let name = self.playground.wait_for_primary(PATIENCE).await.map_err(text)?;
        primary(&self.playground).await.ok_or(format!("{name} is primary, but no route says so"))
    }

    fn begin(&mut self, name: &'static str) -> Held {
        self.step = (self.step.0 + 1, name);
        tell(self.began, &format!("{}. {name}", self.step.0)).map_err(text)
    }

    fn say(&self, line: &str) -> Held {
        tell(self.began, &format!("   {line}")).map_err(text)
    }
}

fn tell(began: Instant, line: &str) -> Result<(), PlaygroundError> {
    let mut out = std::io::stdout().lock();
    let at = began.elapsed().as_secs_f64();
    writeln!(out, "[{at:6.1} s] {line}").and_then(|()| out.flush()).map_err(PlaygroundError::Write)
}

/// The error in one text; the logs are told once, at the end.
pub(super) fn text(error: PlaygroundError) -> String {
    match error {
        PlaygroundError::NotInTime { what, waited, seen, .. } => {
            format!("{what} did not come about within {waited:?}; the last answer was: {seen}")
        }
        other => {
            let cause = std::error::Error::source(&other).map(|cause| format!(": {cause}"));
            format!("{other}{}", cause.unwrap_or_default())
        }
    }
}
