//! Recovery that waits for WAL which is not there and which nobody sends: seen, and remembered for these very data.
//! Never gives them up.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use tokio::time::sleep;

use super::files;
use super::process;
use super::site::Site;

/// Names the data directory that it is about by its inode.
const MARK: &str = "haa.starved";

const SAMPLE: Duration = Duration::from_secs(1);
/// So many samples in a row. Postgres itself looks for a file again every 5 s (`wal_retrieve_retry_interval`).
const SAMPLES: u32 = 30;
/// Of the processor, in hundredths of a second, in all of them together. Recovery that replays something takes more.
const IDLE: u64 = 10;

/// Returns when the recovery that is under way has waited for half a minute: asleep, with nothing done, and nobody of
/// its Postgres waiting for a disk. Only for one without a source: with one, WAL may yet come.
pub(super) async fn wait(site: &Site) -> io::Result<()> {
    let mut first = None;
    let mut times = 0;
    while times <= SAMPLES {
        sleep(SAMPLE).await;
        match sample(site)? {
            Sample::Asleep { pid, ticks } => match first {
                Some((of, then)) if of == pid && ticks <= then + IDLE => times += 1,
                Some(_) | None => (first, times) = (Some((pid, ticks)), 0),
            },
            Sample::Awake => (first, times) = (None, 0),
            Sample::DiskIsAwaited => {}
        }
    }
    Ok(())
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

/// From now on these data need somebody who has what they lack.
pub(super) fn mark(site: &Site) -> io::Result<()> {
    let inode = std::fs::metadata(site.data())?.ino();
    files::write_private(&site.state(MARK), format!("{inode}\n"))
}

/// Whether recovery of these data was seen to wait in vain.
pub(super) fn is_marked(site: &Site) -> io::Result<bool> {
    match std::fs::read_to_string(site.state(MARK)) {
        Ok(inode) => Ok(inode.trim() == std::fs::metadata(site.data())?.ino().to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
