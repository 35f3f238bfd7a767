//! Waiting for a playground to come about: asks the agents over HTTP, each wait with a deadline and a last answer
//! to show when it passes.

use std::time::{Duration, Instant};

use futures_util::future::select_ok;
use hyper::Method;
use serde::de::DeserializeOwned;
use tokio::time::sleep;

use haa_core::units::MemberName;

use crate::ctl::documents::{ClusterView, MemberView, RoutesView};
use crate::ctl::http::{Ask, HttpError};

use super::error::PlaygroundError;
use super::process::Process;
use super::teardown::tail;
use super::{Playground, loopback};

/// An agent answers from memory; one that takes longer is frozen or dead.
const ANSWER: Duration = Duration::from_millis(500);
/// One question alone waits for an agent that a busy machine keeps from answering.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two questions.
const LOOK: Duration = Duration::from_millis(20);

impl Playground {
    /// Asks a member's agent; the status code and the document.
    ///
    /// # Errors
    /// When it does not answer within twenty seconds.
    pub async fn http_get(
        &self,
        name: &MemberName,
        path: &str,
    ) -> Result<(u16, String), HttpError> {
        let answer = Ask::get(path).within(PATIENCE).send(&self.api(name)).await?;
        Ok((answer.status, answer.text()))
    }

