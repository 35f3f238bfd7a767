//! When to look, and what a look found: at once when the postmaster ends, a job changes or somebody asks,
//! else twice a second. Ends backends that outlived their postmaster; changes nothing else.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use haa_core::input::Input;
use haa_core::observe::{DataDir, PostgresFacts, Server};
use haa_core::parameters::Parameters;
use haa_core::units::JobId;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use super::bounds;
use super::error::sentence;
use super::look::{self, LookError};
use super::mute;
use super::probe::Prober;
use super::process::{self, Ended, Process};
use super::room::Watched;
use super::site::Site;
use super::sql::{Session, SqlError};
use crate::agent::clock;

/// Between two looks when nothing happens.
const STEADY: Duration = Duration::from_millis(500);
/// Between two looks when something has just happened.
const LIVELY: Duration = Duration::from_millis(25);
/// How long that lasts.
const ALERT: Duration = Duration::from_secs(2);

pub(super) struct Watcher {
    site: Arc<Site>,
    inputs: mpsc::Sender<Input>,
    job: watch::Receiver<Option<JobId>>,
    /// The session that looks are taken through; jobs may use it.
    session: watch::Sender<Option<Arc<Session>>>,
    postmaster: Option<Postmaster>,
    alert_until: Instant,
    of_server: Complaint,
    of_data: Complaint,
    prober: Prober,
    /// When slots were looked at last.
    weighed: Option<Instant>,
    room: Watched,
}

/// What was last complained of: said once, until it is something else or over.
#[derive(Default)]
struct Complaint(String);

impl Complaint {
    fn say(&mut self, complaint: &str) {
        if self.0 != complaint {
            tracing::error!("cannot look at Postgres: {complaint}");
            complaint.clone_into(&mut self.0);
        }
    }

    fn over(&mut self) {
        self.0.clear();
    }
}

struct Postmaster {
    process: Process,
    /// It has let us in, or told its lock file that it would.
    accepted: bool,
}

impl Watcher {
    pub(super) fn new(
        site: Arc<Site>,
        inputs: mpsc::Sender<Input>,
        job: watch::Receiver<Option<JobId>>,
        session: watch::Sender<Option<Arc<Session>>>,
    ) -> Self {
        let alert_until = Instant::now() + ALERT;
        let (of_server, of_data) = (Complaint::default(), Complaint::default());
        let prober = Prober::new(site.clone());
        let postmaster = None;
        Self {
            site,
            inputs,
            job,
            session,
            postmaster,
            alert_until,
            of_server,
            of_data,
            prober,
            weighed: None,
            room: Watched::default(),
        }
    }

