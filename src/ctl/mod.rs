//! haactl, one file a verb: asks agents over HTTP and prints. Never decides, and never talks to etcd or Postgres.

mod at;
mod doctor;
pub mod documents;
mod drain;
pub mod error;
mod events;
mod history;
pub mod http;
mod import;
pub mod list;
mod pause;
mod playground;
mod print;
mod reinit;
mod reload;
mod remove;
mod replay;
mod requests;
mod restart;
mod routes;
mod settings;
mod sites;
mod status;
mod switchover;
pub mod target;
mod version;
mod wait;
pub(crate) mod watch;
mod why;

use clap::{CommandFactory, Parser, Subcommand};

pub use error::CtlError;
pub use import::ImportError;

use crate::papers::Papers;
use target::TargetArgs;

/// Looks at and commands a haa cluster.
#[derive(Parser, Debug)]
#[command(
    name = "haactl",
    version,
    arg_required_else_help = true,
    after_help = "\
Examples:
  haactl --api 10.0.0.1:8008,10.0.0.2:8008 status
  haactl list
  haactl switchover --to n2
  haactl playground start

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 no agent could be reached,
4 token missing or refused"
)]
pub struct Cli {
    #[command(flatten)]
    target: TargetArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    Status(status::StatusArgs),
    Doctor(doctor::DoctorArgs),
    List(list::ListArgs),
    Watch(watch::WatchArgs),
    Switchover(switchover::SwitchoverArgs),
    Failover(switchover::FailoverArgs),
    PromoteCluster(sites::PromoteClusterArgs),
    DemoteCluster(sites::DemoteClusterArgs),
    Drain(drain::DrainArgs),
    Undrain(drain::UndrainArgs),
    Restart(restart::RestartArgs),
    Reload(reload::ReloadArgs),
    Reinit(reinit::ReinitArgs),
    Remove(remove::RemoveArgs),
    Requests(requests::RequestsArgs),
    Settings(settings::SettingsArgs),
    Pause(pause::PauseArgs),
    Resume(pause::ResumeArgs),
    Events(events::EventsArgs),
    Routes(routes::RoutesArgs),
    History(history::HistoryArgs),
    Why(why::WhyArgs),
    Version(version::VersionArgs),
    Replay(replay::ReplayArgs),
    Import(import::ImportArgs),
    Playground(playground::PlaygroundArgs),
    #[command(hide = true)]
    Papers(Papers),
}

/// Does what the command line says.
///
/// # Errors
/// When it was not done; [`CtlError::exit_code`] says how.
pub async fn run(cli: &Cli) -> Result<(), CtlError> {
    let target = || cli.target.resolve();
    match &cli.verb {
        Verb::Status(args) => status::run(args, &target()?).await,
        Verb::Doctor(args) => doctor::run(args, &target()?).await,
        Verb::List(args) => list::run(args, &target()?).await,
        Verb::Watch(args) => watch::run(args, &target()?).await,
        Verb::Switchover(args) => switchover::switchover(args, &target()?).await,
        Verb::Failover(args) => switchover::failover(args, &target()?).await,
        Verb::PromoteCluster(args) => sites::promote(args, &target()?).await,
        Verb::DemoteCluster(args) => sites::demote(args, &target()?).await,
        Verb::Drain(args) => drain::drain(args, &target()?).await,
        Verb::Undrain(args) => drain::undrain(args, &target()?).await,
        Verb::Restart(args) => restart::run(args, &target()?).await,
        Verb::Reload(args) => reload::run(args, &target()?).await,
        Verb::Reinit(args) => reinit::run(args, &target()?).await,
        Verb::Remove(args) => remove::run(args, &target()?).await,
        Verb::Requests(args) => requests::run(args, &target()?).await,
        Verb::Settings(args) => settings::run(args, &target()?).await,
        Verb::Pause(args) => pause::pause(args, &target()?).await,
        Verb::Resume(args) => pause::resume(args, &target()?).await,
        Verb::Events(args) => events::run(args, &target()?).await,
        Verb::Routes(args) => routes::run(args, &target()?).await,
        Verb::History(args) => history::run(args, &target()?).await,
        Verb::Why(args) => why::run(args, &target()?).await,
        Verb::Version(args) => version::run(args, &cli.target).await,
        Verb::Replay(args) => replay::run(args),
        Verb::Import(args) => import::run(args),
        Verb::Playground(args) => playground::run(args).await,
        Verb::Papers(papers) => papers.write(Cli::command()).map_err(CtlError::Write),
    }
}
