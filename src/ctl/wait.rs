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
/// A finished request is kept for people to read, but not for ever: where agents answer and do not show it so often, it
/// is looked for among the events.
const MISSED: u32 = 8;
/// And where they do not so often, it is gone.
const LOST: u32 = 80;
/// Whether or not somebody can look, it goes on: for so long nobody need be able to.
const BLIND: Duration = Duration::from_secs(30);
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
        // One that was passed over, for want of etcd, would show what was so before.
        let first = self.asked.as_ref().map(|(_, by)| target.beginning_with(by));
        let watched = self.watched(first.as_ref().unwrap_or(target), shown);
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
        let (mut acted, mut told, mut sight) = (Instant::now(), false, Sight::default());
        let mut looks = tokio::time::interval(AGAIN);
        // One that took long is not made up for.
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let looked = self.look(target, &sight).await;
            let Some(request) = sight.saw(&self.short(), looked, Instant::now())? else { continue };
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

    /// As agents show it, if they do.
    async fn look(
        &self,
        target: &Target,
        sight: &Sight,
    ) -> Result<Option<RequestRecord>, CtlError> {
        let of = |all: Vec<Event>| all.into_iter().find(|(id, _)| *id == self.id);
        if let Some((_, request)) = of(target.document("/requests").await?) {
            return Ok(Some(request));
        }
        if !sight.wants_events() {
            return Ok(None);
        }
        Ok(of(target.stored("/events").await?).map(|(_, request)| request))
    }

    /// As many digits as tell it from others.
    fn short(&self) -> String {
        self.id.get(..8).unwrap_or(&self.id).to_owned()
    }
}

/// What was seen of it lately. A look that nobody answers says nothing about it; one that does not show it does.
#[derive(Debug, Default)]
struct Sight {
    /// So many answers have not shown it since one did.
    missed: u32,
    /// Since when nobody answers.
    blind_since: Option<Instant>,
}

impl Sight {
    /// Whether the next look is to go through the events, too.
    const fn wants_events(&self) -> bool {
        self.missed % MISSED == MISSED - 1
    }

    /// What to go by after a look; nothing if there is to be another.
    fn saw(
        &mut self,
        id: &str,
        looked: Result<Option<RequestRecord>, CtlError>,
        now: Instant,
    ) -> Result<Option<RequestRecord>, CtlError> {
        match looked {
            Ok(Some(request)) => {
                *self = Self::default();
                Ok(Some(request))
            }
            Ok(None) => {
                self.blind_since = None;
                self.missed += 1;
                if self.missed < LOST {
                    return Ok(None);
                }
                Err(CtlError::OutOfSight { id: id.to_owned() })
            }
            Err(source) => {
                let since = *self.blind_since.get_or_insert(now);
                if now.saturating_duration_since(since) < BLIND {
                    return Ok(None);
                }
                let (id, source) = (id.to_owned(), Box::new(source));
                Err(CtlError::Blind { id, patience: BLIND, source })
            }
        }
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

    #[test]
    fn nobody_who_answers_is_not_a_request_that_is_gone() {
        let dark = || Err(CtlError::NoAddress);
        let (mut sight, begun) = (Sight::default(), Instant::now());
        for _ in 0..2 * LOST {
            assert!(matches!(sight.saw("5f3a", dark(), begun), Ok(None)));
        }
        let ended = sight.saw("5f3a", dark(), begun + BLIND);
        assert!(matches!(ended, Err(CtlError::Blind { .. })), "{ended:?}");
        assert_eq!(ended.map_err(|error| error.exit_code()), Err(CtlError::NoAddress.exit_code()));

        // Whoever answers is no darkness, and darkness is no answer.
        let mut sight = Sight::default();
        for nth in 1..LOST {
            assert!(matches!(sight.saw("5f3a", dark(), begun), Ok(None)));
            assert!(matches!(sight.saw("5f3a", Ok(None), begun + BLIND), Ok(None)), "{nth}");
            assert_eq!(sight.wants_events(), nth % MISSED == MISSED - 1);
        }
        let ended = sight.saw("5f3a", Ok(None), begun);
        assert!(matches!(ended, Err(CtlError::OutOfSight { .. })), "{ended:?}");
    }
}
