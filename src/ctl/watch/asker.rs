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
use super::picture::{Document, News, Topic};
use crate::verdict::Verdict;

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
            self.verdict().await;
            self.cluster().await;
            looks.tick().await;
            self.cluster().await;
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
                    self.say::<RoutesView>(by, &answer, Topic::Routes, Document::Routes).await;
                    self.changed.notify_one();
                }
                // Who asks next, asks at the same pace.
                Err(missed) => {
                    known = None;
                    self.miss(Topic::Routes, &missed).await;
                }
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

    async fn cluster(&self) {
        match self.ask(Ask::get("/cluster")).await {
            Ok((by, answer)) => self.say(by, &answer, Topic::Members, Document::Cluster).await,
            Err(missed) => self.miss(Topic::Members, &missed).await,
        }
    }

    /// Of those who have none of a cluster that is well, the one who knows most.
    async fn verdict(&self) {
        match self.ask(Ask::get("/status")).await {
            Ok((by, answer)) => self.say(by, &answer, Topic::Verdict, Document::Verdict).await,
            Err(missed) => match missed.best() {
                Some((by, verdict)) => {
                    self.send(News::Said { by, document: Document::Verdict(verdict) }).await;
                }
                None => self.miss(Topic::Verdict, &missed).await,
            },
        }
    }

    /// What an agent has to ask etcd for. While etcd is away, what was told before stands.
    async fn tell_stored<T: DeserializeOwned>(&self, path: &str, document: fn(T) -> Document) {
        if let Ok((by, answer)) = self.ask(Ask::get(path).within(STORE_PATIENCE)).await
            && let Ok(read) = serde_json::from_slice(&answer.body)
        {
            self.send(News::Said { by, document: document(read) }).await;
        }
    }

    async fn say<T: DeserializeOwned>(
        &self,
        by: Address,
        answer: &Answer,
        topic: Topic,
        document: fn(T) -> Document,
    ) {
        let news = match serde_json::from_slice(&answer.body) {
            Ok(read) => News::Said { by, document: document(read) },
            Err(error) => News::Silence(topic, format!("{by} answers something odd: {error}")),
        };
        if let News::Said { document: Document::Cluster(cluster), .. } = &news {
            self.learn(cluster);
        }
        self.send(news).await;
    }

    async fn miss(&self, topic: Topic, missed: &Missed) {
        self.send(News::Silence(topic, format!("no agent answers: {}", missed.tried))).await;
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
    async fn ask(&self, ask: Ask) -> Result<(Address, Answer), Missed> {
        let ask = self.target.question(ask);
        let agents = self.agents();
        let first = self.preferred.load(Ordering::Relaxed);
        let (mut tried, mut unwell) = (Vec::new(), Vec::new());
        for at in (0..agents.len()).map(|step| (first + step) % agents.len()) {
            self.pace.lock().await.tick().await;
            let agent = agents[at].clone();
            match ask.send(&agent).await {
                Ok(answer) if matches!(answer.status, 200 | 304) => {
                    self.preferred.store(at, Ordering::Relaxed);
                    return Ok((agent, answer));
                }
                Ok(answer) => {
                    tried.push((agent.clone(), answer.sentence()));
                    unwell.push((agent, answer));
                }
                Err(error) => tried.push((agent, error.to_string())),
            }
        }
        Err(Missed { tried: Tried(tried), unwell })
    }
}

/// Nobody could tell.
struct Missed {
    tried: Tried,
    /// Those that answered all the same: what they say of it can be a document, too.
    unwell: Vec<(Address, Answer)>,
}

impl Missed {
    /// The verdict of the one who knows most: `down` is known, `unknown` is not.
    fn best(&self) -> Option<(Address, Verdict)> {
        let read = |(by, answer): &(Address, Answer)| {
            let verdict = serde_json::from_slice::<Verdict>(&answer.body).ok()?;
            Some((by.clone(), verdict))
        };
        self.unwell.iter().filter_map(read).min_by_key(|(_, verdict)| verdict.health)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Health;

    #[test]
    fn who_knows_that_all_is_down_is_heard_before_those_who_know_nothing() {
        let answer = |at: u8, body: &str| {
            let by: Address = format!("10.0.0.{at}:8008").parse().expect("an address");
            (by, Answer { status: 503, tag: None, body: body.as_bytes().to_vec() })
        };
        let of = |health: &str| {
            format!(r#"{{"health": "{health}", "ails": [], "primary": null, "outlook": null}}"#)
        };
        let unwell =
            vec![answer(1, "a proxy's words"), answer(2, &of("unknown")), answer(3, &of("down"))];
        let missed = Missed { tried: Tried(Vec::new()), unwell };
        let (by, verdict) = missed.best().expect("two have one");
        assert_eq!((by.to_string().as_str(), verdict.health), ("10.0.0.3:8008", Health::Down));
        let nobody = Missed { tried: Tried(Vec::new()), unwell: vec![answer(1, "no")] };
        assert_eq!(nobody.best(), None);
    }
}
