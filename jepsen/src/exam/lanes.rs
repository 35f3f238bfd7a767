//! What each member was over time, and how far replicas were behind, looked at from outside a few times a second. Only
//! for the picture: nothing is judged by it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use haa::ctl::documents::Lag as Behind;
use haa::ctl::http::Ask;

use crate::hosts::{MEMBERS, Watch, places};
use crate::report::{Lag, Lane, Role, Span};
use crate::workloads::Recorder;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);

#[derive(Clone, Debug, Default)]
struct Seen {
    lanes: BTreeMap<&'static str, Vec<Span>>,
    lag: BTreeMap<&'static str, Vec<(u64, u64)>>,
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
    pub(super) fn begin(watch: Watch, recorder: Arc<Recorder>) -> Self {
        let (sender, seen) = watch::channel(Seen::default());
        let looking = tokio::spawn(async move {
            loop {
                look(&watch, &recorder, &sender).await;
                sleep(LOOK).await;
            }
        });
        Self { seen, looking }
    }

    pub(super) fn finish(self) -> (Vec<Lane>, Vec<Lag>) {
        let seen = self.seen.borrow().clone();
        let lanes = seen.lanes.into_iter();
        let lanes = lanes.map(|(member, spans)| Lane { member: member.to_owned(), spans });
        let lag = seen.lag.into_iter();
        let lag = lag.map(|(member, points)| Lag { member: member.to_owned(), points });
        (lanes.collect(), lag.collect())
    }
}

async fn look(watch: &Watch, recorder: &Recorder, sender: &watch::Sender<Seen>) {
    let places = places();
    let asked = places.iter().map(|place| {
        let ask = Ask::get("/patroni").within(LOOK);
        async move {
            let answer = ask.send(&place.api).await.ok();
            answer.and_then(|answer| serde_json::from_slice::<Document>(&answer.body).ok())
        }
    });
    let all = futures_util::future::join_all(asked);
    let (said, view) = tokio::join!(all, watch.cluster());
    let now = recorder.now();
    sender.send_modify(|seen| {
        for (member, said) in MEMBERS.into_iter().zip(&said) {
            let (role, term) = role(said.as_ref());
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

fn role(said: Option<&Document>) -> (Role, Option<u64>) {
    let Some(Document { state, haa }) = said else { return (Role::Down, None) };
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
