//! Waiting for what comes of a command, however long that takes. Asks; whoever waits no more changes nothing.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use haa_core::records::{RequestId, RequestRecord, RequestState};
use haa_core::units::{Address, MemberName};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;

use super::error::CtlError;
use super::events::Event;
use super::http::Answer;
use super::list::Overview;
use super::print::say;
use super::target::Target;

/// Between two looks at it.
const AGAIN: Duration = Duration::from_millis(250);
/// A finished request is kept for people to read, but not for ever: missed for so many looks, it is looked for among
/// the events.
const MISSED: u32 = 8;
/// And missed for so many, it is gone.
const LOST: u32 = 80;
/// By then an agent takes back what nobody acts on.
const PATIENCE: Duration = Duration::from_secs(90);
/// Whoever waits for so long is told how to come back.
const LONG: Duration = Duration::from_secs(10);

/// An agent has written it down.
#[derive(Deserialize)]
pub(super) struct Begun {
    request: RequestId,
}

/// A command that an agent has taken.
pub(super) struct Taken {
    pub(super) id: RequestId,
    /// What it is called, and who took it, where it was asked for here.
    pub(super) asked: Option<(&'static str, Address)>,
}

impl Taken {
    /// From the answer of the agent that took it.
    ///
    /// # Errors
    /// When that is not such an answer.
    pub(super) fn of(
        what: &'static str,
        path: &str,
        (by, answer): (Address, Answer),
    ) -> Result<Self, CtlError> {
        match serde_json::from_slice(&answer.body) {
            Ok(Begun { request: id }) => Ok(Self { id, asked: Some((what, by)) }),
            Err(source) => Err(CtlError::OddAnswer { by, path: path.to_owned(), source }),
        }
    }

    /// Waits until it has come to its end; what is so then, in a sentence.
    ///
    /// # Errors
    /// When it was refused, nobody acts on it, it is not shown any more, or is not waited for any longer.
    pub(super) async fn ended(
        &self,
        target: &Target,
        timeout: Option<Duration>,
        shown: Option<Shown<'_>>,
    ) -> Result<String, CtlError> {
        let left = |why: String| Err(CtlError::NotWaitedFor { id: self.short(), why });
        let watched = self.watched(target, shown);
        let waited = async {
            match timeout {
                Some(most) => tokio::time::timeout(most, watched)
                    .await
                    .unwrap_or_else(|_| left(format!("it is not done after {most:?}"))),
                None => watched.await,
            }
        };
        tokio::select! {
            ended = waited => ended,
            _ = tokio::signal::ctrl_c() => left("nobody waits any longer".to_owned()),
        }
    }

    async fn watched(
        &self,
        target: &Target,
        mut shown: Option<Shown<'_>>,
    ) -> Result<String, CtlError> {
        let began = Instant::now();
        let (mut acted, mut told, mut missed) = (Instant::now(), false, 0);
        let mut looks = tokio::time::interval(AGAIN);
        // One that took long is not made up for.
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let Some(request) = self.look(target, missed).await else {
                missed += 1;
                if missed >= LOST {
                    return Err(CtlError::OutOfSight { id: self.short() });
                }
                continue;
            };
            missed = 0;
            match request.state {
                RequestState::Done { what } => return Ok(what),
                RequestState::Refused { why } => {
                    return Err(match &self.asked {
                        Some((what, by)) => CtlError::Refused { what, by: by.clone(), why },
                        None => CtlError::CameToNothing { what: request.ask.sentence(), why },
                    });
                }
                RequestState::Pending if acted.elapsed() >= PATIENCE => {
                    return Err(CtlError::NobodyActs { id: self.short(), patience: PATIENCE });
                }
                RequestState::Pending => {}
                RequestState::Scheduled | RequestState::Accepted { .. } => acted = Instant::now(),
            }
            if !told && shown.is_none() && began.elapsed() >= LONG {
                told = true;
                let (what, id) = (request.ask.sentence(), self.short());
                let says = "is not done yet. Ctrl-C leaves it going on; haactl requests wait";
                let mut out = std::io::stderr().lock();
                writeln!(out, "'{what}' {says} {id} comes back to it").map_err(CtlError::Write)?;
            }
            if let Some(shown) = &mut shown
                && let Ok(now) = Overview::fetch(target).await
            {
                shown.show(&now)?;
            }
        }
    }

    /// It goes on whether or not somebody can look: an agent that does not answer now is only a look that is missed.
    async fn look(&self, target: &Target, missed: u32) -> Option<RequestRecord> {
        let open: Vec<Event> = target.document("/requests").await.unwrap_or_default();
        let of = |all: Vec<Event>| all.into_iter().find(|(id, _)| *id == self.id);
        match of(open) {
            Some((_, request)) => Some(request),
            None if missed % MISSED == MISSED - 1 => {
                of(target.stored("/events").await.unwrap_or_default()).map(|(_, request)| request)
            }
            None => None,
        }
    }

    /// As many digits as tell it from others.
    fn short(&self) -> String {
        self.id.get(..8).unwrap_or(&self.id).to_owned()
    }
}

/// As indicatif has it.
const BAR: &str = "{msg} [{wide_bar}] {pos}%";

/// How far a member is: a bar on a terminal, else a line for each change.
pub(super) struct Shown<'a> {
    member: &'a MemberName,
    bar: Option<ProgressBar>,
    said: String,
}

impl<'a> Shown<'a> {
    pub(super) fn new(member: &'a MemberName) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template(BAR);
            ProgressBar::new(100).with_style(style.expect("it was tried"))
        });
        Self { member, bar, said: String::new() }
    }

    pub(super) fn show(&mut self, now: &Overview) -> Result<(), CtlError> {
        let member = now.members.iter().find(|member| member.name == self.member.as_str());
        let (state, percent) = match member {
            Some(member) => (member.shown_state(), member.progress),
            None => ("not there".to_owned(), None),
        };
        let state = format!("{} is {state}", self.member);
        if let Some(bar) = &self.bar {
            bar.set_message(state);
            bar.set_position(percent.map_or(0, u64::from));
        } else if state != self.said {
            say(&state)?;
            self.said = state;
        }
        Ok(())
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_has_a_template_that_is_one() {
        assert!(ProgressStyle::with_template(BAR).is_ok());
    }
}
