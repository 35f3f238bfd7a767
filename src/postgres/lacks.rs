//! WAL that recovery needs before the data are consistent and that is not in `pg_wal`. Only looks; brings nothing.

use std::collections::BTreeSet;
use std::io;

use haa_core::units::{Lsn, Position, Timeline};

use super::control::Control;
use super::site::Site;
use super::timeline;

/// Where the first of it begins. `before` was read before this is asked: a server that runs goes on meanwhile.
pub(super) fn first(site: &Site, before: &Control) -> io::Result<Option<Lsn>> {
    let there = timeline::segments(&site.pg_wal(), before.segment_size)?;
    let begin = match labelled(site)? {
        Some(begin) => begin,
        None => Control::read(site.data())?.redo,
    };
    let end = Position { timeline: before.recovered_on, lsn: before.recovered };
    Ok(missing(&there, before.segment_size, (begin, end)))
}

/// Where recovery of a copy begins, if these data are one that was not started yet.
pub(super) fn labelled(site: &Site) -> io::Result<Option<Lsn>> {
    match std::fs::read_to_string(site.data().join("backup_label")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => Ok(begins_at(&read?)),
    }
}

/// From `START WAL LOCATION: 0/3000028 (file 000000020000000000000003)`.
fn begins_at(label: &str) -> Option<Lsn> {
    let line = label.lines().find_map(|line| line.strip_prefix("START WAL LOCATION: "))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The first record is needed in any case. Up to where its timeline was left, an older one's segment serves as well;
/// but it is known on which one the data become consistent.
fn missing(
    there: &BTreeSet<(Lsn, Timeline)>,
    size: u64,
    (begin, end): (Lsn, Position),
) -> Option<Lsn> {
    let of = |lsn: Lsn| lsn.0 / size * size;
    let last = Lsn(end.lsn.0.saturating_sub(1));
    let mut needed =
        (of(begin)..=of(last.max(begin))).step_by(usize::try_from(size).ok()?).map(Lsn);
    needed.find(|at| {
        let known = last >= begin && at.0 == of(last);
        let mut all = there.range((*at, Timeline(0))..=(*at, Timeline(u32::MAX)));
        !all.any(|(_, timeline)| !known || *timeline == end.timeline)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_says_where_recovery_begins() {
        let label = "START WAL LOCATION: 0/3000028 (file 000000020000000000000003)\nCHECKPOINT";
        assert_eq!(begins_at(label), Some(Lsn(0x300_0028)));
        assert_eq!(begins_at("nothing"), None);
    }

    #[test]
    fn what_is_missing_lies_between_the_beginning_and_consistency() {
        let segments = [(0x30, 2), (0x40, 2), (0x40, 3), (0x60, 3)];
        let there = segments.map(|(at, timeline)| (Lsn(at), Timeline(timeline)));
        let between = |begin, recovered: u64, timeline| {
            let end = Position { timeline: Timeline(timeline), lsn: Lsn(recovered) };
            missing(&BTreeSet::from(there), 0x10, (Lsn(begin), end))
        };
        assert_eq!(between(0x32, 0, 0), None, "a primary's: only what it begins with");
        assert_eq!(between(0x28, 0, 0), Some(Lsn(0x20)));
        assert_eq!(between(0x32, 0x50, 3), None, "the last record ends with the segment");
        assert_eq!(between(0x32, 0x48, 4), Some(Lsn(0x40)), "this timeline's is not there");
        assert_eq!(between(0x32, 0x31, 4), None, "it was before the beginning");
        assert_eq!(between(0x32, 0x51, 3), Some(Lsn(0x50)));
        assert_eq!(between(0x32, u64::MAX, 3), Some(Lsn(0x50)));
    }
}
