//! The clients: each does one operation after another, through the routes or at one member whatever becomes of it, and
//! records what it was told. Never tries an operation twice.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::history::{Op, Phase, Step};
use crate::hosts::Place;

use super::Workload;
use super::faithful;
use super::outcome::{Failure, Fate, Server};
use super::record::Recorder;
use super::route::Route;
use super::session::{Session, Way};

/// What takes longer is given up, its outcome unknown.
const PATIENCE: Duration = Duration::from_secs(2);
/// Before a member that refused is asked again.
const AGAIN: Duration = Duration::from_millis(10);

/// Where a client goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To whoever accepts writes, by the word of `/primary`.
    Routed,
    /// To the first of a list of hosts that lets it write, as libpq does (`target_session_attrs=read-write`), for as
    /// long as that connection lasts.
    Listed,
    /// To a router of any member, and where that leads, for as long as that connection lasts.
    Relayed,
    /// To this member, whatever it is by now, to write: this finds one that does not know that it is deposed. What
    /// such a member is only read for may be old, as the documents say, and is no matter for a judge.
    Pinned(&'static str),
    /// To this member, to read, while it says that it may be read from.
    Reader(&'static str),
    /// To whoever accepts writes, and to read, where the routes lead one who has written so far: it is promised that it
    /// sees what it wrote.
    Faithful,
}

/// What all clients of a workload share.
#[derive(Clone, Debug)]
pub struct Crew {
    /// What they do.
    pub workload: Arc<Workload>,
    /// Which of the run's workloads that is.
    pub number: usize,
    /// How many the run has. Of some kinds each has as many as one alone, and they are slower by that.
    pub among: u32,
    /// Where members are.
    pub places: Arc<Vec<Place>>,
    /// Where to write.
    pub route: Route,
    /// What happened.
    pub recorder: Arc<Recorder>,
    /// A client pauses up to twice as long between two operations.
    pub pause: Duration,
    /// Of the run.
    pub seed: u64,
    /// Wrong on purpose: what is not known is tried again, and told as if it had been done once.
    pub retries: bool,
}

/// Clients at work. Dropping it ends them in the middle of what they do.
#[derive(Debug)]
pub struct AtWork {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl AtWork {
    /// Lets each end what it does, and then go.
    pub async fn finish(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Crew {
    /// Sends these clients out. They run where this is called: on their own host's threads.
    #[must_use]
    pub fn begin(&self, kinds: &[Kind]) -> AtWork {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for (number, kind) in (0_u64..).zip(kinds) {
            let client = Client {
                crew: self.clone(),
                kind: *kind,
                process: self.recorder.process(*kind, self.number),
                session: None,
                seen: 0,
                rng: StdRng::seed_from_u64(self.seed ^ (number << 32)),
            };
            tasks.spawn(client.work(stopped.clone()));
        }
        AtWork { stop, tasks }
    }
}

struct Client {
    crew: Crew,
    kind: Kind,
    process: u32,
    session: Option<Session>,
    /// How far the WAL was when it last wrote or read: for a faithful one.
    seen: u64,
    rng: StdRng,
}

impl Client {
    async fn work(mut self, mut stopped: watch::Receiver<bool>) {
        let mut stop = stopped.clone();
        while !*stopped.borrow_and_update() {
            let longest = self.crew.pause.as_micros().saturating_mul(self.slower());
            let longest = u64::try_from(longest).unwrap_or(u64::MAX).max(1);
            sleep(Duration::from_micros(self.rng.random_range(0..longest))).await;
            tokio::select! {
                session = self.session() => self.session = session,
                _ = stop.changed() => return,
            }
            if let Some(session) = self.session.take() {
                self.once(session).await;
                if self.kind == Kind::Faithful {
                    self.read_back().await;
                }
            } else {
                sleep(AGAIN).await;
            }
        }
    }

    /// How much longer its longest pause is than the crew's.
    fn slower(&self) -> u128 {
        let among = u128::from(self.crew.among);
        let reader = among * u128::from(self.crew.workload.reader_pause());
        match self.kind {
            Kind::Routed | Kind::Listed | Kind::Relayed => 2,
            Kind::Pinned(_) => 2 * among,
            Kind::Faithful => reader,
            Kind::Reader(_) => 2 * reader,
        }
    }

    /// The session that there is, or a new one where it should be.
    async fn session(&mut self) -> Option<Session> {
        let wanted = match (self.kind, &self.session) {
            (Kind::Listed | Kind::Relayed, _) => return self.by_itself().await,
            // Nobody says that they accept writes: a session that there is may know better.
            (Kind::Routed | Kind::Faithful, Some(session)) if !session.closed() => {
                self.crew.route.now().unwrap_or(session.member)
            }
            (Kind::Routed | Kind::Faithful, _) => self.crew.route.some().await?,
            (Kind::Pinned(member) | Kind::Reader(member), _) => member,
        };
        let place = self.crew.places.iter().find(|place| place.member == wanted)?;
        if matches!(self.kind, Kind::Reader(_)) && !faithful::offers_reads(place).await {
            self.session = None;
            return None;
        }
        let good = |session: &Session| session.member == wanted && !session.closed();
        if let Some(session) = self.session.take().filter(good) {
            return Some(session);
        }
        Session::open(place, matches!(self.kind, Kind::Reader(_))).await.ok()
    }

    /// The connection that there is, or a new one: to whom it leads is not its business.
    async fn by_itself(&mut self) -> Option<Session> {
        if let Some(session) = self.session.take().filter(|session| !session.closed()) {
            return Some(session);
        }
        let way = if self.kind == Kind::Relayed { Way::Routers } else { Way::Hosts };
        Session::by(way, &self.crew.places).await.ok()
    }

    async fn once(&mut self, mut session: Session) {
        let Crew { workload, recorder, .. } = self.crew.clone();
        let op = match self.kind {
            Kind::Routed | Kind::Listed | Kind::Relayed => workload.next(&mut self.rng),
            Kind::Pinned(_) | Kind::Faithful => workload.next_write(&mut self.rng),
            Kind::Reader(_) => workload.next_read(&mut self.rng),
        };
        recorder.begin(self.process, op.clone());
        let member = session.member;
        let delay = Duration::from_micros(self.rng.random_range(0..4_000));
        let moved = async {
            match self.kind {
                Kind::Routed | Kind::Faithful => self.crew.route.moved_from(member).await,
                Kind::Listed | Kind::Relayed | Kind::Pinned(_) | Kind::Reader(_) => {
                    std::future::pending().await
                }
            }
        };
        let done = tokio::select! {
            done = timeout(PATIENCE, workload.perform(&mut session, &op, delay)) => {
                done.unwrap_or_else(|_| Err(Failure::unknown(format!("no answer in {PATIENCE:?}"))))
            }
            () = moved => Err(Failure::unknown(format!("{member} no longer accepts writes"))),
        };
        match done {
            Ok((op, stamp)) => {
                recorder.ok(self.process, op, stamp);
                self.session = Some(session);
            }
            Err(failure) if self.crew.retries && failure.phase == Phase::Info => {
                // Its transaction may hold what the next one waits for.
                drop(session);
                self.again(op).await;
            }
            Err(failure) => {
                let failure = if op_reads(&op) { failure.of_a_read() } else { failure };
                let Failure { phase, said, session: fate, server } = failure;
                recorder.bad(self.process, phase, op, format!("{member}: {said}"));
                if phase == Phase::Info {
                    self.process = recorder.process(self.kind, self.crew.number);
                }
                // One that no longer may write looks for another.
                let by_itself = matches!(self.kind, Kind::Listed | Kind::Relayed);
                if fate == Fate::Keeps && !(by_itself && server == Server::ReadOnly) {
                    self.session = Some(session);
                    sleep(AGAIN).await;
                }
            }
        }
    }
}

impl Client {
    /// What a careless client does: the second answer is taken for the outcome of both tries.
    async fn again(&mut self, op: Op) {
        let Crew { workload, recorder, .. } = self.crew.clone();
        self.session = self.session().await;
        let Some(session) = &mut self.session else {
            return recorder.bad(self.process, Phase::Fail, op, "no login".to_owned());
        };
        match workload.perform(session, &op, Duration::ZERO).await {
            Ok((op, stamp)) => recorder.ok(self.process, op, stamp),
            Err(failure) => recorder.bad(self.process, Phase::Fail, op, failure.said),
        }
    }

    /// Reads where it is promised to find what it wrote.
    async fn read_back(&mut self) {
        let Crew { workload, recorder, .. } = self.crew.clone();
        if let Some(session) = &mut self.session
            && let Ok(Ok(stamp)) = timeout(PATIENCE, session.place()).await
        {
            self.seen = self.seen.max(stamp.lsn);
        }
        let Some(member) = faithful::reader(&self.crew.places, self.seen).await else { return };
        let Some(place) = self.crew.places.iter().find(|place| place.member == member) else {
            return;
        };
        let Ok(mut session) = Session::open(place, true).await else { return };
        let op = workload.next_read(&mut self.rng);
        recorder.begin(self.process, op.clone());
        match timeout(PATIENCE, workload.perform(&mut session, &op, Duration::ZERO)).await {
            Ok(Ok((op, stamp))) => {
                self.seen = self.seen.max(stamp.as_ref().map_or(0, |stamp| stamp.lsn));
                recorder.ok(self.process, op, stamp);
            }
            Ok(Err(failure)) => {
                let said = format!("{member}: {}", failure.said);
                recorder.bad(self.process, Phase::Fail, op, said);
            }
            Err(_) => {
                let said = format!("{member}: no answer in {PATIENCE:?}");
                recorder.bad(self.process, Phase::Fail, op, said);
            }
        }
    }
}

/// What only reads changes nothing, whatever became of it.
pub(super) fn op_reads(op: &Op) -> bool {
    match op {
        Op::Txn(steps) => steps.iter().all(|step| matches!(step, Step::Read { .. })),
        Op::Get { .. } | Op::Balances(_) | Op::All(_) => true,
        Op::Put { .. } | Op::Cas { .. } | Op::Transfer { .. } | Op::Add(_) => false,
    }
}
