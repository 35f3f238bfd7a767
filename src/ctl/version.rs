//! `haactl version`: of haactl, and of every member. A member that is silent is named, not hidden.

use clap::Args;
use serde::Deserialize;

use super::documents::{ClusterView, MemberView};
use super::error::CtlError;
use super::http::Ask;
use super::print::{say, table};
use super::target::{Target, TargetArgs};
use crate::postgres::shown_version;

/// Show the versions of haactl, of every agent and of its Postgres
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  haactl version

Exit codes: 0 shown (haactl's own also without a cluster), 3 no agent could be reached,
4 token missing or refused")]
pub(super) struct VersionArgs {
    /// Only haactl's own
    #[arg(long)]
    client: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Member {
    server_version: u32,
    patroni: Software,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Software {
    version: String,
}

/// Runs the verb.
///
/// # Errors
/// When a cluster is named and no agent answers.
pub(super) async fn run(args: &VersionArgs, target: &TargetArgs) -> Result<(), CtlError> {
    say(concat!("haactl ", env!("CARGO_PKG_VERSION")))?;
    match target.resolve() {
        Err(CtlError::NoAddress) => Ok(()),
        Ok(_) if args.client => Ok(()),
        Err(error) => Err(error),
        Ok(target) => members(&target).await,
    }
}

async fn members(target: &Target) -> Result<(), CtlError> {
    let cluster: ClusterView = target.document("/cluster").await?;
    let mut rows = table(&["member", "haad", "postgres"]);
    for member in &cluster.members {
        let [haad, postgres] =
            ask(target, member).await.unwrap_or_else(|why| [why, "-".to_owned()]);
        rows.add_row([member.name.clone(), haad, postgres]);
    }
    say(rows.trim_fmt())
}

async fn ask(target: &Target, member: &MemberView) -> Result<[String; 2], String> {
    let address = member.agent().ok_or_else(|| "address not known".to_owned())?;
    let asked = target.question(Ask::get("/patroni")).send(&address).await;
    let answer = asked.map_err(|error| format!("silent ({error})"))?;
    let about: Member = serde_json::from_slice(&answer.body).unwrap_or_default();
    Ok([about.patroni.version, shown_version(about.server_version)])
}
