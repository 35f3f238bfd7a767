//! Where to write and where to read: heard from haa's agents. Never asks Postgres.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ETAG, IF_NONE_MATCH};
use reqwest::{Client, StatusCode};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// An agent answers by then; one that does not is passed over.
const ANSWER: Duration = Duration::from_secs(2);
/// How long an agent holds a question while nothing changes.
const HOLD: Duration = Duration::from_secs(30);
/// When no agent answers.
const AGAIN: Duration = Duration::from_millis(200);

/// What is known of the cluster, kept fresh by a task that ends with it.
#[derive(Clone, Debug)]
pub struct Routes {
    agents: Arc<[String]>,
    http: Client,
    primary: watch::Receiver<Option<String>>,
}

impl Routes {
    /// Begins to listen. `agents` are `http://HOST:PORT`, any of them, in any order.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn watch(agents: Vec<String>) -> anyhow::Result<Self> {
        let http = Client::builder().connect_timeout(ANSWER).build()?;
        let (found, primary) = watch::channel(None);
        let routes = Self { agents: agents.into(), http, primary };
        tokio::spawn(routes.clone().listen(found));
        Ok(routes)
    }

    /// `HOST:PORT` of the primary, as soon as there is one.
    pub async fn primary(&self, patience: Duration) -> Option<String> {
        let mut primary = self.primary.clone();
        let found = timeout(patience, primary.wait_for(Option::is_some)).await.ok()?.ok()?;
        found.clone()
    }

    /// `HOST:PORT` of the replica with the least lag that has replayed `seen`, such as `0/3000060`; of the primary
    /// where none has.
    pub async fn reader(&self, seen: Option<&str>) -> Option<String> {
        let mut path = "/routes/read?format=hostport&choose=least-lag".to_owned();
        if let Some(seen) = seen {
            path.push_str("&wait=200ms&min_lsn=");
            path.push_str(seen);
        }
        for agent in self.agents.iter() {
            let asked = self.http.get(format!("{agent}{path}")).timeout(ANSWER).send().await;
            let Ok(answer) = asked else { continue };
            match (answer.status(), answer.text().await) {
                (StatusCode::OK, Ok(text)) => return text.lines().next().map(str::to_owned),
                // The position was no position: another agent says the same.
                (StatusCode::BAD_REQUEST, _) => return None,
                (_, _) => {}
            }
        }
        self.primary.borrow().clone()
    }

    /// One agent holds our question until its answer is another: we hear of a failover in milliseconds, and ask twice
    /// a minute. When that agent is gone, the next one is asked.
    async fn listen(self, found: watch::Sender<Option<String>>) {
        let mut tag: Option<String> = None;
        for agent in self.agents.iter().cycle() {
            loop {
                let path =
                    format!("{agent}/routes/primary?format=hostport&wait={}s", HOLD.as_secs());
                let mut ask = self.http.get(path).timeout(HOLD + ANSWER);
                if let Some(tag) = &tag {
                    ask = ask.header(IF_NONE_MATCH, tag);
                }
                let answer = tokio::select! {
                    answer = ask.send() => answer,
                    () = found.closed() => return,
                };
                let Ok(answer) = answer else { break };
                match answer.status() {
                    StatusCode::NOT_MODIFIED => continue,
                    StatusCode::OK => {}
                    _ => break,
                }
                let new = answer.headers().get(ETAG).and_then(|tag| tag.to_str().ok());
                tag = new.map(str::to_owned);
                let Ok(text) = answer.text().await else { break };
                found.send_replace(text.lines().next().map(str::to_owned));
            }
            // This one knows of no primary, or is gone.
            tag = None;
            found.send_replace(None);
            sleep(AGAIN).await;
        }
    }
}