    pub(super) async fn run(mut self, nudge: Arc<Notify>) {
        loop {
            let facts = self.look().await;
            if self.inputs.send(Input::Postgres(Box::new(facts))).await.is_err() {
                return;
            }
            let pause = if Instant::now() < self.alert_until { LIVELY } else { STEADY };
            tokio::select! {
                () = nudge.notified() => self.alert_until = Instant::now() + ALERT,
                changed = self.job.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.alert_until = Instant::now() + ALERT;
                }
                () = ended(self.postmaster.as_ref()) => self.alert_until = Instant::now() + ALERT,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn look(&mut self) -> PostgresFacts {
        let began_at = clock::now();
        let job = *self.job.borrow_and_update();
        let server = match self.server().await {
            Ok(server) => server,
            Err(error) => {
                self.of_server.say(&sentence(&error));
                Server::Silent
            }
        };
        self.prober.note(&server);
        let data = look::data(&self.site);
        match &data {
            DataDir::Unreadable(why) => self.of_data.say(why),
            DataDir::Empty | DataDir::Foreign(_) | DataDir::Present { .. } => self.of_data.over(),
        }
        let parameters = self.parameters(&server).await;
        self.weigh(&server).await;
        PostgresFacts {
            began_at,
            data,
            server,
            job,
            progress: self.site.progress(),
            server_version: self.site.version,
            parameters,
            lacks_slot: self.site.kept.lacks(),
            unanswered_ms: self.site.knocks.unanswered_ms(),
            awaits: self.site.waits.seen(),
            tight_slots: self.site.bounds.tight(),
            room: self.room.look(self.site.data()),
        }
    }

    /// What the slots of a server that answers hold, now and then. Nothing is asked for it while something happens.
    async fn weigh(&mut self, server: &Server) {
        match server {
            Server::Standby(_) | Server::Primary(_) => {}
            Server::Stopped(_) | Server::Starting | Server::Silent | Server::Refusing(_) => {
                self.weighed = None;
                return self.site.bounds.forget();
            }
        }
        let session = self.session.borrow().clone();
        let now = Instant::now();
        let due = self.weighed.is_none_or(|at| now.duration_since(at) >= bounds::AGAIN);
        if let Some(session) = session.filter(|_| due && now >= self.alert_until) {
            self.weighed = Some(now);
            if let Err(error) = self.site.bounds.refresh(&session).await {
                tracing::debug!(error = %sentence(&error), "Postgres does not say what its slots hold");
            }
        }
    }

    /// How a server that answers stands to them. Nothing is asked for it while something happens.
    async fn parameters(&self, server: &Server) -> Parameters {
        let standing = &self.site.standing;
        match server {
            Server::Standby(_) | Server::Primary(_) => {}
            Server::Stopped(_) | Server::Starting | Server::Silent | Server::Refusing(_) => {
                let taken = standing.now().taken;
                return Parameters { taken, ..Parameters::default() };
            }
        }
        let session = self.session.borrow().clone();
        if let Some(session) = session.filter(|_| Instant::now() >= self.alert_until)
            && let Err(error) = standing.refresh(&self.site, &session).await
        {
            tracing::debug!(error = %sentence(&error), "Postgres does not say what it waits for");
        }
        standing.now()
    }

    async fn server(&mut self) -> io::Result<Server> {
        let data = self.site.data().to_owned();
        loop {
            if self.postmaster.is_none() {
                self.session.send_replace(None);
                self.postmaster = process::postmaster(&data)?
                    .map(|process| Postmaster { process, accepted: says_ready(&self.site) });
            }
            let Some(postmaster) = self.postmaster.take() else {
                let ended = process::kill_orphans(&data, Duration::from_millis(200)).await?;
                if ended == Ended::NotYet {
                    return Ok(Server::Silent);
                }
                if process::scan(&data)?.is_empty() {
                    return Ok(Server::Stopped(look::shutdown(&self.site)));
                }
                // Somebody has just started it, or is about to end.
                tokio::time::sleep(Duration::from_millis(1)).await;
                continue;
            };
            // Even while a question waits for its answer, the end of the postmaster is seen at once.
            tokio::select! {
                ended = postmaster.process.ended() => {
                    self.site.sync.forget();
                    ended?;
                }
                (server, accepted) = self.ask(&postmaster) => {
                    self.postmaster = Some(Postmaster { accepted, ..postmaster });
                    return Ok(server);
                }
            }
        }
    }

    /// What a living postmaster says, and whether it has ever let us in.
    async fn ask(&mut self, postmaster: &Postmaster) -> (Server, bool) {
        let accepted = postmaster.accepted || says_ready(&self.site);
        if !accepted {
            let mute = self.site.mute.of(postmaster.process.pid);
            let look = mute.map(|mute| mute::look(&self.site, mute)).transpose();
            let server = look.unwrap_or_else(|error| {
                self.of_server.say(&sentence(&error));
                None
            });
            return (server.map_or(Server::Starting, Server::Standby), false);
        }
        let mut answer = self.question().await;
        if let Err(LookError::Sql(SqlError::NotAccepting(_) | SqlError::Refused(_))) = answer {
            // The session was ended, or recovery ended between two functions of the question.
            self.session.send_replace(None);
            answer = self.question().await;
        }
        match answer {
            Ok(server) => {
                self.of_server.over();
                (server, true)
            }
            Err(error) => {
                self.session.send_replace(None);
                tracing::debug!(error = %sentence(&error), "Postgres gave no answer to a look");
                match &error {
                    LookError::Sql(sql) if sql.keeps_us_out() => {
                        let why = sentence(&error);
                        self.of_server.say(&why);
                        (Server::Refusing(why), accepted)
                    }
                    LookError::Sql(_) | LookError::Files(_) => (Server::Silent, accepted),
                }
            }
        }
    }

    async fn question(&self) -> Result<Server, LookError> {
        let writes = self.site.source_writes();
        let known = self.session.borrow().clone();
        // While a new source is not settled, no session proves anything: any will do.
        let good = |s: &Arc<Session>| !s.is_closed() && (s.opened_at == writes || writes % 2 == 1);
        let session = match known.filter(good) {
            Some(session) => session,
            None => {
                let session = Arc::new(Session::open(&self.site).await?);
                self.session.send_replace(Some(session.clone()));
                session
            }
        };
        look::server(&self.site, &session).await
    }
}

async fn ended(postmaster: Option<&Postmaster>) {
    match postmaster {
        Some(postmaster) => {
            if let Err(error) = postmaster.process.ended().await {
                tracing::error!(%error, "cannot wait for the end of Postgres");
                std::future::pending::<()>().await;
            }
        }
        None => std::future::pending().await,
    }
}

/// The last line of `postmaster.pid`: it would let us in. Asking it costs no line in Postgres' log.
pub(super) fn says_ready(site: &Site) -> bool {
    let text = std::fs::read_to_string(site.data().join("postmaster.pid")).unwrap_or_default();
    text.lines().nth(7).is_some_and(|line| line.trim() == "ready")
}
