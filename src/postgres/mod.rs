//! Postgres: its process, its tools, its files, its SQL. Observes and performs; never decides anything
//! about the cluster.
//!
//! | module | owns |
//! |---|---|
//! | `worker`, `aside` | the one job slot, closing, and the work beside it |
//! | `watcher` | looks: when, and what a look found |
//! | `look` | one look, from the data directory and the server to `PostgresFacts` |
//! | `process` | postmasters and leftovers, by pidfd; never a pid that was not verified |
//! | `fence` | what the guard needs: the postmaster held, its end, the proof of recovery |
//! | `sql` | sessions over the unix socket, each answer with a deadline |
//! | `files`, `conninfo` | the files that haad writes for Postgres |
//! | `limits` | what a standby may not have less of than its primary had |
//! | `list`, `sync` | whom commits wait for: the file, and seeing that it is effective |
//! | `receiver` | how long a standby bears a silent connection |
//! | `wished`, `parameters` | what operators want Postgres to be told, and how it stands to that |
//! | `proven` | what of it Postgres was last seen to take, for when it does not take what is new |
//! | `vet` | whether a parameter would be taken, before it is written |
//! | `inspect` | the same while there are no data yet |
//! | `door` | whom Postgres lets in |
//! | `reload` | making a running Postgres read its files, and seeing that it has |
//! | `probe` | how long the disk takes to flush WAL |
//! | `knock` | whether anybody who begins a connection is answered |
//! | `examine` | what of the server matters to a setup, for `haactl doctor` |
//! | `control`, `timeline`, `incarnation` | `pg_control`, history files, the number that dies with the data |
//! | `keepers`, `segment` | where WAL may still be, and whether a file is the segment that it is taken for |
//! | `starved` | WAL that a recovery waits for, and that is not there |
//! | `oldest` | where the oldest WAL that is still there begins |
//! | `room` | how much room there is, what is mounted, what lies elsewhere |
//! | `slot` | replication slots of the members |
//! | `bounds` | how much WAL slots hold, and how much more they may |
//! | `kept` | those of the operator that are to be there whoever leads |
//! | `waldump` | the commits in some WAL |
//! | `tool`, `jobs` | initdb, `pg_basebackup`, `pg_rewind`; one file a job |
//! | `orphans` | tools that an agent left when it was killed |
//! | `log` | Postgres' own log: why a start failed, and that it stays small |

mod abroad;
mod aside;
mod binaries;
mod bounds;
mod conninfo;
mod control;
mod door;
mod error;
mod examine;
pub(crate) mod fence;
mod files;
#[cfg(test)]
mod fuzz;
mod incarnation;
mod inspect;
mod jobs;
mod keepers;
mod kept;
mod knock;
mod limits;
mod list;
mod log;
mod look;
mod mark;
mod mute;
mod oldest;
mod orphans;
mod parameters;
mod probe;
mod process;
mod proven;
mod receiver;
mod reload;
mod room;
mod segment;
mod site;
mod slot;
mod sql;
mod starved;
mod sync;
mod timeline;
mod tool;
mod unreached;
mod vet;
mod waldump;
mod watcher;
mod wished;
mod worker;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use haa_core::effect::{Job, SlotsWish};
use haa_core::input::Input;
use haa_core::lease::Leadership;
use haa_core::line::Fork;
use haa_core::list::List;
use haa_core::parameters::Parameters;
use haa_core::settings::Durability;
use haa_core::units::{JobId, MemberName, Millis, Revision, Timeline};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

pub use abroad::{Abroad, Said, SlotThere};
pub use binaries::{find_binaries, server_version, shown_version};
pub use bounds::Held;
pub use error::PostgresError;
pub use examine::{Broken, Examined, Examiner, Exception, NotArchived, Slot};
pub use inspect::refused;
pub use kept::{Ailing, Ails, LostSlot, Shown};
pub use room::{free, is_mount_point, size, tablespaces, wal_elsewhere};
pub use vet::{Members, Vetter};
pub use wished::Asked;

