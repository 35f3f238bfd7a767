//! Wall clocks are wrong, of one member's agent, guard and Postgres alike: they jump, or run fast or slow. libfaketime
//! reads how from a file. The monotonic clocks stay right, as the kernel keeps them.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;

use crate::hosts::Lab;

use super::{Cure, Wound};

/// A process looks into the file at most once a second.
const PATIENCE: Duration = Duration::from_secs(4);
const LOOK: Duration = Duration::from_millis(200);
/// What a question takes, and the look before it.
const NEAR: f64 = 5.0;
/// For how long a clock that runs wrong is watched, and by how much of that it must be off at least.
const WATCHED: Duration = Duration::from_secs(2);
const SHARE: f64 = 0.5;

/// By how many percent of the right pace clocks run. A timer of the process runs as wrong, as it would on such a host.
pub(super) const PACES: [u32; 2] = [90, 110];

pub(super) async fn jump(
    seconds: i64,
    member: &'static str,
    lab: &mut Lab,
) -> anyhow::Result<Wound> {
    set(seconds, 100, member, lab)?;
    let name = format!("clock of {member} by {seconds} s");
    let asked = async {
        let client = lab.superuser(member).await.ok()?;
        loop {
            let wrong = wrong_by(&client).await?;
            if (wrong - float(seconds)).abs() < NEAR {
                return Some(format!("Postgres on {member} is {wrong:+.1} s from our clock"));
            }
            sleep(LOOK).await;
        }
    };
    let proof = timeout(PATIENCE, asked).await.ok().flatten();
    Ok(Wound::new(name, proof, Cure::Clock(member)))
}

pub(super) async fn pace(
    percent: u32,
    member: &'static str,
    lab: &mut Lab,
) -> anyhow::Result<Wound> {
    set(0, percent, member, lab)?;
    let name = format!("clock of {member} runs at {percent} %");
    let asked = async {
        let client = lab.superuser(member).await.ok()?;
        // Its file is read by then.
        sleep(Duration::from_millis(1_200)).await;
        let before = wrong_by(&client).await?;
        sleep(WATCHED).await;
        let drift = wrong_by(&client).await? - before;
        let due = WATCHED.as_secs_f64() * (f64::from(percent) / 100.0 - 1.0);
        (drift / due > SHARE).then(|| {
            let told = format!("Postgres on {member} went {drift:+.3} s wrong");
            format!("{told} in {WATCHED:?}")
        })
    };
    let proof = timeout(PATIENCE + WATCHED, asked).await.ok().flatten();
    Ok(Wound::new(name, proof, Cure::Clock(member)))
}

/// Its clock against ours, in seconds.
async fn wrong_by(client: &Client) -> Option<f64> {
    let ours = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs_f64();
    let text = "SELECT extract(epoch FROM clock_timestamp())::float8";
    let theirs: f64 = client.query_one(text, &[]).await.ok()?.try_get(0).ok()?;
    Some(theirs - ours)
}

fn float(seconds: i64) -> f64 {
    f64::from(i32::try_from(seconds).unwrap_or(i32::MAX))
}

pub(super) fn heal(member: &str, lab: &Lab) -> anyhow::Result<Option<String>> {
    set(0, 100, member, lab).map(|()| None)
}

/// By a rename: a reader sees the old one or the new one. The pace is always said: one that is not is kept.
fn set(seconds: i64, percent: u32, member: &str, lab: &Lab) -> anyhow::Result<()> {
    let file = lab.clock(member);
    let new = file.with_extension("new");
    let tell = || format!("cannot write {}", file.display());
    let (whole, rest) = (percent / 100, percent % 100);
    std::fs::write(&new, format!("{seconds:+} x{whole}.{rest:02}\n")).with_context(tell)?;
    std::fs::rename(&new, &file).with_context(tell)
}
