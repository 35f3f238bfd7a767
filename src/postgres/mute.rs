//! A standby that has replayed all that it has and lets nobody in, haad no more than clients: where its WAL ends is
//! read from its files. Never asks it.
//!
//! A transaction with more than 64 subtransactions was open at its last checkpoint. Until Postgres hears of a moment
//! without one, its snapshot is pending (`STANDBY_SNAPSHOT_PENDING` in procarray.c), and a standby that receives from
//! nobody hears of none: not when it is started again either. It can be promoted, and it can be started with a source.

use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use haa_core::observe::{Door, Standby};
use haa_core::units::{Lsn, Position};

use super::control::Control;
use super::error::{JobError, sentence};
use super::segment::{HEADER, LONG_HEADER, Segment};
use super::site::Site;
use super::timeline;
use super::tool::Tool;

/// The one that was seen last.
#[derive(Default)]
pub(super) struct Known(Mutex<Option<Mute>>);

/// Such a standby.
#[derive(Clone, Copy)]
pub(super) struct Mute {
    /// The process id of its postmaster.
    pub(super) postmaster: u32,
    pub(super) end: Position,
    pub(super) door: Door,
}

impl Known {
    /// If this postmaster is one's.
    pub(super) fn of(&self, postmaster: u32) -> Option<Mute> {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.filter(|mute| mute.postmaster == postmaster)
    }

    pub(super) fn is(&self, mute: Option<Mute>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = mute;
    }
}

/// What a look at it finds.
pub(super) fn look(site: &Site, mute: Mute) -> io::Result<Standby> {
    let pg_wal = site.pg_wal();
    let Mute { end, door, .. } = mute;
    let started_unix_ms = started(site.data());
    let segment_size = Control::read(site.data())?.segment_size;
    Ok(Standby {
        position: end,
        lineage: timeline::lineage(&pg_wal, end.timeline)?,
        ahead: timeline::ahead(&pg_wal, end)?,
        replayed: end.lsn,
        replay_age_ms: None,
        source: None,
        detached: true,
        mute: true,
        streaming: false,
        dry: false,
        paused: false,
        door: Some(door),
        sessions: Some(0),
        oldest: site.oldest.of(started_unix_ms, &pg_wal, segment_size)?,
        started_unix_ms,
    })
}

/// The third line of `postmaster.pid`, in seconds; 0 without one.
fn started(data: &Path) -> u64 {
    let text = std::fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let seconds = text.lines().nth(2).and_then(|line| line.trim().parse::<u64>().ok());
    seconds.unwrap_or_default().saturating_mul(1_000)
}

/// Where all WAL ends that recovery has, which was seen asleep in the segment of this name, receives from nobody, and
/// lets nobody in; `None` where something is missing before the data are consistent, or that cannot be known.
///
/// # Errors
/// When files cannot be read.
pub(super) async fn end(site: &Site, asleep_in: &str) -> Result<Option<Position>, JobError> {
    let (data, pg_wal) = (site.data(), site.pg_wal());
    let read = || JobError::file("read", data);
    let control = Control::read(data).map_err(read())?;
    let Some(last) = Segment::named(asleep_in, control.segment_size) else { return Ok(None) };
    // The last record may lie before it.
    let before =
        last.begin.0.checked_sub(last.size).map(|begin| Segment { begin: Lsn(begin), ..last });
    let first =
        before.filter(|before| before.end() > control.redo && pg_wal.join(before.name()).exists());
    let first = first.unwrap_or(last);
    let from = first.begin.max(control.redo);
    let mut record = None;
    let tool = Tool::new(site, "pg_waldump")
        .path("--path=", &pg_wal)
        .arg(format!("--timeline={}", last.timeline))
        .arg(format!("--start={from}"))
        .arg(first.name())
        .arg(last.name());
    // It ends with an error, where there are no more.
    if let Err(error) = tool.run(|line| record = Record::read(line).or(record)).await
        && record.is_none()
    {
        tracing::debug!(error = %sentence(&error), "where the WAL ends cannot be seen");
    }
    let Some(lsn) = record.map(|record: Record| record.end(&control)) else { return Ok(None) };
    let consistent = !control.in_backup && lsn >= control.recovered;
    let timeline = timeline::owner(&pg_wal, last.timeline, lsn).map_err(read())?;
    Ok(consistent.then_some(Position { timeline, lsn }))
}

