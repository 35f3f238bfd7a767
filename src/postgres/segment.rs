//! One WAL segment as a file: its name, whose it is, and whether it is what it is taken for. Never fetches one.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use haa_core::line::{Fork, Line};
use haa_core::units::{Lsn, SystemId, Timeline};

use super::timeline;

/// The header of a page that is not the first.
pub(super) const HEADER: usize = 24;
/// The first page's says more.
pub(super) const LONG_HEADER: usize = 40;

/// A segment of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) timeline: Timeline,
    /// Where this timeline left the one before it, if it is known.
    pub(super) made_by: Option<Fork>,
    pub(super) begin: Lsn,
    pub(super) size: u64,
}

/// What is in a file that has a segment's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Every page is written.
    Whole,
    /// From some page on there is nothing: a switch of segments ended it, or it is not complete.
    Until(Lsn),
}

impl Extent {
    /// Where it ends.
    pub(super) fn until(self, segment: &Segment) -> Lsn {
        match self {
            Self::Whole => segment.end(),
            Self::Until(lsn) => lsn,
        }
    }
}

impl Segment {
    /// The one of `line` that `lsn` lies in. A segment in which a timeline begins is the new one's: it holds a copy of
    /// what was before.
    pub(super) fn of(line: &Line, lsn: Lsn, size: u64) -> Self {
        let number = lsn.0 / size;
        let begun = line.forks.iter().rposition(|fork| fork.lsn.0 / size <= number);
        let made_by = begun.and_then(|at| line.forks.get(at)).copied();
        let after = begun.map_or(0, |at| at + 1);
        let timeline = line.forks.get(after).map_or(line.timeline, |fork| fork.timeline);
        Self { timeline, made_by, begin: Lsn(number * size), size }
    }

    /// By its name; where its timeline began is to be told.
    pub(super) fn named(name: &str, size: u64) -> Option<Self> {
        if !timeline::is_segment(name) {
            return None;
        }
        let part = |at| u64::from_str_radix(name.get(at..at + 8)?, 16).ok();
        let (high, low) = (part(8)?, part(16)?);
        let within = low.checked_mul(size).filter(|at| *at < 1 << 32)?;
        let timeline = Timeline(u32::try_from(part(0)?).ok()?);
        let begin = Lsn(high << 32 | within);
        // Postgres makes none whose end would be no position.
        begin.0.checked_add(size)?;
        Some(Self { timeline, made_by: None, begin, size })
    }

    pub(super) fn end(&self) -> Lsn {
        Lsn(self.begin.0 + self.size)
    }

    /// As the file is called.
    pub(super) fn name(&self) -> String {
        timeline::segment(self.size, (self.timeline, self.begin))
    }

    /// Reads every page's header: each says where it belongs. What is not this segment, of this database system, is an
    /// error with the reason. A file that was taken for later use while it was copied is found by it too.
    pub(super) fn check(&self, path: &Path, system: SystemId) -> io::Result<Extent> {
        let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        let mut file = File::open(path)?;
        let size = file.metadata()?.len();
        if size != self.size {
            return Err(wrong(format!("it has {size} bytes instead of {}", self.size)));
        }
        let first: [u8; LONG_HEADER] = read(&mut file)?;
        let (owner, block) = (u64_at(&first, 24), u64::from(u32_at(&first, 36)));
        if owner != system.0 || u64::from(u32_at(&first, 32)) != self.size {
            return Err(wrong(format!("it is of the database system {owner}")));
        }
        if !block.is_power_of_two() || !(1 << 10..=1 << 16).contains(&block) {
            return Err(wrong(format!("its pages have {block} bytes")));
        }
        let mut page = vec![0; usize::try_from(block).unwrap_or(LONG_HEADER)];
        page[..LONG_HEADER].copy_from_slice(&first);
        let mut from = LONG_HEADER;
        let mut at = self.begin;
        let mut ended = None;
        while at < self.end() {
            file.read_exact(&mut page[from..])?;
            from = 0;
            let empty = page[..HEADER].iter().all(|byte| *byte == 0);
            match (empty, ended) {
                (true, _) => ended = ended.or(Some(at)),
                (false, None) if self.owns(&page, &first, at) => {}
                (false, _) => return Err(wrong(format!("its page at {at} belongs elsewhere"))),
            }
            at = Lsn(at.0 + block);
        }
        Ok(ended.map_or(Extent::Whole, Extent::Until))
    }

    fn owns(&self, page: &[u8], first: &[u8], at: Lsn) -> bool {
        let timeline = u32_at(page, 4);
        let ours = (1..=self.timeline.0).contains(&timeline);
        ours && page[..2] == first[..2] && u64_at(page, 8) == at.0
    }
}

