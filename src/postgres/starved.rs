//! Recovery that waits for WAL which is not there and which nobody sends: seen, and remembered for these very data.
//! Never gives them up, nor takes a standby for one whose WAL is all there and which is [`super::mute`].

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use haa_core::effect::Source;
use haa_core::units::{Lsn, Position};
use tokio::time::sleep;

use super::control::Control;
use super::error::sentence;
use super::mark::Mark;
use super::mute::{self, End};
use super::process;
use super::segment::Segment;
use super::site::Site;

/// Recovery of these data was seen to wait in vain: they need somebody who has what they lack.
pub(super) const MARK: Mark = Mark("haa.starved");

const SAMPLE: Duration = Duration::from_secs(1);
/// So many samples in a row, and what is waited for is told.
const TOLD: u32 = 5;
/// So many, and whoever has no source waits for ever. Postgres itself looks for a file again every 5 s
/// (`wal_retrieve_retry_interval`).
const SAMPLES: u32 = 30;
/// Of the processor, in hundredths of a second, in all of them together. Recovery that replays much takes more.
const IDLE: u64 = 10;

/// Where the segment begins that the recovery which is under way has waited for; a moment's wait is none.
#[derive(Default)]
pub(super) struct Waits(Mutex<Option<(Lsn, Instant)>>);

impl Waits {
    /// As of the last sample: whoever was frozen since does not know.
    pub(super) fn seen(&self) -> Option<Lsn> {
        let seen = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.filter(|(_, at)| at.elapsed() < 2 * SAMPLE).map(|(lsn, _)| lsn)
    }

    fn are(&self, lsn: Option<Lsn>) {
        let seen = lsn.map(|lsn| (lsn, Instant::now()));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }
}

/// What comes of waiting for one without a source.
pub(super) enum Wait {
    /// It has all its WAL, which ends here.
    Over(Position),
    /// It has it all, and says where that ends when it is stopped in order.
    ToBeStopped,
    /// It will never have what it lacks.
    InVain,
}

/// Nothing is waited for when nobody looks any more.
struct Over<'a>(&'a Waits);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.are(None);
    }
}

/// Tells what the recovery that is under way waits for: asleep, with hardly anything done, and nobody of its Postgres
/// waiting for a disk. Returns when one without a source has done so for long; with one, WAL may yet come.
pub(super) async fn wait(site: &Site, source: Option<&Source>, told_end: Option<Lsn>) -> Wait {
    let over = Over(&site.waits);
    let mut first = None;
    let mut times = 0;
    while times <= SAMPLES || source.is_some() {
        sleep(SAMPLE).await;
        // What cannot be seen tells nothing.
        let sample = sample(site).unwrap_or(Sample::DiskIsAwaited);
        let mut told = None;
        match sample {
            Sample::Asleep { pid, at, ticks } => match &first {
                Some((of, there, then)) if *of == pid && *there == at && ticks <= then + IDLE => {
                    times += 1;
                    told = Some(at).filter(|_| times >= TOLD);
                }
                Some(_) | None => (first, times) = (Some((pid, at, ticks)), 0),
            },
            Sample::Awake => (first, times) = (None, 0),
            Sample::DiskIsAwaited => {}
        }
        over.0.are(told.as_ref().and_then(|at| begin(site, at)));
        let Some(at) = told.filter(|_| times.is_multiple_of(TOLD) && source.is_none()) else {
            continue;
        };
        match mute::end(site, &at, told_end).await {
            Ok(End::At(position)) => return Wait::Over(position),
            Ok(End::WithAFile) => return Wait::ToBeStopped,
            Ok(End::Unknown) => {}
            Err(error) => {
                tracing::warn!(error = %sentence(&error), "where the WAL ends cannot be seen");
            }
        }
    }
    Wait::InVain
}

/// Of the segment of this name, if it is one.
fn begin(site: &Site, name: &str) -> Option<Lsn> {
    Some(Segment::named(name, Control::read(site.data()).ok()?.segment_size)?.begin)
}

/// What the startup process is about.
enum Sample {
    /// It waits at this segment (`startup waiting for 000000030000000000000005`, or `recovering`), and has had so many
    /// ticks of the processor in all.
    Asleep { pid: u32, at: String, ticks: u64 },
    /// It works, is stopped, or is not there; or WAL comes.
    Awake,
    /// Somebody of this Postgres waits for a disk: it may be for that.
    DiskIsAwaited,
}

fn sample(site: &Site) -> io::Result<Sample> {
    let mut found = Sample::Awake;
    for pid in process::scan(site.data())? {
        // Gone meanwhile.
        let Some((state, ticks)) = process::rest(pid) else { continue };
        if state == 'D' {
            return Ok(Sample::DiskIsAwaited);
        }
        let title = process::title(pid);
        let what = title.split(": ").last().unwrap_or_default();
        if !title.starts_with("postgres: ") {
            continue;
        }
        if what.starts_with("walreceiver streaming") {
            return Ok(Sample::Awake);
        }
        if what.starts_with("startup") && state == 'S' {
            let at = what.split(' ').next_back().unwrap_or_default().to_owned();
            found = Sample::Asleep { pid, at, ticks };
        }
    }
    Ok(found)
}
