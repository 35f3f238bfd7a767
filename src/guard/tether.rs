//! What ties the agent to its guard: the newest wish, and the task that sees to it. Never makes the agent wait.

use std::time::Duration;

use haa_core::observe::Server;
use haa_core::routes::Status;
use haa_core::units::{Millis, Term};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Post;
use super::line::{Line, LineError};
use super::start;
use super::wire::{Deadline, Writes};
use crate::agent::{chain, clock};
use crate::config::Config;
use crate::postgres::Opening;

/// Between two attempts at a guard that cannot be had.
const PAUSE: Duration = Duration::from_millis(100);
/// What an agent that ends gives its guard to hear of it.
const FAREWELL: Duration = Duration::from_secs(1);

/// What the guard is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// Nothing was decided yet: a deadline from before stands.
    AsItIs,
    Arm(Deadline),
    Disarm,
}

/// What the guard has confirmed last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// No guard answers.
    #[default]
    Nobody,
    /// It is there, and no deadline stands.
    There,
    /// It closes Postgres then.
    Until(Millis),
}

/// The agent's end: takes wishes at once, and a task of its own carries them out.
pub struct Tether {
    wish: watch::Sender<Wish>,
    /// Since when this agent has had no leadership.
    without_since: Option<Millis>,
    standing: watch::Receiver<Standing>,
    leave: CancellationToken,
    task: JoinHandle<()>,
}

impl Tether {
    /// Finds the guard of this state directory, or starts one, and keeps one running. What comes by `openings` is
    /// answered once the guard has confirmed its deadline. To be called on a tokio runtime.
    #[must_use]
    pub fn start(config: &Config, openings: mpsc::Receiver<Opening>) -> Self {
        let (wish, wished) = watch::channel(Wish::AsItIs);
        let leave = CancellationToken::new();
        let (post, told) = (Post::of(config), false);
        let (stands, standing) = watch::channel(Standing::Nobody);
        let holder = Holder { post, wish: wished, openings, opened: None, stands, told };
        let task = tokio::spawn(holder.run(leave.clone()));
        Self { wish, without_since: None, standing, leave, task }
    }

    /// What the guard has confirmed.
    #[must_use]
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// Takes what follows from a new status: a leadership moves the deadline; without one it stands until Postgres
    /// was seen stopped by a look that began after the loss.
    pub fn know(&mut self, now: Millis, status: &Status) {
        let facts = status.postgres.as_ref();
        let wish = match status.leadership {
            Some(proof) => {
                self.without_since = None;
                let writes = match facts.map(|facts| &facts.server) {
                    Some(Server::Primary(_)) => Writes::Opened,
                    Some(
                        Server::Stopped(_)
                        | Server::Starting
                        | Server::Silent
                        | Server::Refusing(_)
                        | Server::Standby(_),
                    )
                    | None => Writes::AsFound,
                };
                Wish::Arm(Deadline { term: proof.term(), until: proof.until(), writes })
            }
            None => {
                let since = *self.without_since.get_or_insert(now);
                let stopped = facts.is_some_and(|facts| {
                    facts.began_at > since && matches!(facts.server, Server::Stopped(_))
                });
                if !stopped {
                    return;
                }
                Wish::Disarm
            }
        };
        self.wish.send_if_modified(|known| std::mem::replace(known, wish) != wish);
    }

    /// The agent ends: so does the guard, unless a deadline stands and Postgres runs.
    pub async fn leave(self) {
        self.leave.cancel();
        if timeout(FAREWELL, self.task).await.is_err() {
            tracing::debug!("the guard did not hear that its agent ends; it ends by itself");
        }
    }

    /// Where no guard is wanted: one that an earlier agent left behind must not close what it knows nothing about.
    pub async fn dismiss(config: &Config) {
        let dismissed = async {
            let mut line = Line::open(&Post::of(config)).await?;
            line.disarm().await?;
            line.leave().await
        };
        match timeout(FAREWELL, dismissed).await {
            Ok(Ok(())) => tracing::info!("the guard of an earlier agent was dismissed"),
            Ok(Err(LineError::NotThere(_))) => {}
            Ok(Err(error)) => tracing::warn!(error = %chain(&error), "an earlier guard stays"),
            Err(_) => tracing::warn!("an earlier guard does not answer and stays"),
        }
    }
}