use crate::config;
use site::Site;
use worker::{Entry, Wish};

/// A promotion is about to begin. It does, once the answer is good; on any other it fails with that sentence.
#[derive(Debug)]
pub struct Opening {
    /// What allows it.
    pub proof: Leadership,
    /// Whether writes will be closed at `proof.until()` whatever becomes of this process; if not, why.
    pub answer: oneshot::Sender<Result<(), String>>,
}

/// A promotion is wished, and nothing was changed for it yet. Any answer but a good one ends it, with that sentence.
#[derive(Debug)]
pub struct Promotion {
    /// What allows it, and until when it is answered.
    pub proof: Leadership,
    /// Where it would lead.
    pub timeline: Timeline,
    /// Whether it may be; if not, why. Closed when it was given up.
    pub answer: oneshot::Sender<Result<(), String>>,
}

/// Who is asked before a promotion, and told of what it cost.
#[derive(Clone, Debug, Default)]
pub struct Gates {
    /// `None` where nobody guards.
    pub guard: Option<mpsc::Sender<Opening>>,
    /// `None` where the operator has no say.
    pub hook: Option<mpsc::Sender<Promotion>>,
    /// Who is told of slots that were lost; `None` where nobody is.
    pub lost: Option<mpsc::Sender<LostSlot>>,
}

