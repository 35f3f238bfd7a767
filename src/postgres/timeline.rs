//! Timelines as `pg_wal` shows them: history files, stubs that reserve numbers, segments and whose they are.
//! Never touches a file that Postgres wrote.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use haa_core::effect::Begin;
use haa_core::line::{Fork, Line, STEPS};
use haa_core::units::{Lsn, Position, Timeline};
use rustix::fs::{FallocateFlags, fallocate};

use super::control::Control;
use super::process::remove_if_there;
use super::segment::Segment;

/// First line of a stub: the number is skipped, so that the next promotion takes a later one.
pub(super) const STUB: &str = "# reserved by haa";

/// Less than a page of WAL; its header is in the beginning.
const PAGE: u64 = 512;

fn history_path(pg_wal: &Path, timeline: Timeline) -> PathBuf {
    pg_wal.join(format!("{:08X}.history", timeline.0))
}

/// The ancestry of `timeline`, oldest first, the newest 64 steps; empty without a history file.
pub(super) fn lineage(pg_wal: &Path, timeline: Timeline) -> io::Result<Vec<Fork>> {
    let text = match std::fs::read_to_string(history_path(pg_wal, timeline)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut forks = parse_history(&text);
    forks.drain(..forks.len().saturating_sub(STEPS));
    Ok(forks)
}

/// The newest timeline that is real, with its ancestry.
pub(super) fn line(pg_wal: &Path) -> io::Result<Line> {
    let timeline = newest_real(pg_wal)?;
    Ok(Line { timeline, forks: lineage(pg_wal, timeline)? })
}

pub(super) fn parse_history(text: &str) -> Vec<Fork> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let timeline = Timeline(words.next()?.parse().ok()?);
            Some(Fork { timeline, lsn: words.next()?.parse().ok()? })
        })
        .collect()
}

/// The timeline that the record which ends at `lsn` belongs to, seen from `newest`. A segment of a new
/// timeline begins with a copy of the old one's bytes, so the file name alone says too much.
pub(super) fn owner(pg_wal: &Path, newest: Timeline, lsn: Lsn) -> io::Result<Timeline> {
    let forks = lineage(pg_wal, newest)?;
    Ok(forks.iter().find(|fork| lsn <= fork.lsn).map_or(newest, |fork| fork.timeline))
}

/// The highest timeline with a file for the segment in which the record that ends at `lsn` ends.
pub(super) fn newest_with(
    pg_wal: &Path,
    segment_size: u64,
    lsn: Lsn,
) -> io::Result<Option<Timeline>> {
    let segment = lsn.0.saturating_sub(1) / segment_size;
    let per_id = (1_u64 << 32) / segment_size;
    let tail = format!("{:08X}{:08X}", segment / per_id, segment % per_id);
    let timelines = names(pg_wal)?.into_iter().filter_map(|name| {
        let timeline = name.strip_suffix(&tail)?;
        let timeline = Timeline(u32::from_str_radix(timeline, 16).ok()?);
        // A timeline that came to nothing leaves a segment without a history, or with a stub: nobody can recover
        // along it.
        let real = timeline == Timeline(1)
            || lineage(pg_wal, timeline).is_ok_and(|forks| !forks.is_empty());
        real.then_some(timeline)
    });
    Ok(timelines.max())
}

/// Whether the segment in which the record that begins at `lsn` begins is there, of any timeline.
pub(super) fn has_segment(pg_wal: &Path, segment_size: u64, lsn: Lsn) -> io::Result<bool> {
    let wanted = segment(segment_size, (Timeline(0), lsn));
    Ok(names(pg_wal)?.iter().any(|name| is_segment(name) && name[8..] == wanted[8..]))
}

/// The WAL segments of `timeline` from the one with `lsn` on.
pub(super) fn segments_from(
    pg_wal: &Path,
    segment_size: u64,
    from: (Timeline, Lsn),
) -> io::Result<Vec<String>> {
    let first = segment(segment_size, from);
    let mine = |name: &String| is_segment(name) && name[..8] == first[..8] && *name >= first;
    Ok(names(pg_wal)?.into_iter().filter(mine).collect())
}

