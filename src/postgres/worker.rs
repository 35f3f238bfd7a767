//! The one job slot, and closing. Closing never waits for a job: Postgres is ended first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use haa_core::effect::{Job, SlotsWish};
use haa_core::input::{Input, JobResult};
use haa_core::lease::Leadership;
use haa_core::line::Fork;
use haa_core::list::List;
use haa_core::observe::Door;
use haa_core::parameters::Parameters;
use haa_core::units::{JobId, Millis, Revision};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;

use super::aside::{aside, end, ended};
use super::error::{JobError, sentence};
use super::process::{self, Ended};
use super::site::Site;
use super::sql::{Session, SqlError};
use super::wished::{Asked, Change};
use super::{Gates, door, jobs, kept, list, parameters, receiver, slot, sync};

/// A job that is given up ends at its next wait; one that works on a hung disk has none.
const GIVES_UP: Duration = Duration::from_secs(1);

/// A door that does not open is tried again after this: each try sends two signals.
const AGAIN: Duration = Duration::from_secs(1);

/// What the agent wishes of its Postgres.
pub(super) enum Wish {
    Job(JobId, Job),
    Close,
    Slots(SlotsWish),
    Rest,
    BearSilence(Millis),
    Share(Revision, BTreeMap<String, String>),
    Ask(Asked, Reply),
    List(Leadership, List),
    Door(Entry),
    Forget(Fork),
    Leave,
}

/// How Postgres stands to what it was asked, or why it does not take it; nothing where it could not be asked.
pub(super) type Reply = oneshot::Sender<Result<Option<Parameters>, String>>;

/// Whom to let in; letting clients in needs a proof.
#[derive(Clone, Copy)]
pub(super) enum Entry {
    Open(Leadership),
    Shut,
}

/// Who told Postgres something else; the later does all that the earlier does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    BySettings,
    /// It refreshes the rules of the door too.
    ByFile,
}

/// What a job works with.
pub(super) struct Bench {
    pub(super) site: Arc<Site>,
    /// The watcher's; jobs may use it, and leave it a newer one.
    pub(super) session: watch::Sender<Option<Arc<Session>>>,
    pub(super) gates: Gates,
    pub(super) inputs: mpsc::Sender<Input>,
}

impl Bench {
    /// A session; not necessarily a new one.
    pub(super) async fn session(&self) -> Result<Arc<Session>, SqlError> {
        let known = self.session.borrow().clone();
        match known.filter(|session| !session.is_closed()) {
            Some(session) => Ok(session),
            None => Ok(Arc::new(Session::open(&self.site).await?)),
        }
    }
}

pub(super) struct Worker {
    bench: Arc<Bench>,
    inputs: mpsc::Sender<Input>,
    job: watch::Sender<Option<JobId>>,
    nudge: Arc<Notify>,
    running: Option<(JobId, JoinHandle<JobResult>)>,
    last: Option<(JobId, JobResult)>,
    slots: Option<(SlotsWish, JoinHandle<()>)>,
    list: Option<(List, JoinHandle<()>)>,
    door: Option<(Door, JoinHandle<()>)>,
    parameters: Option<(Scope, JoinHandle<()>)>,
    /// Given up for a job, and perhaps not at their ends yet.
    retired: Vec<JoinHandle<()>>,
    /// A job came in between: what is wished may be written for Postgres, and not read.
    unapplied: Option<Scope>,
}

impl Worker {
    pub(super) fn new(
        bench: Bench,
        inputs: mpsc::Sender<Input>,
        job: watch::Sender<Option<JobId>>,
        nudge: Arc<Notify>,
    ) -> Self {
        let bench = Arc::new(bench);
        Self {
            bench,
            inputs,
            job,
            nudge,
            running: None,
            last: None,
            slots: None,
            list: None,
            door: None,
            parameters: None,
            retired: Vec::new(),
            // A Postgres that runs on may have been told something else by the last agent.
            unapplied: Some(Scope::ByFile),
        }
    }

    pub(super) async fn run(mut self, mut wishes: mpsc::UnboundedReceiver<Wish>) {
        loop {
            tokio::select! {
                wish = wishes.recv() => match wish {
                    Some(Wish::Job(id, job)) => self.begin(id, job).await,
                    Some(Wish::Close) => self.close().await,
                    Some(Wish::Slots(wish)) => self.reconcile(wish),
                    Some(Wish::Rest) => self.rest(),
                    Some(Wish::BearSilence(timeout)) => self.bear_silence(timeout),
                    Some(Wish::Share(revision, shared)) => self.share(revision, shared),
                    Some(Wish::Ask(asked, reply)) => self.ask(asked, reply),
                    Some(Wish::List(proof, list)) => self.apply(proof, list),
                    Some(Wish::Door(entry)) => self.enter(entry),
                    Some(Wish::Forget(fork)) => self.forget(fork),
                    Some(Wish::Leave) | None => return,
                },
                (id, result) = end_of(&mut self.running) => self.finish(id, result).await,
            }
        }
    }

