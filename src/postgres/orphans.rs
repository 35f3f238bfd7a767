//! Tools of Postgres, and the operator's programs that restore a backup, that an agent left at work when it was killed:
//! found by what they were told to write to, and ended before anybody else touches it. Never one that works on
//! something else.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use super::error::JobError;
use super::jobs::SCAFFOLDS;
use super::jobs::restored::DIRECTORY;
use super::process::{self, Ended, Process, runs, scan_for};
use super::site::Site;

const TOOLS: [&str; 3] = ["initdb", "pg_basebackup", "pg_rewind"];

/// A process ends by SIGKILL at once, unless its disk hangs.
const PATIENCE: Duration = Duration::from_secs(5);

/// Ends all that there are.
///
/// # Errors
/// One of them lives on, and may write yet.
pub(super) async fn end(site: &Site) -> Result<(), JobError> {
    let option =
        |name: &str, path: &Path| [name.as_bytes(), path.as_os_str().as_encoded_bytes()].concat();
    let mut wanted = vec![option("--target-pgdata=", site.data())];
    wanted.extend(SCAFFOLDS.map(|suffix| option("--pgdata=", &site.beside(suffix))));
    let scaffolds = SCAFFOLDS.map(|suffix| site.beside(suffix));
    let restores = scaffolds.each_ref().map(|path| option(&format!("{DIRECTORY}="), path));
    let meant = |pid: u32| {
        runs(pid, &TOOLS) && is_told_one_of(pid, "cmdline", &wanted)
            || is_told_one_of(pid, "environ", &restores)
    };
    for pid in scan_for(meant).map_err(JobError::Signal)? {
        let Some(tool) = Process::hold_if(pid, meant).map_err(JobError::Signal)? else { continue };
        tracing::warn!(pid, "an earlier agent left a program at work on these data; ending it");
        tool.signal(Signal::KILL).map_err(JobError::Signal)?;
        if tool.ended_within(PATIENCE).await.map_err(JobError::Signal)? == Ended::NotYet {
            return Err(JobError::Refused(format!(
                "process {pid}, which an earlier agent left at work on these data, outlives SIGKILL; is its disk hung?"
            )));
        }
    }
    // A Postgres that recovers a backup.
    for scaffold in scaffolds {
        let ended = process::kill_all(&scaffold, PATIENCE).await.map_err(JobError::Signal)?;
        if ended == Ended::NotYet {
            let shown = scaffold.display();
            let why = format!("a Postgres in {shown} outlives SIGKILL; is its disk hung?");
            return Err(JobError::Refused(why));
        }
    }
    Ok(())
}

fn is_told_one_of(pid: u32, how: &str, wanted: &[Vec<u8>]) -> bool {
    let told = std::fs::read(format!("/proc/{pid}/{how}")).unwrap_or_default();
    told.split(|byte| *byte == 0).any(|arg| wanted.iter().any(|wanted| wanted == arg))
}
