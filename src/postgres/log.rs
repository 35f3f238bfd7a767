//! The file that Postgres' own messages go to: what its end says, and that it stays small. Never haad's log.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::site::Site;

const LARGE: u64 = 64 << 20;
const TAIL: u64 = 16 << 10;
/// Between two looks at how large it is.
const LOOK: Duration = Duration::from_secs(30);

const NAME: &str = "postgres.log";
const OLD: &str = "postgres.log.1";

/// Looks after its size, for as long as it is polled.
pub(super) async fn keep_small(site: Arc<Site>) {
    let (log, old) = (site.state(NAME), site.state(OLD));
    loop {
        let (log, old) = (log.clone(), old.clone());
        let kept = tokio::task::spawn_blocking(move || shorten(&log, &old, LARGE)).await;
        if let Ok(Err(error)) = kept {
            tracing::warn!(%error, "Postgres' own log cannot be kept small");
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Postgres has the file open, to append to it: what it holds is copied, and the file emptied. A line that comes in
/// between the two is lost.
fn shorten(log: &Path, old: &Path, large: u64) -> io::Result<()> {
    let mut from = match File::open(log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    if from.metadata()?.len() <= large {
        return Ok(());
    }
    let mut to = File::create(old)?;
    io::copy(&mut from, &mut to)?;
    // From here on it is an instant, but for what was written during the copy.
    io::copy(&mut from, &mut to)?;
    OpenOptions::new().write(true).open(log)?.set_len(0)
}

/// The log as it was before a start.
pub(super) struct ServerLog {
    path: PathBuf,
    from: u64,
}

impl ServerLog {
    pub(super) fn open(site: &Site) -> io::Result<(Self, File)> {
        let path = site.state(NAME);
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let from = file.metadata()?.len();
        Ok((Self { path, from }, file))
    }

    /// What it says since: the lines that tell why it ended, else the last ones; and where to read more.
    pub(super) fn why(&self) -> String {
        let text = self.tail().unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let signs = ["FATAL:", "PANIC:", "could not", "HINT:"];
        let grave = |line: &&str| signs.iter().any(|sign| line.contains(sign));
        let mut said: Vec<&str> = lines.iter().copied().filter(grave).collect();
        if said.is_empty() {
            said = lines;
        }
        said.drain(..said.len().saturating_sub(4));
        format!("{} (more in {})", said.join(" | "), self.path.display())
    }

    fn tail(&self) -> io::Result<String> {
        let mut file = File::open(&self.path)?;
        let end = file.metadata()?.len();
        // It was emptied since, when it is shorter now.
        let from = if end < self.from { 0 } else { self.from };
        file.seek(SeekFrom::Start(from.max(end.saturating_sub(TAIL))))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_log_that_is_open_is_emptied_and_written_on() {
        let folder = tempfile::tempdir().expect("a directory");
        let (log, old) = (folder.path().join(NAME), folder.path().join(OLD));
        shorten(&log, &old, 10).expect("there is none yet");
        let mut server = OpenOptions::new().create(true).append(true).open(&log).expect("a log");
        writeln!(server, "LOG:  one").expect("written");
        shorten(&log, &old, 10).expect("it is small");
        assert!(!old.exists());
        writeln!(server, "LOG:  two").expect("written");
        let started = ServerLog { path: log.clone(), from: 20 };
        shorten(&log, &old, 10).expect("it is emptied");
        let text = |path: &Path| std::fs::read_to_string(path).expect("text");
        assert_eq!((text(&log), text(&old)), (String::new(), "LOG:  one\nLOG:  two\n".into()));
        writeln!(server, "FATAL:  x").expect("written");
        assert_eq!(text(&log), "FATAL:  x\n", "it is appended to, with no hole before it");
        assert!(started.why().contains("FATAL:  x"), "{}", started.why());
    }
}
