//! `haactl version`: of haactl, and of every member. A member that is silent is named, not hidden.

use clap::Args;
use serde::Deserialize;

use haa_core::units::Address;

use super::documents::{ClusterView, MemberView};
use super::error::CtlError;
use super::http::Ask;
use super::print::{say, table};
use super::target::{Target, TargetArgs};

/// Show the versions of haactl, of every agent and of its Postgres
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  haactl version

Exit codes: 0 shown (haactl's own also without a cluster), 3 no agent could be reached")]
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
    let url = member.api_url.as_deref().unwrap_or_default();
    let authority = url.split("://").last().and_then(|rest| rest.split('/').next());
    let address: Address =
        authority.unwrap_or_default().parse().map_err(|_| "address not known".to_owned())?;
    let asked = Ask::get("/patroni").over(target.dialer()).send(&address).await;
    let answer = asked.map_err(|error| format!("silent ({error})"))?;
    let about: Member = serde_json::from_slice(&answer.body).unwrap_or_default();
    Ok([about.patroni.version, server_version(about.server_version)])
}

/// `server_version_num` as people write it: 150018 is 15.18.
fn server_version(number: u32) -> String {
    match number {
        0 => "-".to_owned(),
        _ => format!("{}.{}", number / 10_000, number % 10_000),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_version_number_reads_as_postgres_writes_it() {
        assert_eq!(super::server_version(150_018), "15.18");
        assert_eq!(super::server_version(0), "-");
    }
}
