//! What `pg_waldump` says of some WAL: the commits in it, and where it ends. Only reads, and says when it cannot tell.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use haa_core::units::{Lsn, Timeline};

use super::error::{JobError, sentence};
use super::site::Site;
use super::tool::Tool;

/// haad's own messages: it commits some to see whether a disk or a replica works.
const OWN: [&str; 2] = ["prefix \"haa\";", "prefix \"haa-probe\";"];

/// Not one whole record follows the place from which it was to read.
const NOTHING: &str = "could not find a valid record after";
const NO_FILE: &str = "could not find file";

/// A stretch of WAL of one timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) timeline: Timeline,
    pub(super) from: Lsn,
    /// Where the next timeline begins; `None`: as far as there is WAL.
    pub(super) to: Option<Lsn>,
}

/// The commits of some WAL.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) transactions: u64,
    /// Commit times, milliseconds since 1970.
    pub(super) first_unix_ms: Option<u64>,
    pub(super) last_unix_ms: Option<u64>,
    /// The end of the last valid record, where the WAL is not followed by more.
    pub(super) end: Option<Lsn>,
    own: BTreeSet<u64>,
}

/// The command that shows it to a person.
pub(super) fn command(program: &Path, directory: &Path, stretch: Stretch) -> String {
    let Stretch { timeline, from, to } = stretch;
    let to = to.map_or_else(String::new, |to| format!(" --end={to}"));
    let (program, directory) = (program.display(), directory.display());
    format!(
        "{program} --path={directory} --timeline={timeline} --start={from}{to} --rmgr=Transaction"
    )
}

/// The tool, at a place of a timeline.
pub(super) fn reader(site: &Site, directory: &Path, (timeline, from): (Timeline, Lsn)) -> Tool {
    Tool::new(site, "pg_waldump")
        .path("--path=", directory)
        .arg(format!("--timeline={timeline}"))
        .arg(format!("--start={from}"))
}

/// Whether a whole record begins at this place of a timeline, or behind it, in the file of this name.
///
/// # Errors
/// In a sentence, why nobody can know.
pub(super) async fn has_record(
    site: &Site,
    directory: &Path,
    (timeline, from): (Timeline, Lsn),
    file: &str,
) -> Result<bool, String> {
    // Named, it is also what the size of a segment is taken from: another may be made ready, and empty.
    let tool = reader(site, directory, (timeline, from)).arg("--limit=1").arg(file);
    match tool.run(|_| ()).await {
        Ok(_) => Ok(true),
        Err(JobError::Tool { said, .. }) if said.contains(NOTHING) => Ok(false),
        Err(error) => Err(sentence(&error)),
    }
}

impl Found {
    /// Adds what this stretch holds, which begins where the one before ended, and whose first file is there.
    ///
    /// # Errors
    /// In a sentence, why nobody can know.
    pub(super) async fn read(
        &mut self,
        site: &Site,
        directory: &Path,
        stretch: Stretch,
    ) -> Result<(), String> {
        let Stretch { timeline, from, to } = stretch;
        // Before 15 the last of them counts, and haad's own commits are not told apart.
        let mut tool = reader(site, directory, (timeline, from))
            .env("TZ", "UTC")
            .arg("--rmgr=LogicalMessage")
            .arg("--rmgr=Transaction");
        if let Some(to) = to {
            tool = tool.arg(format!("--end={to}"));
        }
        let mut end = None;
        let said = tool.run(|line| end = self.line(line).or(end)).await;
        self.end = ended(stretch, said.map(drop), end)?;
        Ok(())
    }