struct Holder {
    post: Post,
    wish: watch::Receiver<Wish>,
    openings: mpsc::Receiver<Opening>,
    /// The leadership in which a promotion was allowed to begin.
    opened: Option<Term>,
    stands: watch::Sender<Standing>,
    /// That there is no guard was said.
    told: bool,
}

impl Holder {
    async fn run(mut self, leave: CancellationToken) {
        tokio::select! {
            () = self.hold() => {}
            () = leave.cancelled() => {}
        }
        // The line that was held is gone with what it was in the middle of.
        let left = async { Line::open(&self.post).await?.leave().await };
        if let Err(error) = left.await {
            tracing::debug!(error = %chain(&error), "there was no guard to take leave of");
        }
    }

    async fn hold(&mut self) {
        loop {
            let mut line = self.reach().await;
            self.wish.mark_changed();
            self.stands.send_replace(Standing::There);
            let error = self.speak(&mut line).await;
            self.stands.send_replace(Standing::Nobody);
            drop(line);
            self.complain(&error);
        }
    }

    /// A line to a guard, however long that takes.
    async fn reach(&mut self) -> Line {
        loop {
            let reached = match Line::open(&self.post).await {
                Err(LineError::NotThere(_)) => match start::start(&self.post).await {
                    Ok(()) => Line::open(&self.post).await,
                    Err(error) => Err(LineError::Start(error)),
                },
                found => found,
            };
            match reached {
                Ok(line) => {
                    self.told = false;
                    tracing::info!(process = line.guard(), "the guard is there");
                    return line;
                }
                Err(error) => self.complain(&error),
            }
            sleep(PAUSE).await;
        }
    }

    /// Until the line breaks; says by what.
    async fn speak(&mut self, line: &mut Line) -> LineError {
        loop {
            let done = tokio::select! {
                biased;
                Some(opening) = self.openings.recv() => self.open(line, opening).await,
                Ok(()) = self.wish.changed() => self.tell(line).await,
                error = line.broken() => Err(error),
            };
            if let Err(error) = done {
                return error;
            }
        }
    }

    async fn tell(&mut self, line: &mut Line) -> Result<(), LineError> {
        let wish = *self.wish.borrow_and_update();
        match wish {
            Wish::AsItIs => Ok(()),
            Wish::Disarm => {
                line.disarm().await?;
                self.stands.send_replace(Standing::There);
                Ok(())
            }
            Wish::Arm(deadline) => self.arm(line, self.known(deadline)).await.map(drop),
        }
    }

    async fn arm(&self, line: &mut Line, deadline: Deadline) -> Result<Option<u32>, LineError> {
        let postmaster = line.arm(deadline).await?;
        let stands =
            if postmaster.is_some() { Standing::Until(deadline.until) } else { Standing::There };
        self.stands.send_replace(stands);
        Ok(postmaster)
    }

    /// A guard that was started since does not know what was opened in this leadership.
    fn known(&self, deadline: Deadline) -> Deadline {
        // Of a deadline that has passed, what was known is old: a replica may run by now.
        let opened = self.opened == Some(deadline.term) && clock::now() < deadline.until;
        Deadline { writes: if opened { Writes::Opened } else { deadline.writes }, ..deadline }
    }

    async fn open(&mut self, line: &mut Line, opening: Opening) -> Result<(), LineError> {
        let Opening { proof, answer } = opening;
        if answer.is_closed() {
            return Ok(());
        }
        self.opened = Some(proof.term());
        // The proof may have been renewed since it was handed out.
        let renewed = match *self.wish.borrow() {
            Wish::Arm(deadline) if deadline.term == proof.term() => deadline.until,
            Wish::Arm(_) | Wish::AsItIs | Wish::Disarm => Millis(0),
        };
        let until = proof.until().max(renewed);
        let writes = Writes::Opened;
        let armed = self.arm(line, Deadline { term: proof.term(), until, writes }).await;
        let said = match &armed {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err("it found no postmaster to stand by".to_owned()),
            Err(error) => Err(chain(error)),
        };
        // A job that was given up meanwhile does not ask any more.
        drop(answer.send(said));
        armed.map(drop)
    }

