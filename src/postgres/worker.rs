//! The one job slot, and closing. Closing never waits for a job: it gives the job up.

use std::collections::BTreeSet;
use std::sync::Arc;

use haa_core::effect::Job;
use haa_core::input::{Input, JobResult};
use haa_core::units::{JobId, MemberName};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;

use super::error::sentence;
use super::process::{self, Ended};
use super::site::Site;
use super::sql::{Session, SqlError};
use super::{Gate, jobs, slot};

/// What the agent wishes of its Postgres.
pub(super) enum Wish {
    Job(JobId, Job),
    Close,
    Slots(BTreeSet<MemberName>),
    Leave,
}

/// What a job works with.
pub(super) struct Bench {
    pub(super) site: Arc<Site>,
    pub(super) session: watch::Receiver<Option<Arc<Session>>>,
    pub(super) gate: Gate,
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
    slots: Option<JoinHandle<()>>,
}

impl Worker {
    pub(super) fn new(
        bench: Bench,
        inputs: mpsc::Sender<Input>,
        job: watch::Sender<Option<JobId>>,
        nudge: Arc<Notify>,
    ) -> Self {
        let bench = Arc::new(bench);
        Self { bench, inputs, job, nudge, running: None, last: None, slots: None }
    }

    pub(super) async fn run(mut self, mut wishes: mpsc::UnboundedReceiver<Wish>) {
        loop {
            tokio::select! {
                wish = wishes.recv() => match wish {
                    Some(Wish::Job(id, job)) => self.begin(id, job).await,
                    Some(Wish::Close) => self.close().await,
                    Some(Wish::Slots(wanted)) => self.reconcile(wanted),
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
        self.job.send_replace(Some(id));
        let bench = self.bench.clone();
        let work = async move {
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
    }

    async fn close(&mut self) {
        if let Some((id, mut handle)) = self.running.take() {
            handle.abort();
            let result = match (&mut handle).await {
                Ok(result) => result,
                Err(_) => JobResult::Aborted,
            };
            self.finish(id, result).await;
        }
        match process::close(self.bench.site.data()).await {
            Ok(Ended::Yes) => {}
            Ok(Ended::NotYet) => {
                tracing::error!("some processes of Postgres outlive SIGKILL; is its disk hung?");
            }
            Err(error) => tracing::error!(%error, "cannot end the processes of Postgres"),
        }
        self.nudge.notify_one();
    }

    fn reconcile(&mut self, wanted: BTreeSet<MemberName>) {
        if let Some(before) = self.slots.take() {
            before.abort();
        }
        let bench = self.bench.clone();
        self.slots = Some(tokio::spawn(async move {
            let work = async { slot::reconcile(&*bench.session().await?, &wanted).await };
            if let Err(error) = work.await {
                tracing::warn!("replication slots are not as they should be: {}", sentence(&error));
            }
        }));
    }

    async fn tell(&self, id: JobId, result: JobResult) {
        if self.inputs.send(Input::Job(id, result)).await.is_err() {
            tracing::debug!(%id, "nobody wants to know how the job ended");
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some((_, job)) = &self.running {
            job.abort();
        }
        if let Some(slots) = &self.slots {
            slots.abort();
        }
    }
}

async fn end_of(running: &mut Option<(JobId, JoinHandle<JobResult>)>) -> (JobId, JobResult) {
    match running {
        Some((id, handle)) => {
            let result = handle.await;
            let broken = |error| JobResult::Failed(format!("a fault in haad: {error}"));
            (*id, result.unwrap_or_else(broken))
        }
        None => std::future::pending().await,
    }
}
