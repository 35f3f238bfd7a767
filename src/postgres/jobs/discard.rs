//! What a rewind or a clone is about to take back: found, counted, noted on disk before it is touched, and told when it
//! is gone. Never keeps either of them from going on, and holds neither up for long.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use haa_core::discard::{Commits, Discarded};
use haa_core::input::Input;
use haa_core::line::{Fork, Line};
use haa_core::observe::DataDir;
use haa_core::units::{Incarnation, Lsn, Position, Term};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::keep::unix_time;
use super::rewind;
use crate::postgres::control::Control;
use crate::postgres::process::remove_if_there;
use crate::postgres::site::Site;
use crate::postgres::waldump::{self, Found, Stretch};
use crate::postgres::{files, incarnation, look, timeline};

/// A member that comes back is waited for: what takes longer to count is not counted.
const PATIENCE: Duration = Duration::from_secs(30);

/// Beside WAL that is kept.
const EXPLAINED: &str = "what-this-is.txt";

/// WAL that leaves the leader's history.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) fork: Fork,
    stretches: Vec<Stretch>,
    segment_size: u64,
}

/// Where what is taken back goes.
#[derive(Clone, Copy)]
pub(super) struct Kept<'a> {
    /// The directory, as people are told.
    pub(super) in_directory: &'a Path,
    /// Its WAL.
    pub(super) wal: &'a Path,
}

/// On disk, until the store shows it.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// Of the data before: while they are there and whole, nothing was taken back.
    incarnation: Incarnation,
    discarded: Discarded,
}

impl Lost {
    /// What these data hold behind a place that they share with the leader's history.
    pub(super) fn behind(site: &Site, fork: Fork) -> io::Result<Self> {
        let newest = timeline::newest_after(&site.pg_wal(), fork)?;
        let own = timeline::lineage(&site.pg_wal(), newest)?;
        let after = own.iter().skip_while(|step| step.timeline != fork.timeline);
        let mut at = (fork.timeline, fork.lsn);
        let mut stretches = Vec::new();
        for step in after {
            let next = own.iter().find(|other| other.timeline > step.timeline);
            if step.lsn > at.1 {
                let (timeline, from) = at;
                stretches.push(Stretch { timeline, from, to: Some(step.lsn) });
            }
            at = (next.map_or(newest, |next| next.timeline), step.lsn);
        }
        stretches.push(Stretch { timeline: at.0, from: at.1, to: None });
        Ok(Self { fork, stretches, segment_size: Control::read(site.data())?.segment_size })
    }

    /// What these data hold that the leader's history does not, so far as timelines show it.
    pub(super) fn beside(site: &Site, theirs: &Line) -> io::Result<Option<Self>> {
        let own = timeline::line(&site.pg_wal())?;
        let lost = own.left_at(theirs).map(|fork| Self::behind(site, fork)).transpose()?;
        let control = Control::read(site.data())?;
        let reached = control.checkpoint.lsn.max(control.recovered);
        match lost {
            Some(lost) if lost.is_out_of_reach(&site.pg_wal(), reached)? => Ok(None),
            lost => Ok(lost),
        }
    }

    /// Whether data that are known to have got so far never got to it: nor is there a file of it.
    fn is_out_of_reach(&self, pg_wal: &Path, reached: Lsn) -> io::Result<bool> {
        Ok(reached <= self.fork.lsn && self.segments(pg_wal)?.is_empty())
    }

