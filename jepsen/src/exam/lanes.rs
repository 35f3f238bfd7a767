//! What each member was over time, and how far replicas were behind, looked at from outside a few times a second: for
//! the picture. Judged is only who said that it accepts writes after another one began to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use haa::ctl::documents::Lag as Behind;
use haa::ctl::http::Ask;

use crate::hosts::stat::{STOPPED, Stat};
use crate::hosts::{Group, MEMBERS, Watch, places};
use crate::report::{Lag, Lane, Role, Span};
use crate::workloads::Recorder;

use super::led;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);

#[derive(Clone, Debug, Default)]
struct Seen {
    lanes: BTreeMap<&'static str, Vec<Span>>,
    lag: BTreeMap<&'static str, Vec<(u64, u64)>>,
    /// When a member in a term was asked first and last and said that it accepts writes.
    led: BTreeMap<(&'static str, u64), (u64, u64)>,
}

/// Who looks.
#[derive(Debug)]
pub(super) struct Sampler {
    seen: watch::Receiver<Seen>,
    looking: JoinHandle<()>,
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

/// What an agent says of itself, as far as we want it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Document {
    state: String,
    haa: Own,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Own {
    role: String,
    term: Option<u64>,
}

impl Sampler {
    pub(super) fn begin(watch: Watch, groups: Vec<Group>, recorder: Arc<Recorder>) -> Self {
        let (sender, seen) = watch::channel(Seen::default());
        let looking = tokio::spawn(async move {
            loop {
                look((&watch, &groups), &recorder, &sender).await;
                sleep(LOOK).await;
            }
        });
        Self { seen, looking }
    }

    pub(super) fn finish(self) -> (Vec<Lane>, Vec<Lag>, Vec<led::Seen>) {
        let seen = self.seen.borrow().clone();
        let lanes = seen.lanes.into_iter();
        let lanes = lanes.map(|(member, spans)| Lane { member: member.to_owned(), spans });
        let lag = seen.lag.into_iter();
        let lag = lag.map(|(member, points)| Lag { member: member.to_owned(), points });
        let led = seen.led.into_iter();
        let led = led.map(|((member, term), (from, at))| {
            let member = member.to_owned();
            led::Seen { member, term, from, at }
        });
        (lanes.collect(), lag.collect(), led.collect())
    }
}

async fn look(
    (watch, groups): (&Watch, &[Group]),
    recorder: &Recorder,
    sender: &watch::Sender<Seen>,
) {
    let places = places();
    // Its body says all that an agent says of itself, whether it accepts writes or not.
    let asked = places.iter().map(|place| {
        let ask = Ask::get("/primary").within(LOOK);
        async move {
            let answer = ask.send(&place.api).await.ok()?;
            let said = serde_json::from_slice::<Document>(&answer.body).ok()?;
            Some((said, answer.status == 200))
        }
    });
    // What is answered was so after this.
    let before = recorder.now();
    let all = futures_util::future::join_all(asked);
    let (said, view) = tokio::join!(all, watch.cluster());
    let now = recorder.now();
    sender.send_modify(|seen| {
        for ((member, said), group) in MEMBERS.into_iter().zip(&said).zip(groups) {
            let (role, term) = match said {
                Some((said, accepts)) => {
                    if let (true, Some(term)) = (*accepts, said.haa.term) {
                        seen.led.entry((member, term)).or_insert((before, before)).1 = before;
                    }
                    role(said)
                }
                None if stands_still(group) => (Role::Frozen, None),
                None => (Role::Down, None),
            };
            extend(seen.lanes.entry(member).or_default(), role, term, now);
        }
        for one in view.iter().flat_map(|view| &view.members) {
            let Some(member) = MEMBERS.into_iter().find(|name| *name == one.name) else { continue };
            if let Some(Behind::Bytes(bytes)) = one.lag {
                seen.lag.entry(member).or_default().push((now, bytes));
            }
        }
    });
}

/// The group as a whole, or the agent in it.
fn stands_still(group: &Group) -> bool {
    let agent_stopped = |pid: &i32| {
        let stat = Stat::of(*pid);
        stat.is_some_and(|stat| stat.name.starts_with("haad") && stat.state == STOPPED)
    };
    group.is_frozen() || group.members().iter().any(agent_stopped)
}

fn role(Document { state, haa }: &Document) -> (Role, Option<u64>) {
    match (haa.role.as_str(), state.as_str()) {
        ("primary", "running") => (Role::Primary, haa.term),
        ("replica", "running" | "streaming") => (Role::Replica, None),
        _ => (Role::Changing, None),
    }
}

/// The last span goes on if it is the same; else it ends here, and another begins.
fn extend(spans: &mut Vec<Span>, role: Role, term: Option<u64>, now: u64) {
    match spans.last_mut() {
        Some(last) if last.role == role && last.term == term => last.to = Some(now),
        before => {
            if let Some(before) = before {
                before.to = Some(now);
            }
            spans.push(Span { role, term, from: now, to: Some(now) });
        }
    }
}