    /// Takes in a line; where it says that the WAL ends, returns the end.
    pub(super) fn line(&mut self, line: &str) -> Option<Lsn> {
        if let Some(error) = complaint(line) {
            return end(error);
        }
        let (head, what) = line.split_once(", desc: ")?;
        let xid = head.split_once(", tx:")?.1.split(',').next()?.trim().parse().ok()?;
        let own = what.strip_prefix("MESSAGE transactional, ");
        if own.is_some_and(|message| OWN.iter().any(|prefix| message.starts_with(prefix))) {
            self.own.insert(xid);
        }
        let at = what.strip_prefix("COMMIT ").or_else(|| {
            // The transaction that was prepared comes first.
            what.strip_prefix("COMMIT_PREPARED ").and_then(|rest| Some(rest.split_once(": ")?.1))
        });
        if let Some(at) = at
            && !self.own.remove(&xid)
        {
            self.transactions += 1;
            self.last_unix_ms = unix_ms(at).or(self.last_unix_ms);
            self.first_unix_ms = self.first_unix_ms.or(self.last_unix_ms);
        }
        None
    }
}

/// Where a stretch ends, by how pg_waldump ended and where it saw no more records. One whose end is known must have
/// been read to there.
fn ended(
    stretch: Stretch,
    said: Result<(), JobError>,
    end: Option<Lsn>,
) -> Result<Option<Lsn>, String> {
    let Stretch { timeline, from, to } = stretch;
    match (said, end, to) {
        (Ok(()), _, to) => Ok(to),
        (Err(_), Some(end), None) => Ok(Some(end)),
        (Err(_), Some(end), Some(to)) if end >= to => Ok(Some(to)),
        (Err(error), Some(end), Some(to)) => Err(format!(
            "the WAL of timeline {timeline} is not readable from {end} to {to}: {}",
            sentence(&error)
        )),
        (Err(JobError::Tool { said, .. }), None, None) if said.contains(NOTHING) => Ok(Some(from)),
        // It ends with a file.
        (Err(JobError::Tool { said, .. }), None, None) if said.contains(NO_FILE) => Ok(None),
        (Err(error), None, _) => Err(sentence(&error)),
    }
}

/// Where it saw no more records: what it says of that.
pub(super) fn complaint(line: &str) -> Option<&str> {
    let said = line.strip_prefix("pg_waldump: ")?;
    said.split_once("error in WAL record at ").map(|(_, error)| error)
}

/// From `0/1516D80: invalid record length at 0/1516F58: wanted 24, got 0`: the second place, or the first, where the
/// last record begins.
fn end(error: &str) -> Option<Lsn> {
    let (last, why) = error.split_once(':')?;
    let last: Lsn = last.parse().ok()?;
    let words = why.split_whitespace().map(|word| word.trim_end_matches([':', ',']));
    let after = words.filter_map(|word| word.parse::<Lsn>().ok()).find(|lsn| *lsn > last);
    after.or(Some(last))
}

