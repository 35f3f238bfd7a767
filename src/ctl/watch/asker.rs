//! Whom a watch asks, for what and when: the agent that answered last, else another; twice a second at most.
//! Never judges an answer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use haa_core::units::Address;
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use super::super::documents::{ClusterView, RoutesView};
use super::super::error::Tried;
use super::super::http::{Answer, Ask};
use super::super::target::{STORE_PATIENCE, Target};
use super::picture::{Document, News};

/// Between two requests, whatever they are for.
const PACE: Duration = Duration::from_millis(500);
/// Between two looks at the members.
const LOOK: Duration = Duration::from_secs(1);
/// Leaderships and requests are read from etcd, when the routes have changed, and so often otherwise.
const EVENTS: Duration = Duration::from_secs(10);
/// An agent tells of a change of its routes at once, else after this time.
const ROUTES: &str = "/routes?wait=30s";
/// So much longer than that is waited for it.
const ROUTES_PATIENCE: Duration = Duration::from_secs(35);

/// Asks the agents of one cluster.
pub(super) struct Asker {
    target: Target,
    pace: tokio::sync::Mutex<Interval>,
    /// Those that were named, and those that the cluster's own list has beside them.
    agents: Mutex<Vec<Address>>,
    /// Who answered last.
    preferred: AtomicUsize,
    news: mpsc::Sender<News>,
    /// The routes have changed.
    changed: Notify,
}

impl Asker {
    /// Begins to ask; ends with the set that is returned.
    pub(super) fn start(target: &Target) -> (JoinSet<()>, mpsc::Receiver<News>) {
        let (news, heard) = mpsc::channel(16);
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let asker = Arc::new(Self {
            target: target.clone(),
            pace: tokio::sync::Mutex::new(pace),
            agents: Mutex::new(target.addresses().to_vec()),
            preferred: AtomicUsize::new(0),
            news,
            changed: Notify::new(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&asker).members());
        tasks.spawn(Arc::clone(&asker).routes());
        tasks.spawn(asker.events());
        (tasks, heard)
    }

    /// Every other time, also for the verdict: who cannot give one, does not know the members either.
    async fn members(self: Arc<Self>) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            self.tell("/status", Document::Verdict).await;
            self.tell("/cluster", Document::Cluster).await;
            looks.tick().await;
            self.tell("/cluster", Document::Cluster).await;
        }
    }

    async fn routes(self: Arc<Self>) {
        let mut known = None;
        loop {
            let ask = Ask::get(ROUTES).unless_known(known.clone()).within(ROUTES_PATIENCE);
            match self.ask(ask).await {
                Ok((_, answer)) if answer.status == 304 => {}
                Ok((by, answer)) => {
                    known.clone_from(&answer.tag);
                    self.say::<RoutesView>(by, &answer, Document::Routes).await;
                    self.changed.notify_one();
                }
                // Said already, by whoever looks at the members; who asks next, asks at the same pace.
                Err(_) => known = None,
            }
        }
    }

    async fn events(self: Arc<Self>) {
        loop {
            self.tell_stored("/why", Document::Leaderships).await;
            self.tell_stored("/events", Document::Requests).await;
            // Whether it is for the change or for the time, it is the same question.
            let _either = timeout(EVENTS, self.changed.notified()).await;
        }
    }

    async fn tell<T: DeserializeOwned>(&self, path: &str, document: fn(T) -> Document) {
        match self.ask(Ask::get(path)).await {
            Ok((by, answer)) => self.say(by, &answer, document).await,
            Err(tried) => self.send(News::Silence(format!("no agent answers: {tried}"))).await,
        }
    }

    /// What an agent has to ask etcd for. While etcd is away, what was told before stands.
    async fn tell_stored<T: DeserializeOwned>(&self, path: &str, document: fn(T) -> Document) {
        if let Ok((by, answer)) = self.ask(Ask::get(path).within(STORE_PATIENCE)).await {
            self.say(by, &answer, document).await;
        }
    }

    async fn say<T: DeserializeOwned>(
        &self,
        by: Address,
        answer: &Answer,
        document: fn(T) -> Document,
    ) {
        let news = match serde_json::from_slice(&answer.body) {
            Ok(read) => News::Said { by, document: document(read) },
            Err(error) => News::Silence(format!("{by} answers something odd: {error}")),
        };
        if let News::Said { document: Document::Cluster(cluster), .. } = &news {
            self.learn(cluster);
        }
        self.send(news).await;
    }

    /// When nobody listens any more, there is nobody to tell.
    async fn send(&self, news: News) {
        let _ = self.news.send(news).await;
    }

    fn agents(&self) -> Vec<Address> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Others may be asked, when those that were named are all gone.
    fn learn(&self, cluster: &ClusterView) {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        for agent in cluster.members.iter().filter_map(|member| member.agent()) {
            if !agents.contains(&agent) {
                agents.push(agent);
            }
        }
    }

    /// One after the other until one can tell, the one that answered last first.
    async fn ask(&self, ask: Ask) -> Result<(Address, Answer), Tried> {
        let ask = ask.over(self.target.dialer());
        let agents = self.agents();
        let first = self.preferred.load(Ordering::Relaxed);
        let mut tried = Vec::new();
        for at in (0..agents.len()).map(|step| (first + step) % agents.len()) {
            self.pace.lock().await.tick().await;
            let agent = agents[at].clone();
            match ask.send(&agent).await {
                Ok(answer) if matches!(answer.status, 200 | 304) => {
                    self.preferred.store(at, Ordering::Relaxed);
                    return Ok((agent, answer));
                }
                Ok(answer) => tried.push((agent, answer.sentence())),
                Err(error) => tried.push((agent, error.to_string())),
            }
        }
        Err(Tried(tried))
    }
}