    /// The files that hold it.
    pub(super) fn segments(&self, pg_wal: &Path) -> io::Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for stretch in &self.stretches {
            let from = (stretch.timeline, stretch.from);
            names.extend(timeline::segments_from(pg_wal, self.segment_size, from)?);
        }
        Ok(names)
    }

    pub(super) const fn segment_size(&self) -> u64 {
        self.segment_size
    }

    /// Counts it. `None`: there is nothing.
    async fn count(&self, site: &Site) -> Option<(Commits, Option<Position>)> {
        let mut found = Found::default();
        let read = async {
            for stretch in &self.stretches {
                self.is_whole(&site.pg_wal(), *stretch)?;
                found.read(site, &site.pg_wal(), *stretch).await?;
            }
            Ok::<(), String>(())
        };
        let why = match tokio::time::timeout(PATIENCE, read).await {
            Ok(Ok(())) => {
                let newest = self.stretches.last().map_or(self.fork.timeline, |last| last.timeline);
                let end = found.end.map(|lsn| Position { timeline: newest, lsn });
                let Found { transactions, first_unix_ms, last_unix_ms, .. } = found;
                let commits = Commits::Counted { transactions, first_unix_ms, last_unix_ms };
                let nothing = found.end == Some(self.fork.lsn);
                return (!nothing).then_some((commits, end));
            }
            Ok(Err(why)) => why,
            Err(_) => format!("pg_waldump had not read it all after {} s", PATIENCE.as_secs()),
        };
        Some((Commits::NotCounted(why), None))
    }

    /// Whether no file of it is missing but at the end, where nobody could tell.
    fn is_whole(&self, pg_wal: &Path, stretch: Stretch) -> Result<(), String> {
        let from = (stretch.timeline, stretch.from);
        match timeline::first_gap(pg_wal, self.segment_size, from) {
            Ok(None) => Ok(()),
            Ok(Some(name)) => Err(format!("the WAL segment {name} is not there any more")),
            Err(error) => Err(format!("cannot read {}: {error}", pg_wal.display())),
        }
    }

    /// Counts it and notes it on disk; `None` if there is nothing to tell. To be called before it is touched.
    pub(super) async fn note(&self, site: &Site, kept: Option<Kept<'_>>) -> Option<Discarded> {
        // That removes the notes of work that was not begun.
        if let Err(error) = untold(site) {
            tracing::warn!(%error, "a note of what was not discarded stays");
        }
        let (commits, end) = self.count(site).await?;
        let discarded = Discarded {
            member: site.me.clone(),
            term: Term(0),
            fork: self.fork,
            end,
            commits,
            kept: kept.map(|kept| kept.in_directory.display().to_string()),
            at_unix_ms: unix_time() * 1_000,
        };
        let noted = incarnation::read_or_make(site.data()).and_then(|incarnation| {
            let note = Note { incarnation, discarded: discarded.clone() };
            files::write_private(&path(site, self.fork), serde_json::to_vec(&note)?)
        });
        if let Err(error) = noted {
            tracing::warn!(%error, "an agent that dies now will not tell what it discarded");
        }
        Some(discarded)
    }

    /// Says in words what the directory is, for whoever finds it later.
    pub(super) fn explain(&self, site: &Site, kept: Kept<'_>, discarded: &Discarded) {
        let program = site.program("pg_waldump");
        let mut text = format!("{discarded}.\n\n");
        if let Commits::Counted { first_unix_ms: Some(first), last_unix_ms: Some(last), .. } =
            discarded.commits
        {
            let _ = writeln!(text, "Committed between {} and {}.", time(first), time(last));
        }
        let _ = write!(
            text,
            "Taken back at {}.\n\n\
             The WAL of this member left the history of the cluster at {} on timeline {}: it holds what the primary\n\
             of that time had written and the one that took over did not have. In async clients may have been told\n\
             that these commits had succeeded. In quorum only those were that did not wait for it: with\n\
             synchronous_commit below 'on', with a cancelled wait, or before quorum was turned on.\n\n\
             This shows the commits; without --rmgr, all that was written:\n\n",
            time(discarded.at_unix_ms),
            self.fork.lsn,
            self.fork.timeline,
        );
        for stretch in &self.stretches {
            let _ = writeln!(text, "    {}", waldump::command(&program, kept.wal, *stretch));
        }
        text.push_str(
            "\nThe cluster does not need this directory: remove it when nobody misses a commit.\n",
        );
        if let Err(error) = std::fs::write(kept.in_directory.join(EXPLAINED), text) {
            tracing::warn!(%error, "cannot write {EXPLAINED} in {}", kept.in_directory.display());
        }
    }
}

fn time(unix_ms: u64) -> humantime::Rfc3339Timestamp {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(unix_ms))
}

fn path(site: &Site, fork: Fork) -> PathBuf {
    site.state(&format!("{NOTE}{}-{:X}{JSON}", fork.timeline, fork.lsn.0))
}

const NOTE: &str = "discarded-";
const JSON: &str = ".json";

/// The store shows it.
pub(in crate::postgres) fn forget(site: &Site, fork: Fork) -> io::Result<()> {
    remove_if_there(&path(site, fork))
}

/// It is gone from the data.
pub(in crate::postgres) async fn tell(inputs: &mpsc::Sender<Input>, discarded: Discarded) {
    if inputs.send(Input::Discarded(Box::new(discarded))).await.is_err() {
        tracing::debug!("nobody wants to know what was discarded; its note stays");
    }
}

/// What an earlier run of the agent discarded and did not live to tell.
pub(in crate::postgres) fn untold(site: &Site) -> io::Result<Vec<Discarded>> {
    let now = present(site);
    let broken_off = now.is_some() && rewind::is_half_done(site)?;
    let mut found = Vec::new();
    for (path, note) in notes(site)? {
        if broken_off || Some(note.incarnation) != now {
            found.push(note.discarded);
        } else {
            // Noted, and not begun: it will be noted anew. Under other data it would be taken for done.
            remove_if_there(&path)?;
        }
    }
    Ok(found)
}

/// Which data there are.
fn present(site: &Site) -> Option<Incarnation> {
    match look::data(site) {
        DataDir::Present { incarnation, .. } => Some(incarnation),
        DataDir::Empty | DataDir::Foreign(_) | DataDir::Unreadable(_) => None,
    }
}

/// Those that can be read.
fn notes(site: &Site) -> io::Result<Vec<(PathBuf, Note)>> {
    let mut notes = Vec::new();
    for entry in std::fs::read_dir(site.state(""))? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.to_str().is_some_and(|name| name.starts_with(NOTE) && name.ends_with(JSON)) {
            continue;
        }
        match serde_json::from_slice::<Note>(&std::fs::read(entry.path())?) {
            Ok(note) => notes.push((entry.path(), note)),
            Err(error) => {
                tracing::warn!(%error, "{} is not readable: remove it", entry.path().display());
            }
        }
    }
    Ok(notes)
}

#[cfg(test)]
mod tests {
    use haa_core::units::Timeline;

    use super::*;

    #[test]
    fn data_that_never_got_to_the_fork_lose_nothing() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let pg_wal = directory.path();
        let fork = Fork { timeline: Timeline(5), lsn: Lsn(0x350_0000) };
        let stretches = vec![Stretch { timeline: Timeline(5), from: fork.lsn, to: None }];
        let lost = Lost { fork, stretches, segment_size: 1 << 24 };
        let out = |reached| lost.is_out_of_reach(pg_wal, Lsn(reached)).expect("readable");
        std::fs::write(pg_wal.join("000000050000000000000002"), "").expect("writable");
        assert!(out(0x250_0000) && out(fork.lsn.0));
        assert!(!out(0x350_0001), "it got behind it, and the files are gone");
        std::fs::write(pg_wal.join("000000050000000000000003"), "").expect("writable");
        assert!(!out(0x250_0000), "a file may hold more than was recovered of it");
    }
}
