//! The loop: one input, one decision, its wishes handed to those who own the thing. Waits for nobody: not for
//! etcd, not for Postgres, not for a disk.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use haa_core::effect::{Effect, Exit, Job};
use haa_core::input::{Input, JobResult, Leave};
use haa_core::lease::Leadership;
use haa_core::node::{Config as NodeConfig, Node, Pools};
use haa_core::routes::Status;
use haa_core::settings::Durability;
use haa_core::units::{JobId, Millis, Revision};
use haa_core::voters::Promises;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::herald::Herald;
use super::memory::Memory;
use super::notes::{self, Notes};
use super::promises::{self, Keeper};
use super::reload::Reloader;
use super::tally::Tally;
use super::{calls, clock, errands, signals, wall};
use crate::api::tokens::Tokens;
use crate::api::{self, Metrics};
use crate::config::{self, Bootstrap, Config};
use crate::doctor::{Examiner, Sources};
use crate::guard::Tether;
use crate::hooks::Hooks;
use crate::peers::{self, Peers};
use crate::pgbouncer::Pgbouncers;
use crate::postgres::{Gates, LostSlot, Opening, Postgres, Promotion};
use crate::router::Router;
use crate::store::Store;
use crate::tls::{Dialer, Door};

/// So many inputs may wait; who has more to say waits until the loop has caught up.
const INPUTS: usize = 1024;

/// So many slots that were lost wait to be told of.
const LOSSES: usize = 16;

/// How the agent ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// As asked.
    Stopped,
    /// It cannot be part of this cluster: what is wrong and what to do.
    Refused(String),
}

struct Agent {
    node: Node,
    notes: Notes,
    tally: Tally,
    herald: Herald,
    hooks: Hooks,
    promises: Keeper,
    store: Arc<Store>,
    postgres: Postgres,
    pgbouncers: Pgbouncers,
    peers: Peers,
    guard: Option<Tether>,
    status: watch::Sender<Option<Arc<Status>>>,
    alive_at: watch::Sender<Millis>,
    remembered: Option<Leadership>,
    /// How long Postgres was told to bear a silent connection.
    bears: Option<Millis>,
    /// The settings whose parameters Postgres was told.
    shared: Revision,
    logged: Logged,
    end: Option<End>,
}

/// What need not be logged again, or at all.
#[derive(Default)]
struct Logged {
    /// Why it does not stand.
    waits: Option<String>,
    /// Work that only asks: it is told of when it fails.
    question: Option<JobId>,
}

