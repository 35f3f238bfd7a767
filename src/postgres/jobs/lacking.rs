//! WAL that a rewind goes through and that is gone here: from before the fork, so that it is everybody's. Brought from
//! the archive or from the source; never in the place of what is there.

use haa_core::effect::Source;
use haa_core::line::Line;
use haa_core::units::Lsn;

use super::fetch::{Archived, put};
use crate::postgres::control::Control;
use crate::postgres::error::JobError;
use crate::postgres::segment::Segment;
use crate::postgres::site::Site;
use crate::postgres::{keepers, timeline};

/// The segment of ours that pg_rewind did not find, if it failed for that: `could not open file
/// "/data/pg_wal/000000010000000000000003": No such file or directory`.
pub(super) fn named_in(error: &JobError) -> Option<String> {
    let JobError::Tool { said, .. } = error else { return None };
    let mut opened = said.split("could not open file \"").skip(1);
    opened.find_map(|rest| {
        let (path, why) = rest.split_once('"')?;
        let name = path.rsplit_once("pg_wal/")?.1;
        let gone = why.starts_with(": No such file");
        (timeline::is_segment(name) && gone).then(|| name.to_owned())
    })
}

/// The segment of this name, and where its timeline began.
pub(super) fn named(site: &Site, name: &str) -> Result<Segment, JobError> {
    let read = || JobError::file("read", site.data());
    let size = Control::read(site.data()).map_err(read())?.segment_size;
    let unknown = || JobError::Refused(format!("{name} is not the name of a WAL segment"));
    let mut segment = Segment::named(name, size).ok_or_else(unknown)?;
    let forks = timeline::lineage(&site.pg_wal(), segment.timeline).map_err(read())?;
    segment.made_by = forks.last().copied();
    Ok(segment)
}

/// Brings it.
pub(super) async fn bring(site: &Site, source: &Source, segment: &Segment) -> Result<(), JobError> {
    let mut said = Vec::new();
    let from = std::slice::from_ref(source);
    match keepers::anywhere(site, from, segment, &mut said).await? {
        Some(file) => put(&site.pg_wal(), segment, (&file, Archived::There)),
        None => Err(JobError::Refused(format!(
            "the rewind needs the WAL segment {}, and nobody has it: {}",
            segment.name(),
            said.join("; ")
        ))),
    }
}

/// After a rewind: what recovery begins with may have been on neither side, or pg_rewind took it away because the
/// source does not have it.
pub(super) async fn complete(site: &Site, source: &Source) -> Result<(), JobError> {
    let read = || JobError::file("read", site.data());
    let label = match std::fs::read_to_string(site.data().join("backup_label")) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(read())?,
    };
    let Some(mut at) = begins_at(&label) else { return Ok(()) };
    let pg_wal = site.pg_wal();
    let size = Control::read(site.data()).map_err(read())?.segment_size;
    let newest = timeline::newest_real(&pg_wal).map_err(read())?;
    let forks = timeline::lineage(&pg_wal, newest).map_err(read())?;
    let line = Line { timeline: newest, forks };
    loop {
        let segment = Segment::of(&line, at, size);
        if pg_wal.join(segment.name()).exists() {
            return Ok(());
        }
        bring(site, source, &segment).await?;
        at = segment.end();
    }
}

/// From `START WAL LOCATION: 0/3000028 (file 000000020000000000000003)`.
fn begins_at(label: &str) -> Option<Lsn> {
    let line = label.lines().find_map(|line| line.strip_prefix("START WAL LOCATION: "))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_segment_that_pg_rewind_lacks_is_named_in_what_it_says() {
        let said = "pg_rewind: error: could not open file \"/d/pg_wal/000000020000000000000003\": \
                    No such file or directory | pg_rewind: error: could not find previous WAL \
                    record at 0/4000028";
        let failed = |said: &str| JobError::Tool { tool: "pg_rewind", said: said.to_owned() };
        assert_eq!(named_in(&failed(said)).as_deref(), Some("000000020000000000000003"));
        let other = "could not open file \"/d/global/pg_control\": No such file or directory";
        assert_eq!(named_in(&failed(other)), None);
    }

    #[test]
    fn a_label_says_where_recovery_begins() {
        let label = "START WAL LOCATION: 0/3000028 (file 000000020000000000000003)\nCHECKPOINT";
        assert_eq!(begins_at(label), Some(Lsn(0x300_0028)));
        assert_eq!(begins_at("nothing"), None);
    }
}