/// The first segment of `timeline` that is missing between the one with `from` and the last that is there; that one
/// itself, if none is.
pub(super) fn first_gap(
    pg_wal: &Path,
    segment_size: u64,
    from: (Timeline, Lsn),
) -> io::Result<Option<String>> {
    let there: BTreeSet<String> = segments_from(pg_wal, segment_size, from)?.into_iter().collect();
    let wanted = (0..there.len().max(1) as u64).map(|number| {
        let lsn = Lsn(from.1.0.saturating_add(number.saturating_mul(segment_size)));
        segment(segment_size, (from.0, lsn))
    });
    Ok(wanted.into_iter().find(|name| !there.contains(name)))
}

/// The newest timeline with WAL here that left `fork`'s at or behind it, or that timeline.
pub(super) fn newest_after(pg_wal: &Path, fork: Fork) -> io::Result<Timeline> {
    let mut newest = fork.timeline;
    for name in names(pg_wal)?.iter().filter(|name| is_segment(name)) {
        let Ok(timeline) = u32::from_str_radix(&name[..8], 16).map(Timeline) else { continue };
        if timeline > newest {
            let steps = lineage(pg_wal, timeline)?;
            let of_it = |step: &Fork| step.timeline == fork.timeline && step.lsn >= fork.lsn;
            newest = if steps.iter().any(of_it) { timeline } else { newest };
        }
    }
    Ok(newest)
}

/// Where the first segment begins that is there, of any timeline.
pub(super) fn oldest(pg_wal: &Path, segment_size: u64) -> io::Result<Option<Lsn>> {
    let begin = |name: String| Some(Segment::named(&name, segment_size)?.begin);
    Ok(names(pg_wal)?.into_iter().filter_map(begin).min())
}

/// The name of the segment of `timeline` that `lsn` lies in.
pub(super) fn segment(segment_size: u64, (timeline, lsn): (Timeline, Lsn)) -> String {
    let segment = lsn.0 / segment_size;
    let per_id = (1_u64 << 32) / segment_size;
    format!("{:08X}{:08X}{:08X}", timeline.0, segment / per_id, segment % per_id)
}

/// Makes an empty first segment for a timeline that is about to be received, as the WAL receiver would, but without
/// writing it full of zeros: that would be a third of a failover. Beside it the stubs of the numbers that were left out
/// before it: the receiver would fetch each, and sync it.
///
/// Only for a timeline that this member has not followed yet: the receiver fetches its history before anything else,
/// and later the first segment may have been recycled.
pub(super) fn make_room(data: &Path, pg_wal: &Path, begin: Begin) -> io::Result<()> {
    let size = Control::read(data)?.segment_size;
    let path = pg_wal.join(segment(size, (begin.timeline, begin.lsn)));
    if path.exists() || history_path(pg_wal, begin.timeline).exists() {
        return Ok(());
    }
    // A start of Postgres removes what begins so.
    let new = pg_wal.join("xlogtemp.haa");
    remove_if_there(&new)?;
    let made = allocate(&new, size);
    // Unlike a rename, a link takes no other's place.
    let linked = made.and_then(|()| std::fs::hard_link(&new, &path));
    remove_if_there(&new)?;
    linked?;
    File::open(pg_wal)?.sync_all()?;
    // It leaves the timeline that we are on: what lies between them has no WAL.
    fill(pg_wal, newest_real(pg_wal)?, begin.timeline)
}

fn allocate(path: &Path, size: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    fallocate(&file, FallocateFlags::empty(), 0, size)?;
    file.sync_all()
}

/// Removes the segments of [`make_room`] that nothing was ever received into: their first page, which a receiver writes
/// first, is empty, and their timeline has no history here, or an older timeline has WAL for the same place. The former
/// Postgres would archive in the place of true ones, the latter it would replay in the place of the older.
pub(super) fn remove_unwritten(pg_wal: &Path) -> io::Result<()> {
    let mut names = names(pg_wal)?;
    names.retain(|name| is_segment(name));
    names.sort();
    let mut written: BTreeSet<String> = BTreeSet::new();
    for name in names {
        let (timeline, place) = (&name[..8], name[8..].to_owned());
        let path = pg_wal.join(&name);
        if !is_unwritten(&path)? {
            written.insert(place);
            continue;
        }
        let followed =
            timeline == "00000001" || pg_wal.join(format!("{timeline}.history")).exists();
        if !followed || written.contains(&place) {
            std::fs::remove_file(&path)?;
            tracing::info!(name, "removed an empty WAL segment that stood in the way of another");
        }
    }
    Ok(())
}