    async fn begin(&mut self, id: JobId, job: Job) {
        if let Some((running, _)) = &self.running {
            if *running != id {
                let busy = format!("job {running} is still at work; nothing was done for job {id}");
                self.tell(id, JobResult::Failed(busy)).await;
            }
            return;
        }
        if let Some((_, result)) = self.last.clone().filter(|(last, _)| *last == id) {
            self.tell(id, result).await;
            return;
        }
        tracing::debug!(%id, ?job, "job begins");
        self.put_aside();
        self.job.send_replace(Some(id));
        let bench = self.bench.clone();
        let retired = std::mem::take(&mut self.retired);
        let work = async move {
            ended(retired).await;
            match jobs::run(&bench, job).await {
                Ok(()) => JobResult::Done,
                Err(error) => JobResult::Failed(sentence(&error)),
            }
        };
        self.running = Some((id, tokio::spawn(work)));
    }

    async fn finish(&mut self, id: JobId, result: JobResult) {
        match &result {
            JobResult::Done => tracing::debug!(%id, "job done"),
            JobResult::Failed(why) => tracing::debug!(%id, "job failed: {why}"),
            JobResult::Aborted => tracing::debug!(%id, "job given up"),
        }
        self.running = None;
        self.bench.site.no_progress();
        self.last = Some((id, result.clone()));
        self.tell(id, result).await;
        // The watcher looks when this changes.
        self.job.send_replace(None);
        if let Some(scope) = self.unapplied {
            self.apply_parameters(scope);
        }
    }

    async fn close(&mut self) {
        self.put_aside();
        let running = self.running.take();
        if let Some((_, handle)) = &running {
            handle.abort();
        }
        self.end_processes().await;
        if let Some((id, mut handle)) = running {
            match timeout(GIVES_UP, &mut handle).await {
                Ok(end) => self.finish(id, result_of(end)).await,
                Err(_) => {
                    tracing::warn!(%id, "the job that was given up does not end; is its disk hung?");
                    self.running = Some((id, handle));
                }
            }
            // It may have started one before it was given up.
            self.end_processes().await;
        }
        self.nudge.notify_one();
    }

    async fn end_processes(&self) {
        match process::close(self.bench.site.data()).await {
            Ok(Ended::Yes) => {}
            Ok(Ended::NotYet) => {
                tracing::error!("some processes of Postgres outlive SIGKILL; is its disk hung?");
            }
            Err(error) => tracing::error!(%error, "cannot end the processes of Postgres"),
        }
    }

    /// One that is at work goes on: a slot may begin only when transactions have ended. How far somebody is goes on
    /// changing meanwhile, and can wait.
    fn reconcile(&mut self, wish: SlotsWish) {
        let at_work = self.slots.as_ref().filter(|(_, work)| !work.is_finished());
        let wanted = (&wish.members, &wish.strangers, &wish.kept);
        if at_work.is_some_and(|(at, _)| (&at.members, &at.strangers, &at.kept) == wanted) {
            return;
        }
        let before = self.slots.take().map(|(_, work)| work);
        let bench = self.bench.clone();
        let known = wish.clone();
        let work = tokio::spawn(async move {
            end(before).await;
            let SlotsWish { members, strangers, kept, reached } = &wish;
            let theirs = async {
                let session = bench.session().await?;
                let made = slot::reconcile(&session, members, strangers).await;
                made.and(slot::advance(&session, reached).await).map_err(JobError::from)
            };
            let theirs = theirs.await;
            let kept = kept::keep(&bench, members, kept).await;
            if let Err(error) = theirs.and(kept) {
                tracing::warn!("replication slots are not as they should be: {}", sentence(&error));
            }
        });
        self.slots = Some((known, work));
    }

    fn rest(&mut self) {
        let bench = self.bench.clone();
        if self.running.is_some() {
            // A start or a follow writes it anyway, and a promotion is not to be disturbed.
            return;
        }
        let rest = list::at_rest(&bench.site);
        let work = async move { sync::rest(&bench.site).await };
        self.list = aside(self.list.take(), rest, &self.nudge, work);
    }

    fn bear_silence(&self, timeout: Millis) {
        let site = self.bench.site.clone();
        tokio::spawn(async move {
            if let Err(error) = receiver::bear(&site, timeout) {
                tracing::warn!(
                    "wal_receiver_timeout does not follow the settings: {}; it will at the next start of haad",
                    sentence(&error)
                );
            }
        });
    }

    fn share(&mut self, revision: Revision, shared: BTreeMap<String, String>) {
        let site = &self.bench.site;
        let at_work = self.parameters.as_ref().filter(|(_, work)| !work.is_finished());
        let owed = at_work.map(|(scope, _)| *scope).max(self.unapplied);
        match site.wishes.share(revision, shared) {
            Ok(Change::None) if site.standing.is_settled() && owed.is_none() => {
                site.standing.took(revision);
                self.nudge.notify_one();
            }
            Ok(Change::None | Change::Some) => {
                self.apply_parameters(owed.unwrap_or(Scope::BySettings));
            }
            Err(error) => tracing::error!(
                %error,
                "the cluster's parameters cannot be kept in the state directory, and are not taken"
            ),
        }
    }

