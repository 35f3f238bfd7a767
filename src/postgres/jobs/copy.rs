//! How data are copied: by the operator's own methods, each tried before the next, then by pg_basebackup. Into a
//! directory beside the data; never into their place.

use std::time::{Duration, Instant};

use haa_core::effect::Source;
use haa_core::line::Line;

use super::keep::Scaffold;
use super::restored;
use crate::postgres::error::{JobError, sentence};
use crate::postgres::site::Site;
use crate::postgres::tool::Tool;
use crate::postgres::{conninfo, timeline};

const REPORT: Duration = Duration::from_secs(5);

/// Returns the history of whom it was compared with, or was copied from.
///
/// # Errors
/// When no method has done it: what each said.
pub(super) async fn run(site: &Site, source: &Source, new: &Scaffold) -> Result<Line, JobError> {
    let cloning = &site.config.cloning;
    let mut said = Vec::new();
    for method in &cloning.methods {
        let error = match restored::clone(site, source, (method, new)).await {
            Ok(theirs) => return Ok(theirs),
            Err(error) => sentence(&error),
        };
        tracing::warn!(method = method.name, "this way of cloning failed: {error}");
        said.push(format!("{}: {error}", method.name));
        new.clear().await?;
    }
    if cloning.basebackup {
        match basebackup(site, source, new).await {
            Err(error) if !said.is_empty() => {
                said.push(format!("basebackup: {}", sentence(&error)))
            }
            other => return other,
        }
    }
    Err(JobError::Refused(said.join("; ")))
}

/// By `pg_basebackup`, into `new`.
pub(super) async fn basebackup(
    site: &Site,
    source: &Source,
    new: &Scaffold,
) -> Result<Line, JobError> {
    let user = &site.config.replication.user;
    let name = format!("haa clone of {}", site.me);
    let more = [("application_name", name.as_str())];
    let from = conninfo::to(source, user, &site.state("pgpass"), &more);
    let mut told = Instant::now();
    let rate = site.config.cloning.rate_limit.map(|rate| format!("--max-rate={}k", rate >> 10));
    let tool = Tool::new(site, "pg_basebackup")
        .path("--pgdata=", new.path())
        .arg(format!("--dbname={from}"))
        .arg("--wal-method=stream")
        .arg("--checkpoint=fast")
        .arg("--no-password")
        .arg("--progress");
    rate.into_iter()
        .fold(tool, Tool::arg)
        .run(|line| {
            site.note_progress(line);
            if told.elapsed() >= REPORT {
                told = Instant::now();
                tracing::info!(from = %source, "cloning: {}", line.trim());
            }
        })
        .await?;
    let pg_wal = new.path().join("pg_wal");
    timeline::line(&pg_wal).map_err(JobError::file("read", &pg_wal))
}
