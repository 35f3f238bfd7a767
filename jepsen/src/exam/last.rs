//! The end of a run: everybody follows, everything is read once more on every member, and what the cluster itself
//! recorded is fetched. Judges none of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::runtime::Handle;
use tokio::time::sleep;

use haa_core::settings::Timing;
use haa_core::units::Millis;

use crate::checkers::{Case, Checker, Options, TimelineEnd};
use crate::hosts::{Lab, MEMBERS, Place, Watch, places};
use crate::nemesis;
use crate::workloads::record::FAITHFUL;
use crate::workloads::{Crew, Kind, Session, TOTAL, Work, names};

use super::{Wish, led};

/// One operation of the last reads.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest `ttl` that a nemesis sets.
const LONG_LEASE: Millis = Millis(20_000);

/// What a run promises to every workload, before anything is known of its end.
pub(super) fn options(wish: &Wish) -> Options {
    let longer = wish.soak.is_some() || wish.kinds.contains(&nemesis::Kind::Settings);
    let timing = Timing::default();
    let lease = if longer { LONG_LEASE } else { timing.ttl };
    Options {
        bank_total: Some(TOTAL),
        sessions_from: Some(FAITHFUL),
        deposed_reads: nanos(lease),
        deposed_says: nanos(timing.suspect_after),
        ..Options::default()
    }
}

const fn nanos(span: Millis) -> u64 {
    span.0.saturating_mul(1_000_000)
}

/// What each workload is judged by: its own, and what the run promises to all of them.
pub(super) fn cases(crews: &[Crew], options: &Options) -> Vec<Case> {
    let works: Vec<Work> = crews.iter().map(|crew| crew.workload.work).collect();
    let case = |(crew, workload): (&Crew, String)| {
        let isolation = crew.workload.work.isolation;
        let demanded = [crew.workload.judges(), options.demanded.clone()].concat();
        let history = crew.recorder.events_of(crew.number);
        Case { workload, history, options: Options { isolation, demanded, ..options.clone() } }
    };
    crews.iter().zip(names(&works)).map(case).collect()
}

/// Waits until somebody leads and both others have replayed all that it wrote before.
pub(super) async fn follow(lab: &Lab, watch: &Watch, at_most: Duration) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut seen = anyhow::anyhow!("nothing was seen");
    while began.elapsed() < at_most {
        match caught_up(lab, watch).await {
            Ok(()) => return Ok(()),
            Err(error) => seen = error,
        }
        sleep(Duration::from_millis(200)).await;
    }
    let (summary, tails) = (watch.summary().await, lab.tails());
    Err(seen.context(format!("not within {at_most:?}: {summary}\n{tails}")))
}

