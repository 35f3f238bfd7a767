//! `haactl playground`: a throw-away cluster on this machine, to try things. The work is in `crate::playground`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use haa_core::units::MemberName;

use crate::playground::{
    OnDrop, Options, Part, Playground, PlaygroundError, bench, interrupted, tour, watch,
};

use super::error::CtlError;
use super::list::Overview;
use super::print::say;
use super::target::Target;

/// Start, break and watch a throw-away cluster on this machine
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  haactl playground start
  haactl playground kill n1 --postgres
  haactl playground stop
  haactl playground tour
  haactl playground bench switchover --runs 5

Exit codes: 0 done, 1 failed, 2 wrong usage")]
pub(super) struct PlaygroundArgs {
    /// Where it lives [default: haa-playground-UID below the temporary directory]
    #[arg(long, value_name = "PATH", global = true)]
    directory: Option<PathBuf>,
    /// The agent's program [default: the haad beside this haactl]
    #[arg(long, env = "HAA_HAAD", value_name = "FILE", global = true)]
    haad: Option<PathBuf>,
    #[command(subcommand)]
    verb: PlaygroundVerb,
}

#[derive(Subcommand, Debug)]
enum PlaygroundVerb {
    /// Start one etcd, three Postgres and three haad, and wait until they replicate
    Start {
        /// Stay and show it; q, Esc or Ctrl-C stops and removes everything that was started
        #[arg(long)]
        watch: bool,
    },
    /// Show what runs and where
    Status,
    /// Kill a member, or a part of it, with SIGKILL
    Kill(KillArgs),
    /// Bring a killed member back
    Revive {
        /// Which
        member: MemberName,
    },
    /// Show it live; q, Esc or Ctrl-C only ends the view
    Watch,
    /// Do the main job unattended in a playground of its own and tell it step by step
    Tour,
    /// Repeat an accident under a writer, in a playground of its own: how long did the writer wait?
    Bench {
        /// Which
        fault: bench::Fault,
        /// How many times
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
        runs: u16,
    },
    /// End and remove everything that start made
    Stop,
}

#[derive(Args, Debug)]
struct KillArgs {
    /// Which
    member: MemberName,
    #[command(flatten)]
    part: PartArgs,
}

#[derive(Args, Debug)]
#[group(multiple = false)]
struct PartArgs {
    /// Its postmaster; the agent lives
    #[arg(long)]
    postgres: bool,
    /// Its agent; Postgres lives
    #[arg(long)]
    agent: bool,
    /// Both, as when its machine loses power [default]
    #[arg(long)]
    host: bool,
}

impl PartArgs {
    fn part(&self) -> Part {
        match (self.postgres, self.agent) {
            (true, _) => Part::Postgres,
            (_, true) => Part::Agent,
            (false, false) => Part::Host,
        }
    }
}

/// Runs the verb.
///
/// # Errors
/// When it was not done.
pub(super) async fn run(args: &PlaygroundArgs) -> Result<(), CtlError> {
    let directory = args.directory.clone().unwrap_or_else(Options::usual_directory);
    let open = || Playground::open(&directory);
    match &args.verb {
        PlaygroundVerb::Start { watch } => start(args, directory, *watch).await,
        PlaygroundVerb::Status => status(&open()?).await,
        PlaygroundVerb::Kill(kill) => {
            let (playground, member) = (open()?, &kill.member);
            let part = kill.part.part();
            let ran = playground.runs_of(member, part)?;
            playground.kill(member, part)?;
            match ran {
                0 => say(format_args!("nothing of {member} ran that could be killed")),
                _ => say("killed; see what becomes of it: haactl playground watch"),
            }
        }
        PlaygroundVerb::Revive { member } => {
            let mut playground = open()?;
            let ran = playground.runs_of(member, Part::Agent)? > 0;
            playground.revive(member)?;
            if ran {
                return say(format_args!("the agent of {member} runs already"));
            }
            say(format_args!("{member} is started; see it come back: haactl playground watch"))
        }
        PlaygroundVerb::Watch => Ok(watch::watch(&open()?, interrupted()).await?),
        PlaygroundVerb::Tour => Ok(tour::run(options(args, own(args, "tour"))).await?),
        PlaygroundVerb::Bench { fault, runs } => {
            Ok(bench::run(options(args, own(args, "bench")), *fault, usize::from(*runs)).await?)
        }
        PlaygroundVerb::Stop => {
            open()?.stop()?;
            say(format_args!("ended; {} is removed", directory.display()))
        }
    }
}