pub(super) fn is_unwritten(path: &Path) -> io::Result<bool> {
    let mut first = Vec::new();
    File::open(path)?.take(PAGE).read_to_end(&mut first)?;
    Ok(first.len() as u64 == PAGE && first.iter().all(|byte| *byte == 0))
}

/// Whether a file of this name is a whole segment's.
pub(super) fn is_segment(name: &str) -> bool {
    name.len() == 24 && name.bytes().all(|b| b.is_ascii_hexdigit())
}

fn names(pg_wal: &Path) -> io::Result<Vec<String>> {
    let entries = std::fs::read_dir(pg_wal)?;
    entries
        .filter_map(|entry| entry.map(|entry| entry.file_name().into_string().ok()).transpose())
        .collect()
}

/// Makes a history file for each number from 2 to below `end` that has none: the true one for an ancestor
/// of `current`, a stub for any other. A promotion takes the first number without a file; and a follower
/// fetches the file of every number between its own timeline and ours, which a clone does not have.
///
/// A stub names no ancestor: then no standby takes it for a timeline that it could go to.
pub(super) fn fill(pg_wal: &Path, current: Timeline, end: Timeline) -> io::Result<()> {
    let forks = lineage(pg_wal, current)?;
    for number in (2..end.0).map(Timeline) {
        let path = history_path(pg_wal, number);
        if !is_lost(&path)? {
            continue;
        }
        let ancestor = forks.iter().any(|fork| fork.timeline == number);
        let older = forks.iter().take_while(|fork| fork.timeline < number);
        let text = match ancestor {
            true => steps(older, "as in a later history"),
            false => format!("{STUB}\n"),
        };
        // Not synced: this is on the way to a failover, and a start fills the gaps anew.
        put_history(&path, &text)?;
    }
    Ok(())
}

fn steps<'a>(forks: impl IntoIterator<Item = &'a Fork>, why: &str) -> String {
    let step = |fork: &Fork| format!("{}\t{}\t{why}\n", fork.timeline, fork.lsn);
    forks.into_iter().map(step).collect()
}

/// Whole, or not at all; not synced.
fn put_history(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("history.haa");
    std::fs::write(&new, text)?;
    std::fs::rename(&new, path)
}

/// Tells a standby that receives from nobody of a timeline whose WAL it is about to be brought, and of those before it,
/// unless it knows of it.
pub(super) fn tell(pg_wal: &Path, line: &Line) -> io::Result<()> {
    let path = history_path(pg_wal, line.timeline);
    if line.forks.is_empty() || !is_lost(&path)? {
        return Ok(());
    }
    put_history(&path, &steps(&line.forks, "as the leader says"))?;
    fill(pg_wal, line.timeline, line.timeline)
}