/// From `2026-11-26 11:07:27.221335 UTC; rels: ...`.
fn unix_ms(at: &str) -> Option<u64> {
    let time: SystemTime = humantime::parse_rfc3339_weak(at.get(..23)?).ok()?;
    u64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// As PostgreSQL 15 prints it.
    pub(in super::super) const LINES: &str = "\
rmgr: Transaction len (rec/tot):     34/    34, tx:        725, lsn: 0/014F0F88, prev 0/014F0F40, \
desc: COMMIT 2026-11-26 11:07:27.221335 UTC
rmgr: Transaction len (rec/tot):    242/   242, tx:        726, lsn: 0/01516810, prev 0/015167D0, \
desc: PREPARE gid x: 2026-11-26 11:07:27.268948 UTC
rmgr: Transaction len (rec/tot):     42/    42, tx:          0, lsn: 0/01516908, prev 0/01516810, \
desc: COMMIT_PREPARED 726: 2026-11-26 11:07:27.288410 UTC
rmgr: Transaction len (rec/tot):     34/    34, tx:        727, lsn: 0/01516978, prev 0/01516938, \
desc: ABORT 2026-11-26 11:07:27.317454 UTC
rmgr: LogicalMessage len (rec/tot):     60/    60, tx:        730, lsn: 0/01516A10, prev 0/015169E0, \
desc: MESSAGE transactional, prefix \"haa-probe\"; payload (0 bytes): 
rmgr: Transaction len (rec/tot):     34/    34, tx:        730, lsn: 0/01516A50, prev 0/01516A10, \
desc: COMMIT 2026-11-26 11:07:29.357629 UTC
rmgr: LogicalMessage len (rec/tot):     60/    60, tx:        731, lsn: 0/01516A10, prev 0/015169E0, \
desc: MESSAGE transactional, prefix \"theirs\"; payload (0 bytes): 
rmgr: Transaction len (rec/tot):    469/   469, tx:        731, lsn: 0/01516D80, prev 0/01516D48, \
desc: COMMIT 2026-11-26 11:07:27.372859 UTC; rels: base/5/16384; inval msgs: catcache 80";

    #[test]
    fn commits_are_counted_and_haads_own_are_not() {
        let mut found = Found::default();
        assert!(LINES.lines().all(|line| found.line(line).is_none()));
        let last = unix_ms("2026-11-26 11:07:27.372859 UTC");
        let first = unix_ms("2026-11-26 11:07:27.221335 UTC");
        assert_eq!(last.zip(first).map(|(last, first)| last - first), Some(151));
        assert_eq!(
            found,
            Found { transactions: 3, first_unix_ms: first, last_unix_ms: last, ..Found::default() }
        );
    }

    #[test]
    fn the_end_of_the_wal_is_read() {
        let ends = |why: &str| Found::default().line(&format!("pg_waldump: error: {why}"));
        let in_record = "error in WAL record at 0/1516D80: ";
        let old = format!("{in_record}invalid record length at 0/1516F58: wanted 24, got 0");
        assert_eq!(ends(&old), Some(Lsn(0x151_6F58)));
        let new =
            format!("{in_record}invalid record length at 0/1516F58: expected at least 24, got 0");
        assert_eq!(ends(&new), Some(Lsn(0x151_6F58)));
        let torn = format!("{in_record}record with incorrect prev-link 0/99 at 0/1516F58");
        assert_eq!(ends(&torn), Some(Lsn(0x151_6F58)));
        let other =
            format!("{in_record}unexpected pageaddr 0/0 in log segment 000000010000, offset 0");
        assert_eq!(ends(&other), Some(Lsn(0x151_6D80)));
        assert_eq!(ends("could not find file \"000000020000000000000001\": No such file"), None);
    }

    #[test]
    fn wal_whose_end_is_known_is_read_to_there_or_not_counted() {
        let failed = |said: &str| Err(JobError::Tool { tool: "pg_waldump", said: said.to_owned() });
        let open = Stretch { timeline: Timeline(3), from: Lsn(0x100), to: None };
        let closed = Stretch { to: Some(Lsn(0x900)), ..open };
        let (at, all) = (Lsn(0x500), Lsn(0x900));
        assert_eq!(ended(open, failed("x"), Some(at)), Ok(Some(at)));
        assert_eq!(ended(open, failed(NOTHING), None), Ok(Some(open.from)));
        assert_eq!(ended(open, failed(NO_FILE), None), Ok(None));
        assert_eq!(ended(closed, Ok(()), None), Ok(Some(all)));
        let said = ended(closed, failed("x"), Some(at)).expect_err("some of it is not counted");
        assert!(said.contains("not readable from 0/500 to 0/900"), "{said}");
        assert!(ended(closed, failed(NOTHING), None).is_err());
    }

    #[test]
    fn a_person_sees_the_same_with_a_command() {
        let stretch =
            Stretch { timeline: Timeline(3), from: Lsn(0x500_0148), to: Some(Lsn(0x600_0000)) };
        assert_eq!(
            command(Path::new("/usr/bin/pg_waldump"), Path::new("/kept"), stretch),
            "/usr/bin/pg_waldump --path=/kept --timeline=3 --start=0/5000148 --end=0/6000000 --rmgr=Transaction"
        );
    }
}
