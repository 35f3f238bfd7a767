//! The file that Postgres' own messages go to, and what its end says. Never haad's log.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

use super::site::Site;

const LARGE: u64 = 64 << 20;
const TAIL: u64 = 16 << 10;

/// The log as it was before a start.
pub(super) struct ServerLog {
    path: PathBuf,
    from: u64,
}

impl ServerLog {
    pub(super) fn open(site: &Site) -> io::Result<(Self, File)> {
        let path = site.state("postgres.log");
        if std::fs::metadata(&path).is_ok_and(|file| file.len() > LARGE) {
            std::fs::rename(&path, site.state("postgres.log.1"))?;
        }
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let from = file.metadata()?.len();
        Ok((Self { path, from }, file))
    }

    /// What it says since: the lines that tell why it ended, else the last ones; and where to read more.
    pub(super) fn why(&self) -> String {
        let text = self.tail().unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let grave = |line: &&str| line.contains("FATAL:") || line.contains("PANIC:");
        let mut said: Vec<&str> = lines.iter().copied().filter(grave).collect();
        if said.is_empty() {
            said = lines;
        }
        said.drain(..said.len().saturating_sub(3));
        format!("{} (more in {})", said.join(" | "), self.path.display())
    }

    fn tail(&self) -> io::Result<String> {
        let mut file = File::open(&self.path)?;
        let end = file.metadata()?.len();
        file.seek(SeekFrom::Start(self.from.max(end.saturating_sub(TAIL))))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