    /// Sends a member's agent a command, with the playground's token.
    ///
    /// # Errors
    /// When it does not answer, or the token cannot be read.
    pub async fn http_post(
        &self,
        name: &MemberName,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<(u16, String), HttpError> {
        self.http_send(Method::POST, name, path, body).await
    }

    /// The same by another method.
    ///
    /// # Errors
    /// As there.
    pub async fn http_send(
        &self,
        method: Method,
        name: &MemberName,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<(u16, String), HttpError> {
        let token = std::fs::read_to_string(self.token_file())
            .map_err(|error| HttpError::NotConnected(format!("cannot read the token: {error}")))?;
        let ask = Ask::command(method, path, token.trim().to_owned(), body);
        let answer = ask.send(&self.api(name)).await?;
        Ok((answer.status, answer.sentence()))
    }

    /// Waits until one member says `/primary`: it may accept writes and does.
    ///
    /// # Errors
    /// When none does within the time.
    pub async fn wait_for_primary(&self, at_most: Duration) -> Result<MemberName, PlaygroundError> {
        self.wait("a primary", at_most, async |seen| {
            let names = self.names();
            let asked = names.iter().map(|name| Box::pin(self.says_primary(name)));
            select_ok(asked).await.map_err(|why| *seen = why).ok().map(|(name, _)| name)
        })
        .await
    }

    /// Waits until there is a leader and `count` replicas stream; answers the cluster as it then is.
    ///
    /// # Errors
    /// When it does not come about within the time.
    pub async fn wait_streaming(
        &self,
        count: usize,
        at_most: Duration,
    ) -> Result<ClusterView, PlaygroundError> {
        let what = format!("a leader and {count} streaming replicas");
        self.wait_cluster(&what, at_most, |view| {
            view.leader().is_some() && view.streaming() >= count
        })
        .await
    }

    /// Waits until every member streams and is a voter: whoever leads can be lost.
    ///
    /// # Errors
    /// When it does not come about within the time.
    pub async fn wait_voting(&self, at_most: Duration) -> Result<ClusterView, PlaygroundError> {
        let all = self.names().len();
        self.wait_cluster("every member as a voter", at_most, |view| {
            view.streaming() == all - 1 && view.voters() == all
        })
        .await
    }

    /// Waits until this member is a replica that streams.
    ///
    /// # Errors
    /// When it does not come about within the time.
    pub async fn wait_member_streams(
        &self,
        name: &MemberName,
        at_most: Duration,
    ) -> Result<ClusterView, PlaygroundError> {
        let what = format!("{name} as a streaming replica");
        let streams = |member: &MemberView| member.name == name.as_str() && member.streams();
        self.wait_cluster(&what, at_most, |view| view.members.iter().any(streams)).await
    }

    /// Waits until what an agent says of the cluster is as wanted.
    ///
    /// # Errors
    /// When it does not come about within the time.
    pub async fn wait_cluster(
        &self,
        what: &str,
        at_most: Duration,
        wanted: impl Fn(&ClusterView) -> bool,
    ) -> Result<ClusterView, PlaygroundError> {
        self.wait(what, at_most, async |seen| {
            let view = self.cluster().await;
            *seen = view.as_ref().map_or("no agent answers".to_owned(), summary);
            view.filter(&wanted)
        })
        .await
    }

    /// Waits until an agent that was started has ended: while a cluster comes up, none should.
    pub async fn an_agent_ends(&self) -> PlaygroundError {
        loop {
            for name in self.names() {
                if self.agent(&name).is_ok_and(|agent| agent.is_none()) {
                    let what = format!("haad of {name}");
                    return PlaygroundError::Ended { what, tail: self.tail(&name) };
                }
            }
            sleep(LOOK).await;
        }
    }

    /// What the first agent that answers says of the cluster.
    pub async fn cluster(&self) -> Option<ClusterView> {
        self.first("/cluster", |_| true).await
    }

    /// What the first agent that can tell says of the routes.
    pub async fn routes(&self) -> Option<RoutesView> {
        self.first("/routes", |_| true).await
    }

    /// What the first agent that names a primary says of the routes.
    pub async fn routes_to_primary(&self) -> Option<RoutesView> {
        self.first("/routes", |routes: &RoutesView| routes.primary.is_some()).await
    }

    async fn says_primary(&self, name: &MemberName) -> Result<MemberName, String> {
        match Ask::get("/primary").within(ANSWER).send(&self.api(name)).await {
            Ok(answer) if answer.status == 200 => Ok(name.clone()),
            Ok(answer) => Err(format!("{name}: status {}", answer.status)),
            Err(error) => Err(format!("{name}: {error}")),
        }
    }

    /// Asks all at once and takes the first that can tell: a frozen agent costs nothing.
    async fn first<T: DeserializeOwned>(
        &self,
        path: &str,
        wanted: impl Fn(&T) -> bool,
    ) -> Option<T> {
        let wanted = &wanted;
        let lives = |name: &MemberName| self.agent(name).is_ok_and(|agent| agent.is_some());
        let living: Vec<MemberName> = self.names().into_iter().filter(lives).collect();
        if living.is_empty() {
            return None;
        }
        let asked = living.iter().map(|name| {
            let (ask, address) = (Ask::get(path).within(ANSWER), self.api(name));
            Box::pin(async move {
                let answer = ask.send(&address).await.ok().filter(|answer| answer.status == 200);
                let document = answer.and_then(|answer| serde_json::from_slice(&answer.body).ok());
                document.filter(|document| wanted(document)).ok_or(())
            })
        });
        select_ok(asked).await.ok().map(|(document, _)| document)
    }

    /// Waits until etcd says that it is healthy.
    pub(super) async fn wait_for_etcd(&self) -> Result<(), PlaygroundError> {
        let address = loopback(self.state.etcd.client_port);
        let ask = Ask::get("/health");
        let log = self.etcd_log();
        let up = self.wait("etcd", Duration::from_secs(30), async |seen| {
            if !self.state.etcd.process.is_some_and(Process::alive) {
                return Some(false);
            }
            match ask.send(&address).await {
                Ok(answer) if answer.text().contains("\"true\"") => return Some(true),
                Ok(answer) => *seen = answer.text(),
                Err(error) => *seen = error.to_string(),
            }
            None
        });
        match up.await? {
            true => Ok(()),
            false => Err(PlaygroundError::Ended { what: "etcd".to_owned(), tail: tail(&log, 15) }),
        }
    }

    /// Looks until `look` finds something; it leaves in `seen` what it saw instead.
    async fn wait<T>(
        &self,
        what: &str,
        at_most: Duration,
        look: impl AsyncFn(&mut String) -> Option<T>,
    ) -> Result<T, PlaygroundError> {
        let began = Instant::now();
        let mut seen = "none".to_owned();
        loop {
            if let Some(found) = look(&mut seen).await {
                return Ok(found);
            }
            if began.elapsed() > at_most {
                let (what, waited, tails) = (what.to_owned(), at_most, self.tails());
                return Err(PlaygroundError::NotInTime { what, waited, seen, tails });
            }
            sleep(LOOK).await;
        }
    }
}

/// The members in one line.
pub(super) fn summary(view: &ClusterView) -> String {
    let one =
        |member: &MemberView| format!("{} {} {}", member.name, member.role_word(), member.state);
    view.members.iter().map(one).collect::<Vec<_>>().join(", ")
}
