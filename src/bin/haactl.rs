//! haactl: parses the command line, runs the verb, says the error once, exits with its code.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use haa::ctl::{Cli, CtlError, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(&Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to be told when standard error is gone, too.
            let _ = writeln!(std::io::stderr().lock(), "haactl: {}", chain(&error));
            ExitCode::from(error.exit_code())
        }
    }
}

/// The error and what caused it, in one sentence.
fn chain(error: &CtlError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
