//! haad: the agent beside one Postgres. Parses, builds, runs, gives an exit code.

use std::io::Write;
use std::num::NonZero;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser};
use haa::agent::{self, End};
use haa::config::{self, Config};
use haa::guard::{self, Post};
use haa::haad::{About, Arguments, Verb};
use haa::{logging, preflight};
use haa_core::input::Leave;
use tokio::runtime::{self, Runtime};

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const REFUSED: u8 = 3;

fn main() -> ExitCode {
    match Arguments::parse().verb {
        Verb::Run { file, leave_postgres } => {
            let leave = if leave_postgres { Leave::LeavePostgres } else { Leave::StopPostgres };
            run(&file.config, leave)
        }
        Verb::Check { file } => check(&file.config),
        Verb::Guard(post) => stand_guard(&post),
        Verb::Papers(papers) => match papers.write(Arguments::command()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => complain(&error.to_string(), FAILED),
        },
        Verb::Config { what: About::Example } => print(config::EXAMPLE),
        Verb::Config { what: About::Schema } => print(&format!("{:#}\n", config::schema())),
    }
}

fn run(file: &Path, leave: Leave) -> ExitCode {
    let config = match load(file) {
        Ok(config) => config,
        Err(code) => return code,
    };
    if let Err(why) = preflight::not_root() {
        return complain(&why, USAGE);
    }
    if let Err(error) = logging::begin(&config.log) {
        return complain(&format!("{error:#}"), USAGE);
    }
    let runtime = match threads() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&format!("no threads to run on: {error}"), FAILED),
    };
    let end = runtime.block_on(agent::run(config, leave));
    // Work that a hung disk holds up is not waited for.
    runtime.shutdown_timeout(Duration::from_millis(100));
    match end {
        Ok(End::Stopped) => ExitCode::SUCCESS,
        Ok(End::Refused(why)) => complain(&format!("refused to join: {why}"), REFUSED),
        Err(error) => complain(&format!("{error:#}"), FAILED),
    }
}

/// A hung disk holds a thread up for each that works on it: the loop is to have one left on the smallest machine.
fn threads() -> std::io::Result<Runtime> {
    const AT_LEAST: usize = 4;
    let cores = std::thread::available_parallelism().map_or(AT_LEAST, NonZero::get);
    runtime::Builder::new_multi_thread().worker_threads(cores.max(AT_LEAST)).enable_all().build()
}

fn stand_guard(post: &Post) -> ExitCode {
    if let Err(error) = logging::begin(&post.log()) {
        return complain(&format!("{error:#}"), USAGE);
    }
    match guard::run(post) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&format!("guard: {error:#}"), FAILED),
    }
}

fn check(file: &Path) -> ExitCode {
    let config = match Config::load(file, &config::environment()) {
        Ok(config) => config,
        Err(error) => {
            let lines: String = error
                .to_string()
                .lines()
                .map(|line| {
                    format!(
                        "wrong  \
                 {line}\n"
                    )
                })
                .collect();
            print(&lines);
            return ExitCode::from(FAILED);
        }
    };
    let runtime = match threads() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&format!("no threads to run on: {error}"), FAILED),
    };
    let findings = runtime.block_on(preflight::findings(&config));
    let lines: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
    print(&format!(
        "fine   {}: member {} of cluster \
         {}\n{lines}",
        file.display(),
        config.name,
        config.cluster
    ));
    if findings.iter().any(preflight::Finding::is_wrong) {
        ExitCode::from(FAILED)
    } else {
        ExitCode::SUCCESS
    }
}

fn load(file: &Path) -> Result<Config, ExitCode> {
    Config::load(file, &config::environment()).map_err(|error| complain(&error.to_string(), USAGE))
}

/// Nobody reads on (`| head`): that is no failure of ours.
fn print(text: &str) -> ExitCode {
    drop(std::io::stdout().lock().write_all(text.as_bytes()));
    ExitCode::SUCCESS
}

fn complain(text: &str, code: u8) -> ExitCode {
    let lines: String = text.lines().map(|line| format!("haad: {line}\n")).collect();
    drop(std::io::stderr().lock().write_all(lines.as_bytes()));
    ExitCode::from(code)
}