/// Whether two files begin with the same bytes, so many.
pub(super) fn same_until(one: &Path, other: &Path, bytes: u64) -> io::Result<bool> {
    let (mut one, mut other) = (File::open(one)?.take(bytes), File::open(other)?.take(bytes));
    let mut buffers = [vec![0; 1 << 16], vec![0; 1 << 16]];
    let mut left = bytes;
    while left > 0 {
        let [a, b] = &mut buffers;
        let much = usize::try_from(left).unwrap_or(usize::MAX).min(a.len());
        one.read_exact(&mut a[..much])?;
        other.read_exact(&mut b[..much])?;
        if a[..much] != b[..much] {
            return Ok(false);
        }
        left -= much as u64;
    }
    Ok(true)
}

fn read<const N: usize>(file: &mut File) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].try_into().map_or(0, u32::from_ne_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].try_into().map_or(0, u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 1 << 20;
    const BLOCK: usize = 8192;

    fn line() -> Line {
        let fork = |timeline, lsn| Fork { timeline: Timeline(timeline), lsn: Lsn(lsn) };
        Line { timeline: Timeline(7), forks: vec![fork(1, 0x31_0000), fork(4, 0x31_8000)] }
    }

    /// A segment as Postgres writes it, as far as headers go.
    fn written(segment: &Segment, system: u64, pages: usize) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(SIZE).expect("it fits")];
        for (number, page) in bytes.chunks_mut(BLOCK).take(pages).enumerate() {
            page[..2].copy_from_slice(&0xD110_u16.to_ne_bytes());
            page[4..8].copy_from_slice(&segment.timeline.0.to_ne_bytes());
            let at = segment.begin.0 + (number * BLOCK) as u64;
            page[8..16].copy_from_slice(&at.to_ne_bytes());
            page[100] = 7;
        }
        bytes[24..32].copy_from_slice(&system.to_ne_bytes());
        bytes[32..36].copy_from_slice(&(SIZE as u32).to_ne_bytes());
        bytes[36..40].copy_from_slice(&(BLOCK as u32).to_ne_bytes());
        bytes
    }

    #[test]
    fn a_segment_is_the_newest_timelines_that_begins_in_it_or_before() {
        let name = |lsn| Segment::of(&line(), Lsn(lsn), SIZE).name();
        assert_eq!(name(0x20_0000), "000000010000000000000002");
        assert_eq!(name(0x30_0000), "000000070000000000000003", "even before the forks");
        assert_eq!(name(0x40_0000), "000000070000000000000004");
        let again = Segment::named("000000070000000100000004", SIZE).expect("a name");
        assert_eq!(again.name(), "000000070000000100000004");
        assert_eq!(Segment::named("00000007.history", SIZE), None);
        let made_by = Segment::of(&line(), Lsn(0x40_0000), SIZE).made_by;
        assert_eq!(made_by, line().forks.last().copied());
        assert_eq!(Segment::of(&line(), Lsn(0x2F_FFFF), SIZE).made_by, None);
    }

    #[test]
    fn only_the_very_segment_is_taken() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("segment");
        let segment = Segment::of(&line(), Lsn(0x40_0000), SIZE);
        let pages = usize::try_from(SIZE).expect("it fits") / BLOCK;
        let check = |bytes: &[u8]| {
            std::fs::write(&path, bytes).expect("writable");
            segment.check(&path, SystemId(5)).map_err(|error| error.to_string())
        };
        let good = written(&segment, 5, pages);
        assert_eq!(check(&good), Ok(Extent::Whole));
        let until = Lsn(segment.begin.0 + 3 * BLOCK as u64);
        assert_eq!(check(&written(&segment, 5, 3)), Ok(Extent::Until(until)));
        assert!(check(&good[..BLOCK]).is_err(), "too short");
        assert!(check(&written(&segment, 6, pages)).is_err(), "another database system");
        let mut mixed = good.clone();
        mixed[5 * BLOCK + 8..5 * BLOCK + 16].fill(0);
        assert!(check(&mixed).is_err(), "a page of elsewhere");
        let mut later = written(&segment, 5, 3);
        later[9 * BLOCK] = 1;
        assert!(check(&later).is_err(), "something after the end");
        let mut newer = good;
        newer[4..8].copy_from_slice(&8_u32.to_ne_bytes());
        assert!(check(&newer).is_err(), "a newer timeline");
    }

    #[test]
    fn files_are_compared_up_to_the_byte() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let [one, other] = ["one", "other"].map(|name| directory.path().join(name));
        std::fs::write(&one, "abcdef").expect("writable");
        std::fs::write(&other, "abcXef").expect("writable");
        assert!(same_until(&one, &other, 3).expect("readable"));
        assert!(!same_until(&one, &other, 4).expect("readable"));
        assert!(same_until(&one, &other, 7).is_err(), "too short");
    }
}