    fn ask(&mut self, asked: Asked, reply: Reply) {
        let site = self.bench.site.clone();
        let change = site.wishes.ask(asked);
        // It was told when that was new, and is shown.
        let known = change == Change::None && site.proven.objection(&site.wishes.now()).is_some();
        if self.running.is_some() {
            self.unapplied = Some(Scope::ByFile);
            return drop(reply.send(Ok(None)));
        }
        self.unapplied = None;
        let before = self.parameters.take().map(|(_, work)| work);
        let work = async move {
            end(before).await;
            let done = async {
                let applied = parameters::apply(&site).await;
                if !known {
                    applied?;
                }
                let running = process::postmaster(site.data()).map_err(JobError::Signal)?;
                let Some(postmaster) = running else { return Ok(None) };
                door::refresh(&site, &postmaster).await?;
                Ok(Some(site.standing.now()))
            };
            drop(reply.send(done.await.map_err(|error: JobError| sentence(&error))));
            Ok(())
        };
        self.parameters = aside(None, Scope::ByFile, &self.nudge, work);
    }

    /// What a start writes is what it starts with; nothing else that is at work is disturbed.
    fn apply_parameters(&mut self, scope: Scope) {
        if self.running.is_some() {
            self.unapplied = self.unapplied.max(Some(scope));
            return;
        }
        self.unapplied = None;
        let before = self.parameters.take().map(|(_, work)| work);
        let site = self.bench.site.clone();
        let work = async move {
            end(before).await;
            let applied = parameters::apply(&site).await;
            let running = process::postmaster(site.data()).map_err(JobError::Signal)?;
            if let (Scope::ByFile, Some(postmaster)) = (scope, running)
                && let Err(error) = door::refresh(&site, &postmaster).await
            {
                door::refused(&site, &error);
            }
            applied
        };
        self.parameters = aside(None, scope, &self.nudge, work);
    }

    /// A note that stays is told once more by the next run, which finds that it is known.
    fn forget(&self, fork: Fork) {
        let site = self.bench.site.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = jobs::discard::forget(&site, fork) {
                tracing::warn!(%error, "the note of what was discarded stays");
            }
        });
    }

    fn apply(&mut self, proof: Leadership, list: List) {
        let bench = self.bench.clone();
        let wanted = list.clone();
        let work = async move { sync::apply(&bench.site, proof, &wanted).await };
        self.list = aside(self.list.take(), list, &self.nudge, work);
    }

    fn enter(&mut self, entry: Entry) {
        let bench = self.bench.clone();
        // What refreshes its rules must not write them after this.
        let refreshes = |(what, work): &mut (Scope, JoinHandle<()>)| {
            *what == Scope::ByFile && !work.is_finished()
        };
        if self.parameters.as_mut().is_some_and(refreshes) {
            self.apply_parameters(Scope::BySettings);
        }
        let wanted = match entry {
            Entry::Open(_) => Door::Open,
            Entry::Shut => Door::Shut,
        };
        let work = async move {
            if let Entry::Open(proof) = entry {
                jobs::in_time(proof)?;
            }
            let done = door::set(&bench.site, &jobs::running(&bench.site)?, wanted).await;
            if done.is_err() {
                // Wished again at each look, it is tried again only then, or for another wish.
                tokio::time::sleep(AGAIN).await;
            }
            done
        };
        self.door = aside(self.door.take(), wanted, &self.nudge, work);
    }

    /// A job writes the same files and makes slots of its own, and a start does not want them changed after it.
    fn put_aside(&mut self) {
        let list = self.list.take().map(|(_, work)| work);
        let door = self.door.take().map(|(_, work)| work);
        let parameters = self.parameters.take().map(|(scope, work)| {
            if !work.is_finished() {
                self.unapplied = self.unapplied.max(Some(scope));
            }
            work
        });
        let slots = self.slots.take().map(|(_, work)| work);
        for work in slots.into_iter().chain(list).chain(door).chain(parameters) {
            work.abort();
            self.retired.push(work);
        }
    }

    async fn tell(&self, id: JobId, result: JobResult) {
        if self.inputs.send(Input::Job(id, result)).await.is_err() {
            tracing::debug!(%id, "nobody wants to know how the job ended");
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.put_aside();
        if let Some((_, job)) = &self.running {
            job.abort();
        }
    }
}

async fn end_of(running: &mut Option<(JobId, JoinHandle<JobResult>)>) -> (JobId, JobResult) {
    match running {
        Some((id, handle)) => {
            let end = handle.await;
            (*id, result_of(end))
        }
        None => std::future::pending().await,
    }
}

fn result_of(end: Result<JobResult, JoinError>) -> JobResult {
    match end {
        Ok(result) => result,
        Err(error) if error.is_cancelled() => JobResult::Aborted,
        Err(error) => JobResult::Failed(format!("a fault in haad: {error}")),
    }
}
