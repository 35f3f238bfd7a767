//! Where clients write: asked as a load balancer asks, `/primary` of every member again and again. Never asks twice
//! at once, and knows nothing else of the cluster.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use haa::ctl::http::Ask;

use crate::hosts::Place;

/// Between two questions to one member.
const LOOK: Duration = Duration::from_millis(20);
/// A member that takes longer counts as down.
const ANSWER: Duration = Duration::from_millis(300);

/// Where to write now. Clones see the same.
#[derive(Clone, Debug)]
pub struct Route {
    now: watch::Receiver<Option<&'static str>>,
}

/// Those who ask. Dropping it ends them.
#[derive(Debug)]
pub struct Asking {
    _tasks: JoinSet<()>,
}

impl Route {
    /// Begins to ask.
    #[must_use]
    pub fn begin(places: &[Place]) -> (Self, Asking) {
        let (sender, now) = watch::channel(None);
        let mut tasks = JoinSet::new();
        for place in places.iter().cloned() {
            tasks.spawn(ask(place, sender.clone()));
        }
        (Self { now }, Asking { _tasks: tasks })
    }

    /// The member that accepts writes by its own word; of two the one that said so last.
    #[must_use]
    pub fn now(&self) -> Option<&'static str> {
        *self.now.borrow()
    }

    /// Waits until there is one.
    pub async fn some(&mut self) -> Option<&'static str> {
        self.now.wait_for(Option::is_some).await.ok().and_then(|found| *found)
    }

    /// Waits until another than this one accepts writes.
    pub async fn moved_from(&mut self, member: &str) {
        let other = |now: &Option<&'static str>| now.is_some_and(|now| now != member);
        if self.now.wait_for(other).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn ask(place: Place, now: watch::Sender<Option<&'static str>>) {
    let mut before = false;
    loop {
        let next = Instant::now() + LOOK;
        let answer = Ask::get("/primary").within(ANSWER);
        let answer = tokio::time::timeout(ANSWER, answer.send(&place.api)).await;
        let accepts = answer.is_ok_and(|answer| answer.is_ok_and(|answer| answer.status == 200));
        if accepts && !before {
            now.send_replace(Some(place.member));
        } else if accepts {
            // Somebody else was there in between, and is gone.
            now.send_if_modified(|now| now.is_none() && now.replace(place.member).is_none());
        } else if before {
            now.send_if_modified(|now| *now == Some(place.member) && now.take().is_some());
        }
        before = accepts;
        sleep_until(next).await;
    }
}
