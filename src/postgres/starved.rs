//! Recovery that waits for WAL which is not there and which nobody sends: seen, and remembered for these very data.
//! Never gives them up.

use std::io;
use std::time::Duration;

use tokio::time::sleep;

use super::mark::Mark;
use super::process;
use super::site::Site;

/// Recovery of these data was seen to wait in vain: they need somebody who has what they lack.
pub(super) const MARK: Mark = Mark("haa.starved");

const SAMPLE: Duration = Duration::from_secs(1);
/// So many samples in a row. Postgres itself looks for a file again every 5 s (`wal_retrieve_retry_interval`).
const SAMPLES: u32 = 30;
/// Of the processor, in hundredths of a second, in all of them together. Recovery that replays something takes more.
const IDLE: u64 = 10;

/// Returns when the recovery that is under way has waited for half a minute: asleep, with nothing done, and nobody of
/// its Postgres waiting for a disk. Only for one without a source: with one, WAL may yet come.
pub(super) async fn wait(site: &Site) {
    let mut first = None;
    let mut times = 0;
    while times <= SAMPLES {
        sleep(SAMPLE).await;
        // What cannot be seen tells nothing.
        let Ok(sample) = sample(site) else { continue };
        match sample {
            Sample::Asleep { pid, ticks } => match first {
                Some((of, then)) if of == pid && ticks <= then + IDLE => times += 1,
                Some(_) | None => (first, times) = (Some((pid, ticks)), 0),
            },
            Sample::Awake => (first, times) = (None, 0),
            Sample::DiskIsAwaited => {}
        }
    }
}

/// What the startup process is about.
enum Sample {
    /// It waits for something, and has had so many ticks of the processor in all.
    Asleep { pid: u32, ticks: u64 },
    /// It works, is stopped, or is not there.
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
        if title.starts_with("postgres: ") && what.starts_with("startup") && state == 'S' {
            found = Sample::Asleep { pid, ticks };
        }
    }
    Ok(found)
}
