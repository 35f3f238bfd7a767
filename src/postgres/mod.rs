//! Postgres: its process, its tools, its files, its SQL. Observes and performs; never decides anything
//! about the cluster.
//!
//! | module | owns |
//! |---|---|
//! | `worker` | the one job slot, and closing |
//! | `watcher` | looks: when, and what a look found |
//! | `look` | one look, from the data directory and the server to `PostgresFacts` |
//! | `process` | postmasters and leftovers, by pidfd; never a pid that was not verified |
//! | `sql` | sessions over the unix socket, each answer with a deadline |
//! | `files`, `conninfo` | the files that haad writes for Postgres |
//! | `control`, `timeline`, `incarnation` | `pg_control`, history files, the number that dies with the data |
//! | `room` | how much room there is, and what is mounted |
//! | `slot` | replication slots of the members |
//! | `tool`, `jobs` | initdb, `pg_basebackup`, `pg_rewind`; one file a job |

mod binaries;
mod conninfo;
mod control;
mod error;
mod files;
mod incarnation;
mod inspect;
mod jobs;
mod log;
mod look;
mod process;
mod room;
mod site;
mod slot;
mod sql;
mod timeline;
mod tool;
mod watcher;
mod worker;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use haa_core::effect::Job;
use haa_core::input::Input;
use haa_core::units::{JobId, MemberName};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;

pub use binaries::{find_binaries, server_version};
pub use error::PostgresError;
pub use inspect::inspect;
pub use room::is_mount_point;

use crate::config;
use site::Site;
use worker::Wish;

/// This member's Postgres. Facts and the ends of jobs go to the `inputs` that it was started with.
///
/// Dropping it, like [`Postgres::leave`], ends its tasks and leaves Postgres alone.
pub struct Postgres {
    wishes: mpsc::UnboundedSender<Wish>,
    nudge: Arc<Notify>,
    worker: JoinHandle<()>,
    watcher: JoinHandle<()>,
}

impl Postgres {
    /// Begins to look, and adopts a Postgres that runs already. To be called on a tokio runtime.
    ///
    /// # Errors
    /// When the binaries cannot be run, the state directory cannot be written, or we are root.
    pub fn start(
        config: config::Postgres,
        me: MemberName,
        state_directory: PathBuf,
        inputs: mpsc::Sender<Input>,
    ) -> Result<Self, PostgresError> {
        let site = Arc::new(Site::open(config, me, state_directory)?);
        let nudge = Arc::new(Notify::new());
        let (wishes, wished) = mpsc::unbounded_channel();
        let (job, job_seen) = watch::channel(None);
        let (session, session_seen) = watch::channel(None);
        let watcher = watcher::Watcher::new(site.clone(), inputs.clone(), job_seen, session);
        let watcher = tokio::spawn(watcher.run(nudge.clone()));
        let bench = worker::Bench { site, session: session_seen };
        let worker = worker::Worker::new(bench, inputs, job, nudge.clone());
        let worker = tokio::spawn(worker.run(wished));
        Ok(Self { wishes, nudge, worker, watcher })
    }

    /// Puts long work into the one slot. Its end comes as `Input::Job`.
    pub fn job(&self, id: JobId, job: Job) {
        self.wish(Wish::Job(id, job));
    }

    /// Gives up the job, ends every process of this Postgres at once, and looks.
    pub fn close(&self) {
        self.wish(Wish::Close);
    }

    /// Looks at Postgres now.
    pub fn look(&self) {
        self.nudge.notify_one();
    }

    /// On a primary: these members have a slot, and no others that haa made, but for those in use.
    pub fn slots(&self, wanted: BTreeSet<MemberName>) {
        self.wish(Wish::Slots(wanted));
    }

    /// Returns when one of its tasks has ended, which only a fault in haad can bring about: nobody looks at Postgres
    /// any more, or nobody can stop it. To be called by whoever then ends the agent, and nothing after it.
    pub async fn broken(&mut self) -> &'static str {
        tokio::select! {
            _ = &mut self.watcher => "the task that looks at Postgres has ended",
            _ = &mut self.worker => "the task that works on Postgres has ended",
        }
    }

    /// Ends the tasks and a job under way. The server is not touched.
    pub async fn leave(mut self) {
        self.watcher.abort();
        self.wish(Wish::Leave);
        if let Err(error) = (&mut self.worker).await
            && error.is_panic()
        {
            tracing::error!(%error, "the task that works on Postgres ended badly");
        }
    }

    fn wish(&self, wish: Wish) {
        if self.wishes.send(wish).is_err() {
            tracing::error!("the task that works on Postgres is gone; nothing can be done to it");
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.watcher.abort();
        self.worker.abort();
    }
}