/// Run until a signal, or until the core says that this member cannot be part of the cluster.
///
/// # Errors
/// What kept it from starting, with its cause.
pub async fn run(config: Config, leave: Leave) -> anyhow::Result<End> {
    let memory = Memory::open(&config.state_directory)?;
    let tokens = Tokens::load(&config.api.token_file)?;
    let (door, dialer) = certified(&config.api)?;
    let listener = listener(&config.api).await?;
    let (inputs, received) = mpsc::channel(INPUTS);
    let mut registry = Metrics::registry(&config.cluster, &config.name);
    let (hooks, asked) = Hooks::start(&config, &mut registry);
    let (gates, openings, lost) = gates(&config, asked.gate);
    let news = calls::News { vetoes: asked.vetoes, lost };
    let postgres = postgres(&config, inputs.clone(), gates)?;
    let store = Arc::new(Store::start(&config.etcd, &config.cluster, inputs.clone())?);
    let (status, published) = watch::channel(None);
    let (alive_at, alive) = watch::channel(clock::now());
    let ((ask, called), shutdown) = (mpsc::channel(64), CancellationToken::new());
    let router = route(&config, &published, &alive)?;
    let pgbouncers = pgbouncers(&config, &published, &inputs);
    let (told, guard) = (published.clone(), guard(&config, openings).await);
    let (metrics, tally) = count(&config, registry, &store);
    let api = api::Api {
        status: published,
        calls: ask,
        tokens: tokens.clone(),
        questions: config.api.questions,
        cluster: config.cluster.clone(),
        scheme: if door.is_locked() { "https" } else { "http" },
        alive_at: alive,
        router: router.as_ref().map(Router::counters),
        guard: guard.as_ref().map(Tether::standing),
        slots: postgres.kept_slots(),
        held: postgres.held(),
        metrics,
    };
    let examiner = examiner(&config, &api, (&store, &postgres, &hooks));
    tokio::spawn(news.tell(config.name.clone(), Arc::clone(&store)));
    let hearing = peers::router(&config.cluster, tokens.clone(), inputs.clone());
    let reloader = reloader(&config, &postgres, &inputs, (&api, &store));
    let serving = tokio::spawn(api::serve(listener, door, api, hearing, shutdown.clone()));
    tokio::spawn(calls::answer_calls(called, Arc::clone(&store), examiner, reloader));
    let promises = Keeper::start(&config.state_directory, inputs.clone())?;
    tokio::spawn(wall::tell(told.clone(), inputs.clone()));
    tokio::spawn(signals::pass(inputs, leave, told, config.settings.timing));
    let node = Node::new(node_config(&config, &memory, promises::read(&config.state_directory)?));
    tracing::info!(member = %config.name, cluster = %config.cluster, api = %config.api.listen, "haad runs");
    let notes = Notes::begin(&config.state_directory, memory, &node)
        .context("cannot start the thread that writes the journal")?;
    let agent = Agent {
        node,
        notes,
        tally,
        herald: Herald::new(std::env::var_os("NOTIFY_SOCKET").as_deref()),
        hooks,
        promises,
        store,
        postgres,
        pgbouncers,
        peers: Peers::new(&config.cluster, tokens, dialer),
        guard,
        status,
        alive_at,
        remembered: None,
        bears: None,
        shared: Revision::ABSENT,
        logged: Logged::default(),
        end: None,
    };
    let end = agent.run(received, leave).await;
    drained(router, &shutdown, serving).await;
    end
}

async fn listener(api: &config::Api) -> anyhow::Result<TcpListener> {
    let listen = api.listen.to_string();
    TcpListener::bind(&listen).await.with_context(|| {
        format!("cannot listen on {listen} for the API: free the port, or change api.listen in haad.toml")
    })
}

/// Clients of the router go first; who still asks the API has a moment to hear the answer.
async fn drained(
    router: Option<Router>,
    shutdown: &CancellationToken,
    serving: JoinHandle<std::io::Result<()>>,
) {
    if let Some(router) = router {
        router.leave().await;
    }
    shutdown.cancel();
    if tokio::time::timeout(Duration::from_secs(2), serving).await.is_err() {
        tracing::debug!("some API connections were cut");
    }
}

fn postgres(
    config: &Config,
    inputs: mpsc::Sender<Input>,
    gates: Gates,
) -> anyhow::Result<Postgres> {
    let postgres = Postgres::start(
        config.postgres.clone(),
        config.name.clone(),
        config.state_directory.clone(),
        inputs,
        gates,
    )?;
    // Whoever is promoted, by us or by hand, acknowledges nothing until a leadership says for whom commits wait.
    postgres.rest(Durability::Quorum).with_context(|| {
        format!("cannot write into the state directory {}", config.state_directory.display())
    })?;
    Ok(postgres)
}

/// What is counted, and by whom.
fn count(config: &Config, mut registry: Registry, store: &Store) -> (Arc<Metrics>, Tally) {
    store.register(&mut registry);
    let tally = Tally::register(&mut registry);
    (Arc::new(Metrics::new(&config.cluster, &config.name, registry)), tally)
}

/// Who looks at this member's setup when somebody asks.
fn examiner(
    config: &Config,
    api: &api::Api,
    (store, postgres, hooks): (&Arc<Store>, &Postgres, &Hooks),
) -> Arc<Examiner> {
    let sources = Sources {
        tokens: api.tokens.clone(),
        store: Arc::clone(store),
        postgres: postgres.examiner(),
        status: api.status.clone(),
        guard: api.guard.clone(),
        hooks: hooks.failures(),
    };
    Arc::new(Examiner::new(config.clone(), sources))
}