/// One record of the WAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record {
    begin: Lsn,
    bytes: u64,
    /// The rest of its segment is empty.
    switches: bool,
}

impl Record {
    /// From a line of pg_waldump's.
    fn read(line: &str) -> Option<Self> {
        let (head, what) = line.split_once(", desc: ")?;
        let (_, lengths) = head.split_once("len (rec/tot):")?;
        let bytes = lengths.split_once('/')?.1.split(',').next()?.trim().parse().ok()?;
        let begin = head.split_once(", lsn: ")?.1.split(',').next()?.trim().parse().ok()?;
        let switches = head.starts_with("rmgr: XLOG ") && what.starts_with("SWITCH");
        Some(Self { begin, bytes, switches })
    }

    /// Where the next one begins, as Postgres counts: `pg_last_wal_replay_lsn()` after it. Each page that it goes on in
    /// has a header.
    fn end(&self, control: &Control) -> Lsn {
        let Control { page_size, segment_size, .. } = *control;
        let (mut at, mut left) = (self.begin.0, self.bytes);
        loop {
            let room = page_size - at % page_size;
            if left <= room {
                break;
            }
            left -= room;
            at += room;
            at += if at % segment_size == 0 { LONG_HEADER } else { HEADER } as u64;
        }
        let end = (at + left).next_multiple_of(8);
        Lsn(if self.switches { end.next_multiple_of(segment_size) } else { end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::waldump::tests::LINES;

    fn control() -> Control {
        let mut bytes = vec![0; 8192];
        bytes[8..12].copy_from_slice(&1300_u32.to_ne_bytes());
        bytes[224..228].copy_from_slice(&8192_u32.to_ne_bytes());
        bytes[228..232].copy_from_slice(&(16_u32 << 20).to_ne_bytes());
        Control::parse(&bytes).expect("it is plausible")
    }

    #[test]
    fn the_last_record_says_where_the_wal_ends() {
        let last = LINES.lines().rev().find_map(Record::read).expect("a record");
        let begin = Lsn(0x151_6D80);
        assert_eq!(last, Record { begin, bytes: 469, switches: false });
        // As its pg_waldump goes on: invalid record length at 0/1516F58.
        assert_eq!(last.end(&control()), Lsn(0x151_6F58));
        assert_eq!(Record::read("pg_waldump: error: error in WAL record at 0/1"), None);
    }

    #[test]
    fn headers_of_pages_are_counted_and_a_switch_ends_a_segment() {
        let end =
            |begin, bytes, switches| Record { begin: Lsn(begin), bytes, switches }.end(&control());
        // As PostgreSQL 15 has put two: lsn 0/0153D610 with 6589 bytes, the next at 0/0153EFE8 ...
        assert_eq!(end(0x153_D610, 6_589, false), Lsn(0x153_EFE8));
        // ... and this one ends with its page.
        assert_eq!(end(0x153_FF00, 0x100, false), Lsn(0x154_0000));
        assert_eq!(end(0x153_FF00, 0x101, false), Lsn(0x154_0000 + 24 + 8));
        assert_eq!(end(0x1FF_FF00, 0x101, false), Lsn(0x200_0000 + 40 + 8));
        assert_eq!(end(0x153_0028, 24, true), Lsn(0x200_0000));
        let line = "rmgr: XLOG        len (rec/tot):     24/    24, tx:          0, lsn: 0/01530028, \
                    prev 0/01530000, desc: SWITCH ";
        assert!(Record::read(line).is_some_and(|record| record.switches));
    }
}
