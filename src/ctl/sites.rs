//! `haactl promote-cluster` and `haactl demote-cluster`: which of two clusters accepts writes. Asks one of the two; the
//! other is the operator's to ask.

use clap::Args;
use serde_json::json;

use haa_core::units::{Address, Position};

use super::error::CtlError;
use super::list::Overview;
use super::switchover::{confirm, order};
use super::target::Target;

/// Make this standby cluster accept writes: it follows no other any more
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  haactl promote-cluster --at-least 6:0/5000060  # as haactl demote-cluster said at the other site
  haactl promote-cluster                         # the other site is lost

Nothing but you keeps the other cluster from accepting writes too: they have no etcd in common. Without
--at-least, be sure that it is gone, or demoted; what it had committed and this one had not received is lost.

Exit codes: 0 the new primary accepts writes, 1 refused or failed, 2 wrong usage,
3 no agent could be reached, 4 token missing or refused")]
pub(super) struct PromoteClusterArgs {
    /// Not before this much of the other cluster's WAL is replayed here
    #[arg(long, value_name = "TIMELINE:LSN")]
    at_least: Option<Position>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Not now but then: refused, with the reason
    #[arg(long = "at", value_name = "TIME", hide = true, value_parser = never)]
    _at: Option<String>,
}

/// Stop writes, and have this cluster follow another one, which follows this one until now
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  haactl demote-cluster --to 10.1.0.1:5432,10.1.0.2:5432,10.1.0.3:5432

Nobody accepts writes from then on, until haactl promote-cluster is given at the other site, with what this
prints; or here, to take it back. Refused, before anything is stopped, unless a standby cluster streams from this
one and is close. In a standby cluster: it follows that one from now on.

Exit codes: 0 this cluster is a standby, 1 refused or failed, 2 wrong usage,
3 no agent could be reached, 4 token missing or refused")]
pub(super) struct DemoteClusterArgs {
    /// Where the Postgres of each member of the other cluster listens
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', required = true)]
    to: Vec<Address>,
    /// The replication slot to use there
    #[arg(long, value_name = "SLOT")]
    slot: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Not now but then: refused, with the reason
    #[arg(long = "at", value_name = "TIME", hide = true, value_parser = never)]
    _at: Option<String>,
}

/// Whoever is used to it hears why not.
fn never(_: &str) -> Result<String, String> {
    let why = "which of two clusters accepts writes is not changed at a time: only then is known whether the other one \
               has closed its writes, and where they end. Let a script run demote-cluster at the one, and \
               promote-cluster --at-least, with what that said, at the other";
    Err(why.to_owned())
}

/// Runs `promote-cluster`.
///
/// # Errors
/// When it is refused, fails, or nobody takes it.
pub(super) async fn promote(args: &PromoteClusterArgs, target: &Target) -> Result<(), CtlError> {
    if !args.yes {
        let now = Overview::fetch(target).await?;
        let question = match args.at_least {
            Some(at) => format!("Make it accept writes, once it has replayed {at}?"),
            None => "Is the other cluster gone, or demoted? Then make this one accept writes, without what it \
                     had not received?"
                .to_owned(),
        };
        confirm(&format!("{}\n{question}", now.table()))?;
    }
    let at_least = args.at_least.map(Position::mark);
    order("promote-cluster", "/promote-cluster", &json!({ "at_least": at_least }), target).await
}

/// Runs `demote-cluster`.
///
/// # Errors
/// When it is refused, fails, or nobody takes it.
pub(super) async fn demote(args: &DemoteClusterArgs, target: &Target) -> Result<(), CtlError> {
    let to: Vec<String> = args.to.iter().map(Address::to_string).collect();
    if !args.yes {
        let now = Overview::fetch(target).await?;
        let question = format!("Stop writes here, and follow the cluster at {}?", to.join(","));
        confirm(&format!("{}\n{question}", now.table()))?;
    }
    let body = json!({ "to": to, "slot": args.slot });
    order("demote-cluster", "/demote-cluster", &body, target).await
}