/// Who reads `haad.toml` again when somebody asks, a SIGHUP comes, or the time that was named for it.
fn reloader(
    config: &Config,
    postgres: &Postgres,
    inputs: &mpsc::Sender<Input>,
    (api, store): (&api::Api, &Arc<Store>),
) -> Arc<Reloader> {
    let asked = (postgres.asker(), postgres.vetter());
    let reloader = Reloader::new(config.clone(), asked, inputs.clone(), Arc::clone(store));
    let reloader = Arc::new(reloader);
    tokio::spawn(signals::reload(Arc::clone(&reloader)));
    let errands = errands::carry_out(api.clone(), Arc::clone(store), Arc::clone(&reloader));
    tokio::spawn(errands);
    reloader
}

/// How clients come in, and how we go to others.
fn certified(api: &config::Api) -> anyhow::Result<(Door, Dialer)> {
    let Some(tls) = &api.tls else { return Ok((Door::open(), Dialer::plain())) };
    let made = (Door::load(tls)?, Dialer::of_member(tls)?);
    // It starts all the same: at the worst moment, an old certificate would be one trouble more.
    if let Some(why) = tls.objection(&api.address)? {
        tracing::warn!(address = %api.address, %why, "others will not believe this member's certificate: renew it");
    }
    Ok(made)
}

fn route(
    config: &Config,
    status: &watch::Receiver<Option<Arc<Status>>>,
    alive_at: &watch::Receiver<Millis>,
) -> anyhow::Result<Option<Router>> {
    let router = config.router.as_ref();
    router.map(|router| Router::start(router, status.clone(), alive_at.clone())).transpose()
}

fn pgbouncers(
    config: &Config,
    status: &watch::Receiver<Option<Arc<Status>>>,
    inputs: &mpsc::Sender<Input>,
) -> Pgbouncers {
    Pgbouncers::start(config.pgbouncer.as_ref(), status.clone(), inputs.clone())
}

/// Whom promotions ask: the guard, if there is to be one, and the operator's own program; and who hears what was lost.
fn gates(
    config: &Config,
    hook: Option<mpsc::Sender<Promotion>>,
) -> (Gates, Option<mpsc::Receiver<Opening>>, mpsc::Receiver<LostSlot>) {
    let (guard, openings) = config.guard.enabled.then(|| mpsc::channel(1)).unzip();
    let (tells, lost) = mpsc::channel(LOSSES);
    (Gates { guard, hook, lost: Some(tells) }, openings, lost)
}

async fn guard(config: &Config, openings: Option<mpsc::Receiver<Opening>>) -> Option<Tether> {
    match openings {
        Some(openings) => Some(Tether::start(config, openings)),
        None => {
            Tether::dismiss(config).await;
            None
        }
    }
}

fn node_config(config: &Config, memory: &Memory, promises: Promises) -> NodeConfig {
    NodeConfig {
        name: config.name.clone(),
        instance: memory.instance(),
        postgres: config.postgres.address.clone(),
        api: config.api.address.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        tags: config.tags.clone(),
        settings: config.settings.clone(),
        seed: rand::random(),
        remembered: memory.leadership(),
        promises,
        pools: if config.pgbouncer.is_some() { Pools::Known } else { Pools::None },
        follows: match &config.postgres.bootstrap {
            Bootstrap::Standby(site) => Some(site.clone()),
            Bootstrap::InitDb(_) | Bootstrap::Command(_) => None,
        },
    }
}

impl Agent {
    async fn run(mut self, mut inputs: mpsc::Receiver<Input>, leave: Leave) -> anyhow::Result<End> {
        let mut input = Input::Tick;
        loop {
            let now = clock::now();
            self.log_input(&input);
            self.herald.hear(&input);
            let effects = self.node.handle(now, &input);
            self.alive_at.send_replace(now);
            self.tally.step(&input, &effects);
            let told = notes::told(&effects);
            for effect in effects {
                self.perform(effect);
            }
            self.notes.step(now, input, told, &self.node);
            if let Some(end) = self.end.take() {
                self.finish(leave).await;
                return Ok(end);
            }
            let wait = Duration::from_millis(self.node.deadline().since(clock::now()).0);
            input = tokio::select! {
                next = tokio::time::timeout(wait, inputs.recv()) => match next {
                    Ok(Some(input)) => input,
                    Ok(None) | Err(_) => Input::Tick,
                },
                why = self.postgres.broken() => anyhow::bail!(
                    "{why}: a fault in haad, which ends so that its next start takes Postgres over; \
                     please report it with the log"
                ),
            };
        }
    }

