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
use super::error::JobError;
use super::segment::{HEADER, LONG_HEADER, Segment};
use super::site::Site;
use super::timeline;
use super::tool::Tool;
use super::waldump;

/// The one that was seen last, and where one had ended that was stopped for it to tell.
#[derive(Default)]
pub(super) struct Known {
    mute: Mutex<Option<Mute>>,
    told: Mutex<Option<Lsn>>,
}

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
        let known = *self.mute.lock().unwrap_or_else(PoisonError::into_inner);
        known.filter(|mute| mute.postmaster == postmaster)
    }

    pub(super) fn is(&self, mute: Option<Mute>) {
        *self.mute.lock().unwrap_or_else(PoisonError::into_inner) = mute;
    }

    /// It was stopped in order when it had nothing left to replay.
    pub(super) fn stopped(&self, data: &Path) -> io::Result<()> {
        let end = Control::read(data)?.recovered;
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
        Ok(())
    }

    /// Once.
    pub(super) fn told(&self) -> Option<Lsn> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).take()
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

/// What can be told of where the WAL ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// All that is asked for is there, and ends here.
    At(Position),
    /// It ends with a file, or amid a record that goes on in the next: which of the two, Postgres says when it is
    /// stopped in order.
    WithAFile,
    /// Some is missing, or it cannot be told.
    Unknown,
}

/// Where all WAL ends that recovery has, which was seen asleep in the segment of this name, receives from nobody, and
/// lets nobody in. One that was stopped to tell has told.
///
/// # Errors
/// When files cannot be read.
pub(super) async fn end(site: &Site, asleep_in: &str, told: Option<Lsn>) -> Result<End, JobError> {
    let data = site.data();
    let read = || JobError::file("read", data);
    let control = Control::read(data).map_err(read())?;
    let Some(files) = Files::to(site, asleep_in, &control) else { return Ok(End::Unknown) };
    let lsn = match files.last_record(site).await? {
        Last::Begins(begin) => files.record(site, begin).await?.map(|record| record.end(&control)),
        // What it has replayed is not more than there is.
        Last::WithAFile if control.recovered == files.last.end() => Some(control.recovered),
        Last::WithAFile if told == Some(control.recovered) => told,
        Last::WithAFile => return Ok(End::WithAFile),
        Last::Unknown => None,
    };
    let lsn = lsn.filter(|lsn| !control.in_backup && *lsn >= control.recovered);
    let Some(lsn) = lsn else { return Ok(End::Unknown) };
    let timeline = timeline::owner(&site.pg_wal(), files.last.timeline, lsn).map_err(read())?;
    Ok(End::At(Position { timeline, lsn }))
}

/// The segments that the last record lies in.
struct Files {
    first: Segment,
    last: Segment,
    from: Lsn,
}

/// How the records of some files end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    /// The last whole one begins here, and what follows is none.
    Begins(Lsn),
    /// All that there is was read.
    WithAFile,
    Unknown,
}

impl Files {
    /// The one that recovery sleeps in, or waits for, and the one before, as far as they are there.
    fn to(site: &Site, asleep_in: &str, control: &Control) -> Option<Self> {
        let there = |segment: &Segment| site.pg_wal().join(segment.name()).exists();
        let asleep = Segment::named(asleep_in, control.segment_size)?;
        let before = asleep.begin.0.checked_sub(asleep.size);
        let before = before.map(|begin| Segment { begin: Lsn(begin), ..asleep });
        let before = before.filter(there);
        let last = Some(asleep).filter(there).or(before)?;
        let first = before.filter(|before| before.end() > control.redo).unwrap_or(last);
        Some(Self { first, last, from: first.begin.max(control.redo) })
    }

    fn reader(&self, site: &Site, from: (Lsn, Segment)) -> Tool {
        let (from, first) = from;
        let tool = waldump::reader(site, &site.pg_wal(), (self.last.timeline, from));
        tool.arg(first.name()).arg(self.last.name())
    }

    /// What is shown are records that hold no text of anybody's: none can pass for a complaint.
    async fn last_record(&self, site: &Site) -> Result<Last, JobError> {
        let mut last = Last::Unknown;
        let tool = self.reader(site, (self.from, self.first)).arg("--rmgr=CommitTs");
        let ended = tool.run(|line| last = last_begin(line).map_or(last, Last::Begins)).await;
        match ended {
            Ok(_) => Ok(Last::WithAFile),
            Err(JobError::Tool { said, .. }) => {
                tracing::debug!(said, "where the WAL ends");
                Ok(last)
            }
            Err(error) => Err(error),
        }
    }

    /// The one that begins here: the first line is its own, whatever text it holds.
    async fn record(&self, site: &Site, begin: Lsn) -> Result<Option<Record>, JobError> {
        let within = [self.first, self.last];
        let Some(file) = within.into_iter().find(|file| (file.begin..file.end()).contains(&begin))
        else {
            return Ok(None);
        };
        let mut first: Option<Option<Record>> = None;
        let tool = self.reader(site, (begin, file)).arg("--limit=1");
        tool.run(|line| _ = first.get_or_insert_with(|| Record::read(line))).await?;
        Ok(first.flatten().filter(|record| record.begin == begin))
    }
}

/// From `pg_waldump: error: error in WAL record at 0/1516D80: ...`: where the last whole record begins.
fn last_begin(line: &str) -> Option<Lsn> {
    waldump::complaint(line)?.split(':').next()?.parse().ok()
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
        let complains = "pg_waldump: error: error in WAL record at 0/1516D80: invalid record length at 0/1516F58";
        assert_eq!((last_begin(complains), Record::read(complains)), (Some(begin), None));
        assert_eq!(
            last_begin("pg_waldump: fatal: could not find file \"000000010000000000000002\""),
            None
        );
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