async fn caught_up(lab: &Lab, watch: &Watch) -> anyhow::Result<()> {
    let primaries = watch.primaries().await;
    let [primary] = primaries[..] else { bail!("not one primary, but {primaries:?}") };
    let position = "SELECT pg_current_wal_flush_lsn()::text";
    let client = lab.superuser(primary).await?;
    let to: String = client.query_one(position, &[]).await?.try_get(0)?;
    for member in MEMBERS.into_iter().filter(|member| *member != primary) {
        let client = lab.superuser(member).await?;
        let text =
            format!("SELECT pg_is_in_recovery() AND pg_last_wal_replay_lsn() >= '{to}'::pg_lsn");
        for _ in 0..50 {
            if client.query_one(&text, &[]).await?.try_get(0).unwrap_or(false) {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        let there: bool = client.query_one(&text, &[]).await?.try_get(0)?;
        anyhow::ensure!(there, "{member} has not replayed {to} of {primary}");
    }
    Ok(())
}

/// Reads everything on every member, when all is quiet; answers what the run is to be judged by.
pub(super) async fn read_all(
    lab: &Lab,
    watch: &Watch,
    crews: &[Crew],
    clients: &Handle,
    (wish, seen): (&Wish, &[led::Seen]),
) -> anyhow::Result<Options> {
    follow(lab, watch, PATIENCE).await.context("before the last reads")?;
    let primary = watch.primary(PATIENCE).await?;
    let recorder = Arc::clone(&crews.first().context("a run has a workload")?.recorder);
    let mut options = options(wish);
    options.final_reads_from = Some(recorder.now());
    let theirs = crews.to_vec();
    let reads = clients.spawn(async move {
        let first = MEMBERS.into_iter().filter(|member| *member == primary);
        let others = MEMBERS.into_iter().filter(|member| *member != primary);
        for member in first.chain(others) {
            for crew in &theirs {
                read(crew, member, member != primary).await?;
            }
        }
        anyhow::Ok(())
    });
    reads.await.context("the last reads")??;
    options.final_timeline = final_timeline(lab, primary).await?;
    if wish.plan.faketime.is_none() {
        // Without a wrong clock the record's times are ours, and there must be one.
        options.demanded.push(Checker::Record);
        options.leaderships = led::leaderships(lab, &recorder, seen)?;
    }
    Ok(options)
}

async fn read(crew: &Crew, member: &'static str, replica: bool) -> anyhow::Result<()> {
    let places = places();
    let place =
        places.iter().find(|place| place.member == member).context("a member has a place")?;
    let failed = |said: String| anyhow::anyhow!("the last read of {member} failed: {said}");
    let mut session = open(place, replica).await.map_err(failed)?;
    let kind = if replica { Kind::Reader(member) } else { Kind::Pinned(member) };
    let process = crew.recorder.process(kind, crew.number);
    for op in crew.workload.last() {
        crew.recorder.begin(process, op.clone());
        let work = crew.workload.perform(&mut session, &op, Duration::ZERO);
        let done = tokio::time::timeout(PATIENCE, work).await;
        let done = done.with_context(|| format!("the last read of {member} takes too long"))?;
        let (op, stamp) = done.map_err(|failure| failed(failure.said))?;
        crew.recorder.ok(process, op, stamp);
    }
    Ok(())
}

/// A session, also where sessions that clients gave up still hold every place: Postgres whose clock jumped back finds
/// no deadlock before it has caught up.
async fn open(place: &Place, replica: bool) -> Result<Session, String> {
    let began = Instant::now();
    loop {
        let failure = match Session::open(place, replica).await {
            Ok(session) => return Ok(session),
            Err(failure) => failure.said,
        };
        if began.elapsed() > PATIENCE {
            return Err(failure);
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// The timelines that led to the last primary's, by its own history file.
async fn final_timeline(lab: &Lab, primary: &str) -> anyhow::Result<Vec<TimelineEnd>> {
    let client = lab.superuser(primary).await?;
    let current =
        "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int";
    let current: i32 = client.query_one(current, &[]).await?.try_get(0)?;
    let current = u32::try_from(current)?;
    let file = format!("SELECT pg_read_file('pg_wal/{current:08X}.history', 0, 1000000, true)");
    let text: Option<String> = client.query_one(&file, &[]).await?.try_get(0)?;
    let mut ends: Vec<TimelineEnd> =
        text.unwrap_or_default().lines().filter_map(timeline_end).collect();
    ends.push(TimelineEnd { timeline: current, end: None });
    Ok(ends)
}

/// A number, a place, and why, with tabs between.
fn timeline_end(line: &str) -> Option<TimelineEnd> {
    let mut fields = line.split_whitespace();
    let timeline = fields.next()?.parse().ok()?;
    let (high, low) = fields.next()?.split_once('/')?;
    let (high, low) = (u64::from_str_radix(high, 16).ok()?, u64::from_str_radix(low, 16).ok()?);
    Some(TimelineEnd { timeline, end: Some(high << 32 | low) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_history_file_is_read() {
        let end = timeline_end("3\t1/4000148\tno recovery target specified").unwrap();
        assert_eq!((end.timeline, end.end), (3, Some(0x1_0400_0148)));
        assert!(timeline_end("").is_none());
    }
}