    fn log_input(&self, input: &Input) {
        match input {
            Input::Job(_, JobResult::Failed(why)) => tracing::warn!(%why, "work failed"),
            Input::Job(id, JobResult::Done) if self.logged.question == Some(*id) => {}
            Input::Job(_, result) => tracing::info!(?result, "work ended"),
            Input::Discarded(lost) => tracing::warn!("{lost}"),
            Input::Tags(tags) => tracing::info!(?tags, "this member has other tags"),
            Input::Stop(leave) => tracing::info!(?leave, "asked to stop"),
            Input::Tick
            | Input::Store(_)
            | Input::Lease(_)
            | Input::LeaseSeen(_)
            | Input::StoreRevokesEarly(_)
            | Input::Postgres(_)
            | Input::Promised(_)
            | Input::Peer(_)
            | Input::Wall(_) => {}
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Store(wish) => self.store.wish(wish),
            Effect::Job(id, Job::Hold) => {
                tracing::info!("PgBouncers are to hold their clients");
                self.pgbouncers.hold(id);
            }
            Effect::Job(id, job) => {
                if job.is_a_question() {
                    self.logged.question = Some(id);
                } else {
                    tracing::info!(?job, "work begins");
                }
                self.postgres.job(id, job);
            }
            Effect::Close(reason) => {
                tracing::warn!(%reason, "closing writes at once");
                self.postgres.close();
            }
            Effect::Look => self.postgres.look(),
            Effect::Slots(wish) => self.postgres.slots(wish),
            Effect::Promise(promises) => self.promises.keep(promises),
            Effect::List(proof, list) => self.postgres.list(proof, list),
            Effect::OpenDoor(proof) => self.postgres.open_door(proof),
            Effect::ForgetNote(fork) => self.postgres.forget_note(fork),
            Effect::Beat(beat) => self.peers.beat(*beat),
            Effect::Publish(status) => self.publish(*status),
            Effect::Announce(transition) => tracing::info!(
                from = transition.from,
                to = transition.to,
                term = transition.term.0,
                reason = %transition.reason,
                "changed role"
            ),
            Effect::Exit(Exit::Stopped) => self.end = Some(End::Stopped),
            Effect::Exit(Exit::Refused(why)) => self.end = Some(End::Refused(why)),
        }
    }

    fn publish(&mut self, status: Status) {
        if let Some(guard) = &mut self.guard {
            guard.know(clock::now(), &status);
        }
        self.peers.know(&status);
        let silence = status.settings.timing.receiver_timeout();
        if status.settings_revision != Revision::ABSENT && self.bears != Some(silence) {
            self.bears = Some(silence);
            self.postgres.bear_silence(silence);
        }
        if status.settings_revision != self.shared {
            self.shared = status.settings_revision;
            self.postgres.share(self.shared, status.settings.postgres.parameters.clone());
        }
        self.herald.know(&status);
        self.hooks.know(&status);
        if status.waits != self.logged.waits {
            self.logged.waits.clone_from(&status.waits);
            if let Some(why) = &self.logged.waits {
                tracing::warn!(why, "waits");
            }
        }
        if status.leadership != self.remembered {
            self.remembered = status.leadership;
            self.notes.leadership(status.leadership);
            self.tally.leadership(status.leadership);
        }
        self.status.send_replace(Some(Arc::new(status)));
    }

    /// Let wishes that are on their way (a lease let go) reach the store.
    async fn finish(self, leave: Leave) {
        self.postgres.leave().await;
        self.hooks.leave(leave).await;
        self.store.shutdown().await;
        self.notes.end().await;
        if let Some(guard) = self.guard {
            guard.leave().await;
        }
    }
}