    /// Once until one is there again. One that does not answer is ended: another is to take its place.
    fn complain(&mut self, error: &LineError) {
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!(error = %chain(error), "this member has no guard; starting one");
        }
        if let Some(pid) = error.useless()
            && let Err(error) = start::end(pid, &self.post)
        {
            tracing::debug!(pid, %error, "a guard of no use was not ended");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use haa_core::lease::{Leadership, Lease};
    use haa_core::node::{Config as NodeConfig, Node};
    use haa_core::observe::{DataDir, PostgresFacts, Shutdown};
    use haa_core::parameters::Parameters;
    use haa_core::settings::{Settings, Timing};
    use haa_core::units::{Instance, LeaseId};

    /// The first status of a node that has heard nothing.
    fn status() -> Status {
        let mut node = Node::new(NodeConfig {
            follows: None,
            name: "n1".parse().unwrap(),
            instance: Instance(1),
            postgres: "127.0.0.1:5432".parse().unwrap(),
            api: "127.0.0.1:8008".parse().unwrap(),
            version: "0".to_owned(),
            tags: haa_core::records::Tags::default(),
            settings: Settings::default(),
            seed: 1,
            remembered: None,
            promises: haa_core::voters::Promises::default(),
            pools: haa_core::node::Pools::None,
        });
        let effects = node.handle(Millis(1), &haa_core::input::Input::Tick);
        let published = effects.into_iter().find_map(|effect| {
            let haa_core::effect::Effect::Publish(status) = effect else { return None };
            Some(*status)
        });
        published.expect("the first decision is told")
    }

    fn proof(asked_at: u64) -> Leadership {
        let timing = Timing::default();
        let lease = Lease::granted(LeaseId(1), Millis(asked_at), timing.ttl, timing);
        lease.leadership(Term(3), Millis(asked_at)).unwrap()
    }

    fn stopped(began_at: u64) -> PostgresFacts {
        PostgresFacts {
            began_at: Millis(began_at),
            data: DataDir::Empty,
            server: Server::Stopped(Shutdown::Crashed),
            job: None,
            progress: None,
            server_version: 0,
            parameters: Parameters::default(),
            lacks_slot: None,
            unanswered_ms: 0,
            awaits: None,
            tight_slots: Vec::new(),
            room: haa_core::observe::Room::Enough,
        }
    }

    #[tokio::test]
    async fn a_deadline_outlives_its_leadership_until_postgres_is_seen_stopped() {
        let (wish, wished) = watch::channel(Wish::AsItIs);
        let (leave, task) = (CancellationToken::new(), tokio::spawn(async {}));
        let (_, standing) = watch::channel(Standing::Nobody);
        let mut tether = Tether { wish, without_since: None, standing, leave, task };
        let mut status = status();
        tether.know(Millis(5), &status);
        assert_eq!(*wished.borrow(), Wish::AsItIs, "an earlier agent's deadline is not touched");

        status.leadership = Some(proof(10));
        tether.know(Millis(11), &status);
        let deadline =
            Deadline { term: Term(3), until: proof(10).until(), writes: Writes::AsFound };
        assert_eq!(*wished.borrow(), Wish::Arm(deadline));

        status.leadership = None;
        status.postgres = Some(stopped(19));
        tether.know(Millis(20), &status);
        assert_eq!(*wished.borrow(), Wish::Arm(deadline), "the look is older than the loss");
        status.postgres = Some(stopped(21));
        tether.know(Millis(22), &status);
        assert_eq!(*wished.borrow(), Wish::Disarm);
    }
}