/// It is not there, or was not on disk yet when power was lost: then it is there and empty.
fn is_lost(path: &Path) -> io::Result<bool> {
    match std::fs::read(path) {
        Ok(text) => Ok(text.iter().all(|byte| *byte == 0)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// The highest timeline with a history file that is no stub; 1 without any.
pub(super) fn newest_real(pg_wal: &Path) -> io::Result<Timeline> {
    Ok(histories(pg_wal)?.1)
}

/// The newer timelines that leave this one at or behind a position of it, and whose history is here.
pub(super) fn ahead(pg_wal: &Path, end: Position) -> io::Result<Vec<Line>> {
    let mut ahead = Vec::new();
    for name in names(pg_wal)? {
        let Some(number) = name.strip_suffix(".history") else { continue };
        let timeline = u32::from_str_radix(number, 16).map_or(Timeline(0), Timeline);
        if timeline > end.timeline {
            let forks = lineage(pg_wal, timeline)?;
            let leaves = |fork: &Fork| fork.timeline == end.timeline && fork.lsn >= end.lsn;
            if forks.iter().any(leaves) {
                ahead.push(Line { timeline, forks });
            }
        }
    }
    Ok(ahead)
}

/// Removes the history of a timeline that is not to be recovered along.
pub(super) fn forget(pg_wal: &Path, timeline: Timeline) -> io::Result<()> {
    std::fs::remove_file(history_path(pg_wal, timeline))
}

/// Removes stubs above the newest timeline that is real: their promotion did not happen, and Postgres
/// would refuse to start with them. Returns what was removed.
pub(super) fn remove_stubs(pg_wal: &Path) -> io::Result<Vec<Timeline>> {
    let (mut stubs, newest) = histories(pg_wal)?;
    stubs.retain(|stub| *stub > newest);
    for stub in &stubs {
        std::fs::remove_file(history_path(pg_wal, *stub))?;
    }
    Ok(stubs)
}

/// The stubs, and the newest timeline that is real.
fn histories(pg_wal: &Path) -> io::Result<(Vec<Timeline>, Timeline)> {
    let mut stubs = Vec::new();
    let mut newest = Timeline(1);
    for name in names(pg_wal)? {
        let Some(number) = name.strip_suffix(".history") else { continue };
        let Ok(number) = u32::from_str_radix(number, 16) else { continue };
        // A stub whose contents power took is one still: Postgres would take it for a timeline without a past, and wait
        // for WAL of it for ever.
        if parse_history(&std::fs::read_to_string(pg_wal.join(&name))?).is_empty() {
            stubs.push(Timeline(number));
        } else {
            newest = newest.max(Timeline(number));
        }
    }
    Ok((stubs, newest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(directory: &Path, name: &str, text: &str) {
        std::fs::write(directory.join(name), text).expect("a temporary file");
    }

    #[test]
    fn a_position_belongs_to_the_timeline_of_its_record() {
        let pg_wal = tempfile::tempdir().expect("a temporary directory");
        let pg_wal = pg_wal.path();
        touch(pg_wal, "000000010000000000000003", "");
        touch(pg_wal, "000000050000000000000003", "");
        touch(pg_wal, "00000005.history", "1\t0/3000100\tno recovery target specified\n");
        let newest = newest_with(pg_wal, 1 << 24, Lsn(0x300_0100)).expect("readable");
        assert_eq!(newest, Some(Timeline(5)));
        let owner = |lsn| owner(pg_wal, Timeline(5), Lsn(lsn)).expect("readable");
        assert_eq!(owner(0x300_0100), Timeline(1));
        assert_eq!(owner(0x300_0101), Timeline(5));
        let none = newest_with(pg_wal, 1 << 24, Lsn(0x400_0001)).expect("readable");
        assert_eq!(none, None);
    }

    #[test]
    fn what_lies_ahead_leaves_this_timeline_at_its_end_or_later() {
        let pg_wal = tempfile::tempdir().expect("a temporary directory");
        let pg_wal = pg_wal.path();
        touch(pg_wal, "00000003.history", STUB);
        touch(pg_wal, "00000005.history", "2\t0/3000100\tx\n");
        touch(pg_wal, "00000007.history", "2\t0/3000100\tx\n5\t0/3000200\tx\n");
        touch(pg_wal, "00000009.history", "2\t0/30000FF\tx\n");
        let ahead = |timeline, lsn| {
            let end = Position { timeline: Timeline(timeline), lsn: Lsn(lsn) };
            let ahead = ahead(pg_wal, end).expect("readable");
            let mut ahead: Vec<u32> = ahead.iter().map(|line| line.timeline.0).collect();
            ahead.sort_unstable();
            ahead
        };
        assert_eq!(ahead(2, 0x300_0100), [5, 7]);
        assert_eq!(ahead(5, 0x300_0150), [7]);
        assert_eq!(ahead(7, 0x300_0150), [0; 0]);
        assert_eq!(ahead(2, 0x300_0101), [0; 0]);
    }

    #[test]
    fn only_stubs_above_the_newest_real_timeline_go() {
        let pg_wal = tempfile::tempdir().expect("a temporary directory");
        let pg_wal = pg_wal.path();
        fill(pg_wal, Timeline(1), Timeline(4)).expect("writable");
        touch(pg_wal, "00000004.history", "1\t0/3000100\tno recovery target specified\n");
        fill(pg_wal, Timeline(4), Timeline(6)).expect("writable");
        touch(pg_wal, "00000006.history", "");
        assert_eq!(remove_stubs(pg_wal).expect("writable"), [Timeline(5), Timeline(6)]);
        touch(pg_wal, "00000003.history", "");
        touch(pg_wal, "00000002.history", "\0\0");
        fill(pg_wal, Timeline(4), Timeline(4)).expect("writable");
        for lost in ["00000002.history", "00000003.history"] {
            let text = std::fs::read_to_string(pg_wal.join(lost)).expect("it is there");
            assert!(text.starts_with(STUB), "{text}");
        }
        assert!(pg_wal.join("00000003.history").exists());
        assert_eq!(newest_real(pg_wal).expect("readable"), Timeline(4));
    }

    #[test]
    fn a_gap_in_the_ancestry_is_filled_with_the_truth() {
        let pg_wal = tempfile::tempdir().expect("a temporary directory");
        let pg_wal = pg_wal.path();
        touch(pg_wal, "00000004.history", "1\t0/3000100\tx\n2\t0/3000200\tx\n");
        fill(pg_wal, Timeline(4), Timeline(4)).expect("writable");
        let forks = lineage(pg_wal, Timeline(2)).expect("readable");
        assert_eq!(forks, [Fork { timeline: Timeline(1), lsn: Lsn(0x300_0100) }]);
        assert_eq!(remove_stubs(pg_wal).expect("writable"), []);
        assert!(lineage(pg_wal, Timeline(3)).expect("readable").is_empty());
    }

    #[test]
    fn the_segment_that_recovery_begins_in_is_there_or_not() {
        let pg_wal = tempfile::tempdir().expect("a temporary directory");
        let pg_wal = pg_wal.path();
        touch(pg_wal, "000000020000000100000004", "");
        let there = |lsn| has_segment(pg_wal, 1 << 24, Lsn(lsn)).expect("readable");
        assert!(there(0x1_0400_0028));
        assert!(!there(0x1_0300_0028) && !there(0x1_0500_0000));
    }

    #[test]
    fn an_empty_segment_does_not_stand_before_wal_of_an_older_timeline() {
        let pg_wal = tempfile::tempdir().expect("a temporary directory");
        let pg_wal = pg_wal.path();
        touch(pg_wal, "00000005.history", "3\t0/40CDA78\tx\n");
        touch(pg_wal, "000000030000000000000004", &"WAL!".repeat(128));
        touch(pg_wal, "000000050000000000000004", &"\0".repeat(512));
        touch(pg_wal, "000000050000000000000005", &"\0".repeat(512));
        remove_unwritten(pg_wal).expect("writable");
        assert!(!pg_wal.join("000000050000000000000004").exists());
        assert!(pg_wal.join("000000030000000000000004").exists());
        assert!(pg_wal.join("000000050000000000000005").exists(), "made ready for later");
    }

    #[test]
    fn only_segments_that_nobody_followed_and_nothing_was_received_into_go() {
        let pg_wal = tempfile::tempdir().expect("a temporary directory");
        let pg_wal = pg_wal.path();
        let empty = "\0".repeat(512);
        touch(pg_wal, "00000004.history", "1\t0/3000100\tx\n");
        let stay = ["000000010000000000000003", "000000040000000000000003"];
        for name in stay {
            touch(pg_wal, name, &empty);
        }
        touch(pg_wal, "000000050000000000000003", &"WAL!".repeat(128));
        touch(pg_wal, "000000060000000000000003", &empty);
        touch(pg_wal, "000000070000000000000003", "");
        remove_unwritten(pg_wal).expect("a short file is no reason to stop");
        let mut left = names(pg_wal).expect("readable");
        left.retain(|name| is_segment(name));
        left.sort();
        assert_eq!(
            left,
            [stay[0], stay[1], "000000050000000000000003", "000000070000000000000003"]
        );
    }
}
