//! haactl, the shipped program, run on the host that no fault touches, and what it answered. Judges none of it.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::process::Command;
use tokio::time::timeout;

use super::lab::Lab;
use super::plan::{MEMBERS, Plan, places};

/// Longer than a rolling restart may take.
const PATIENCE: Duration = Duration::from_secs(240);

/// The program, and whom it asks.
#[derive(Debug)]
pub struct Haactl {
    program: PathBuf,
    token: PathBuf,
    home: PathBuf,
    /// Each question goes to another agent first: any member may be asked for anything.
    asked: AtomicUsize,
}

/// What it answered.
#[derive(Clone, Debug)]
pub struct Said {
    /// What was asked.
    pub words: String,
    /// Its exit code; none if it did not end, or was killed.
    pub code: Option<i32>,
    /// Its answer.
    pub text: String,
    /// What it said of an error.
    pub error: String,
    /// How long it took.
    pub took: Duration,
}

impl Haactl {
    /// The one beside the planned haad.
    ///
    /// # Errors
    /// When there is none.
    pub fn beside(plan: &Plan) -> anyhow::Result<PathBuf> {
        let program = plan.program.with_file_name("haactl");
        let shown = program.display();
        ensure!(
            program.is_file(),
            "there is no haactl at {shown}: build it with `make build`, or name its directory with --bin-dir"
        );
        program.canonicalize().with_context(|| format!("cannot find {shown}"))
    }

    /// For the cluster of this lab.
    ///
    /// # Errors
    /// As [`Self::beside`].
    pub fn of(lab: &Lab) -> anyhow::Result<Self> {
        let token = lab.host(MEMBERS[0])?.home.join("secrets/token");
        let (program, home) = (Self::beside(&lab.plan)?, lab.directory.clone());
        Ok(Self { program, token, home, asked: AtomicUsize::new(0) })
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn run(&self, words: &[&str]) -> anyhow::Result<Said> {
        let mut agents: Vec<String> = places().iter().map(|place| place.api.to_string()).collect();
        agents.rotate_left(self.asked.fetch_add(1, Ordering::Relaxed) % MEMBERS.len());
        let mut command = Command::new(&self.program);
        command.args(["--api", &agents.join(",")]).arg("--token-file").arg(&self.token);
        command.args(words).current_dir(&self.home).env("HOME", &self.home);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let began = Instant::now();
        let child = command.kill_on_drop(true).spawn();
        let child = child.with_context(|| format!("cannot start {}", self.program.display()))?;
        let ended = timeout(PATIENCE, child.wait_with_output()).await;
        let (words, took) = (words.join(" "), began.elapsed());
        let Ok(output) = ended else {
            let error = format!("it did not end within {PATIENCE:?}");
            return Ok(Said { words, code: None, text: String::new(), error, took });
        };
        let output = output.with_context(|| format!("haactl {words}"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        let (text, error) = (text(&output.stdout), text(&output.stderr));
        Ok(Said { words, code: output.status.code(), text, error, took })
    }
}

impl Said {
    /// In one line: how it ended, and its last words.
    #[must_use]
    pub fn line(&self) -> String {
        let code = self.code.map_or_else(|| "none".to_owned(), |code| code.to_string());
        let said = if self.error.is_empty() { &self.text } else { &self.error };
        let last = said.lines().last().unwrap_or_default();
        let took = self.took.as_millis();
        format!("`haactl {}`: exit code {code} after {took} ms: {last}", self.words)
    }
}