/// This member's Postgres. Facts and the ends of jobs go to the `inputs` that it was started with.
///
/// Dropping it, like [`Postgres::leave`], ends its tasks and leaves Postgres alone.
pub struct Postgres {
    site: Arc<Site>,
    wishes: mpsc::UnboundedSender<Wish>,
    nudge: Arc<Notify>,
    worker: JoinHandle<()>,
    watcher: JoinHandle<()>,
    log: JoinHandle<()>,
    knock: JoinHandle<()>,
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
        gates: Gates,
    ) -> Result<Self, PostgresError> {
        let site = Arc::new(Site::open(config, me, state_directory)?);
        jobs::initdb::forget_password(&site);
        let nudge = Arc::new(Notify::new());
        let (wishes, wished) = mpsc::unbounded_channel();
        let (job, job_seen) = watch::channel(None);
        let session = watch::Sender::new(None);
        let watcher =
            watcher::Watcher::new(site.clone(), inputs.clone(), job_seen, session.clone());
        let watcher = tokio::spawn(watcher.run(nudge.clone()));
        let bench = worker::Bench { site: site.clone(), session, gates, inputs: inputs.clone() };
        tokio::spawn(tell_untold(site.clone(), inputs.clone()));
        let worker = worker::Worker::new(bench, inputs, job, nudge.clone());
        let worker = tokio::spawn(worker.run(wished));
        let log = tokio::spawn(log::keep_small(site.clone()));
        let knock = tokio::spawn(knock::knock(site.clone()));
        Ok(Self { site, wishes, nudge, worker, watcher, log, knock })
    }

    /// Puts long work into the one slot. Its end comes as `Input::Job`.
    pub fn job(&self, id: JobId, job: Job) {
        self.wish(Wish::Job(id, job));
    }

    /// Gives up the job, ends every process of this Postgres at once, and looks.
    pub fn close(&self) {
        self.wish(Wish::Close);
    }

    /// Who asks this Postgres what matters to a setup.
    #[must_use]
    pub fn examiner(&self) -> Examiner {
        Examiner::of(self.site.clone())
    }

    /// Who says whether this Postgres would take a parameter.
    #[must_use]
    pub fn vetter(&self) -> Vetter {
        Vetter::of(self.site.clone())
    }

    /// Who passes on what the member's file asks for.
    #[must_use]
    pub fn asker(&self) -> Asker {
        Asker(self.wishes.clone())
    }

    /// Looks at Postgres now.
    pub fn look(&self) {
        self.nudge.notify_one();
    }

    /// The slots that are wished exist; others that haa made stay or go, but for those in use.
    /// Those of members that stream from another hold no WAL that these have.
    pub fn slots(&self, wish: SlotsWish) {
        self.wish(Wish::Slots(wish));
    }

    /// How the operator's slots are, as they were looked after last.
    #[must_use]
    pub fn kept_slots(&self) -> watch::Receiver<BTreeMap<String, Shown>> {
        self.site.kept.shown()
    }

    /// What every slot holds, as it was looked at last.
    #[must_use]
    pub fn held(&self) -> watch::Receiver<BTreeMap<String, Held>> {
        self.site.bounds.shown()
    }

    /// Returns when one of its tasks has ended, which only a fault in haad can bring about: nobody looks at Postgres
    /// any more, or nobody can stop it. To be called by whoever then ends the agent, and nothing after it.
    pub async fn broken(&mut self) -> &'static str {
        tokio::select! {
            _ = &mut self.watcher => "the task that looks at Postgres has ended",
            _ = &mut self.worker => "the task that works on Postgres has ended",
        }
    }

    /// What a Postgres that no leadership has opened does from now on, and from each start on: in `Quorum` it
    /// acknowledges nothing. On disk when this returns; a standby that runs takes it soon after.
    ///
    /// # Errors
    /// When the state directory cannot be written.
    pub fn rest(&self, durability: Durability) -> io::Result<()> {
        list::rest(&self.site, durability)?;
        self.wish(Wish::Rest);
        Ok(())
    }

    /// How long a standby bears a connection that says nothing, from now on; it runs on.
    pub fn bear_silence(&self, timeout: Millis) {
        self.wish(Wish::BearSilence(timeout));
    }

    /// The cluster's parameters are these, as of this revision of the settings; it takes them as it runs, as far as it
    /// can.
    pub fn share(&self, revision: Revision, parameters: BTreeMap<String, String>) {
        self.wish(Wish::Share(revision, parameters));
    }

    /// On a primary: commits wait for these from now on. Refused past the proof; to be wished until a look says that
    /// it is effective. On the way commits may wait for more, never for fewer.
    pub fn list(&self, proof: Leadership, list: List) {
        self.wish(Wish::List(proof, list));
    }

    /// Lets clients in again. Refused past the proof.
    pub fn open_door(&self, proof: Leadership) {
        self.wish(Wish::Door(Entry::Open(proof)));
    }

    /// Lets no client in any more, and ends their sessions.
    pub fn shut_door(&self) {
        self.wish(Wish::Door(Entry::Shut));
    }

    /// The store shows what was discarded behind this fork: the note of it goes.
    pub fn forget_note(&self, fork: Fork) {
        self.wish(Wish::Forget(fork));
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

/// What an earlier run discarded is an input of this one, until the store shows it.
async fn tell_untold(site: Arc<Site>, inputs: mpsc::Sender<Input>) {
    match files::apart(move || jobs::discard::untold(&site)).await {
        Ok(untold) => {
            for discarded in untold {
                jobs::discard::tell(&inputs, discarded).await;
            }
        }
        Err(error) => tracing::warn!(%error, "what an earlier run discarded cannot be read"),
    }
}

/// Passes on what a member's file asks of its Postgres.
#[derive(Clone)]
pub struct Asker(mpsc::UnboundedSender<Wish>);

impl Asker {
    /// From now on it asks for this. Returns when a Postgres that runs has read it, with how it stands to it; `None`
    /// where none runs, or a job is at work after which it will.
    ///
    /// # Errors
    /// Why Postgres does not take it, in a sentence.
    pub async fn ask(&self, asked: Asked) -> Result<Option<Parameters>, String> {
        let (reply, answer) = oneshot::channel();
        if self.0.send(Wish::Ask(asked, reply)).is_err() {
            return Err("the task that works on Postgres is gone".to_owned());
        }
        // Whoever drops it has something more urgent to do with this Postgres.
        answer.await.unwrap_or(Ok(None))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.watcher.abort();
        self.worker.abort();
        self.log.abort();
        self.knock.abort();
    }
}
