//! `haactl watch`: a cluster on a terminal, as it lives. Looks only, and leaves the terminal as it was.
//!
//! | module | owns |
//! |---|---|
//! | `asker` | whom to ask, and never more often than twice a second |
//! | `picture` | what is known, and since when |
//! | `screen` | how that looks |

mod asker;
mod picture;
mod screen;

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use clap::Args;
use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use futures_util::StreamExt;
use ratatui::DefaultTerminal;
use tokio::time::MissedTickBehavior;

use super::error::CtlError;
use super::target::Target;
use crate::playground::interrupted;
use asker::Asker;
use picture::Picture;

/// The age of what is shown moves on though nothing is heard.
const REDRAW: Duration = Duration::from_secs(1);

/// Show the cluster as it lives, on the whole terminal; q ends it
#[derive(Args, Debug)]
#[command(after_help = "\
It asks one agent at a time, twice a second at most, and another when that one does not answer; any member knows
the whole cluster.

Keys: q, Esc or Ctrl-C end it.

Example:
  haactl --api 10.0.0.1:8008,10.0.0.2:8008 watch

Exit codes: 0 ended, 1 the terminal cannot be used, 2 wrong usage, or this is no terminal")]
pub(super) struct WatchArgs {}

/// Runs the verb.
///
/// # Errors
/// When this is no terminal, or it cannot be written to.
pub(super) async fn run(_: &WatchArgs, target: &Target) -> Result<(), CtlError> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(CtlError::NotATerminal);
    }
    show(target, interrupted()).await.map_err(CtlError::Write)
}

/// Shows the cluster until a key or `end` ends it.
///
/// # Errors
/// When the terminal cannot be used.
pub(crate) async fn show(target: &Target, end: impl Future<Output = ()>) -> io::Result<()> {
    let mut terminal = Borrowed(ratatui::try_init()?);
    let (asking, mut news) = Asker::start(target);
    let (mut picture, mut keys) = (Picture::default(), EventStream::new());
    let mut ticks = tokio::time::interval(REDRAW);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut end = std::pin::pin!(end);
    loop {
        terminal.0.draw(|frame| screen::draw(frame, &picture, Instant::now()))?;
        tokio::select! {
            () = &mut end => break,
            key = keys.next() => match key {
                Some(Ok(Event::Key(key))) if ends(key) => break,
                // A terminal that has grown or shrunk is drawn anew like any other.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None => break,
            },
            Some(news) = news.recv() => picture.take(news, Instant::now()),
            _ = ticks.tick() => {}
        }
    }
    drop(asking);
    Ok(())
}

const fn ends(key: KeyEvent) -> bool {
    let pressed = matches!(key.kind, KeyEventKind::Press);
    let wanted = match key.code {
        KeyCode::Char('q') | KeyCode::Esc => true,
        KeyCode::Char('c') => key.modifiers.contains(KeyModifiers::CONTROL),
        _ => false,
    };
    pressed && wanted
}

/// The terminal, given back however this ends; on a panic the hook that comes with it does so first.
struct Borrowed(DefaultTerminal);

impl Drop for Borrowed {
    fn drop(&mut self) {
        ratatui::restore();
    }
}