/// A directory that no other playground has.
fn own(args: &PlaygroundArgs, verb: &str) -> PathBuf {
    let own = format!("haa-{verb}-{}", std::process::id());
    args.directory.clone().unwrap_or_else(|| std::env::temp_dir().join(own))
}

fn options(args: &PlaygroundArgs, directory: PathBuf) -> Options {
    Options::new(directory, args.haad.clone().unwrap_or_else(Options::haad_beside_us))
}

async fn start(args: &PlaygroundArgs, directory: PathBuf, stay: bool) -> Result<(), CtlError> {
    match Playground::open(&directory) {
        Ok(before) if before.runs() => return Err(PlaygroundError::Running(directory).into()),
        // What is left of one that ended otherwise, by a reboot for one.
        Ok(before) => before.stop()?,
        Err(PlaygroundError::Absent(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let mut options = options(args, directory);
    options.first_port = Some(17_000);
    let mut playground = Playground::create(options)?;
    say(format_args!("starting in {}", playground.directory().display()))?;
    let outcome = tokio::select! {
        outcome = come_up(&mut playground) => outcome,
        () = interrupted() => {
            playground.stop()?;
            return say("stopped and removed");
        }
    };
    // A failed start ends its processes and keeps its logs; the next start, or stop, removes them.
    outcome?;
    if stay {
        let shown = watch::watch(&playground, interrupted()).await;
        playground.stop()?;
        say("\nstopped and removed")?;
        return Ok(shown?);
    }
    playground.on_drop(OnDrop::LeaveRunning);
    addresses(&playground)?;
    let directory = playground.directory();
    let usual = *directory == Options::usual_directory();
    let own = if usual { String::new() } else { format!(" --directory {}", directory.display()) };
    say(format_args!(
        "\nTry next:\n  haactl --client-file {client} list\n  haactl playground{own} watch\n  \
         haactl playground{own} kill n1 --postgres\n  \
         haactl --client-file {client} switchover --to n2\n  haactl playground{own} stop",
        client = playground.client_file().display(),
    ))
}

async fn come_up(playground: &mut Playground) -> Result<(), CtlError> {
    playground.start_all().await?;
    tokio::select! {
        outcome = form(playground) => outcome,
        ended = playground.an_agent_ends() => Err(ended.into()),
    }
}

async fn form(playground: &Playground) -> Result<(), CtlError> {
    let patience = Duration::from_secs(60);
    let first = playground.wait_for_primary(patience).await?;
    say(format_args!("{first} is primary; the others are being cloned from it"))?;
    let others = playground.names().len() - 1;
    playground.wait_streaming(others, patience).await?;
    say(format_args!("{others} replicas stream"))
}

fn addresses(playground: &Playground) -> Result<(), CtlError> {
    say(format_args!("\netcd      {}", playground.etcd_endpoint()))?;
    for name in playground.names() {
        let (postgres, api) = (playground.postgres(&name), playground.api(&name));
        say(format_args!("{name:<9} postgres {postgres}   api http://{api}"))?;
    }
    let secrets = playground.directory().join("secrets/superuser");
    say(format_args!("password  of user postgres: {}", secrets.display()))
}

async fn status(playground: &Playground) -> Result<(), CtlError> {
    say(format_args!("playground in {}", playground.directory().display()))?;
    addresses(playground)?;
    say("")?;
    for name in playground.names() {
        let shown = |process: Option<crate::playground::Process>| {
            process.map_or("not running".to_owned(), |process| format!("pid {}", process.pid))
        };
        let (agent, postgres) = (playground.agent(&name)?, playground.postmaster(&name)?);
        let (agent, postgres) = (shown(agent), shown(postgres));
        say(format_args!("{name:<9} haad {agent:<14} postgres {postgres}"))?;
    }
    let names = playground.names();
    let agents = names.iter().map(|name| playground.api(name)).collect();
    match Overview::fetch(&Target::of(agents, None)).await {
        Ok(overview) => say(format_args!("\n{}\n{}", overview.headline(), overview.table())),
        Err(error) => say(format_args!("\n{error}")),
    }
}
