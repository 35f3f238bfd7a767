//! Histories of timelines of which no record is here. Postgres would be bound for such a timeline at its start, and
//! whoever is no part of it would refuse to send it anything. Removes no WAL.

use haa_core::units::{Lsn, Timeline};

use super::control::Control;
use super::error::JobError;
use super::site::Site;
use super::{timeline, waldump};

/// Removes them before a start. Whoever is on such a timeline sends its history again, before anything of it.
///
/// Where it cannot be known whether there is a record, they stay.
pub(super) async fn forget(site: &Site, control: &Control) -> Result<(), JobError> {
    let pg_wal = site.pg_wal();
    let read = || JobError::file("read", &pg_wal);
    let reached = control.checkpoint.timeline.max(control.recovered_on);
    // A copy begins where its label says, and what came with it tells how to get on from there.
    if site.data().join("backup_label").exists() {
        return Ok(());
    }
    loop {
        let newest = timeline::newest_real(&pg_wal).map_err(read())?;
        if newest <= reached || has_record(site, control, newest).await? {
            return Ok(());
        }
        timeline::forget(&pg_wal, newest).map_err(JobError::file("write into", &pg_wal))?;
        tracing::info!(%newest, "removed the history of a timeline of which nothing was received");
    }
}

/// Whether there is a whole record of it. Its first segment begins with a copy of what was before.
async fn has_record(site: &Site, control: &Control, timeline: Timeline) -> Result<bool, JobError> {
    let pg_wal = site.pg_wal();
    let read = || JobError::file("read", &pg_wal);
    let forks = timeline::lineage(&pg_wal, timeline).map_err(read())?;
    let Some(fork) = forks.last().map(|fork| fork.lsn) else { return Ok(true) };
    let all = timeline::segments_from(&pg_wal, control.segment_size, (timeline, Lsn(0)));
    let all = all.map_err(read())?;
    let first = timeline::segment(control.segment_size, (timeline, fork));
    if !all.contains(&first) {
        return Ok(!all.is_empty());
    }
    // Made ready, and nothing was received into it.
    if timeline::is_unwritten(&pg_wal.join(&first)).map_err(read())? {
        return Ok(false);
    }
    match waldump::has_record(site, &pg_wal, (timeline, fork), &first).await {
        Ok(has) => Ok(has),
        Err(why) => {
            tracing::warn!(%timeline, why, "it is not known whether anything of it was received");
            Ok(true)
        }
    }
}
