//! The sentence of each event, for whoever operates Postgres. Changes nothing.

use haa_core::effect::{Job, StoreWish};

use crate::model::action::{Action, Kind};
use crate::model::state::{State, name};

impl State {
    /// What is about to happen.
    #[must_use]
    pub fn sentence(&self, action: Action) -> String {
        let seconds = self.now.0 / 1_000;
        let what = match action {
            Action::Serve(m) => format!("etcd answers {}'s {}", name(m), self.asked(m)),
            Action::Hand(m) => format!("{} learns of it", name(m)),
            Action::Turn(m) => format!("{} looks around, as it does every second", name(m)),
            Action::Look(m) => format!("{} looks at its Postgres", name(m)),
            Action::Watch(m) => format!("{} is shown what changed in etcd", name(m)),
            Action::Hear(m, from) => format!("{} hears {}", name(m), name(from)),
            Action::ReadBack(m) => format!("{} reads back what became of it", name(m)),
            Action::Answer(m) => format!("etcd's late answer reaches {}", name(m)),
            Action::Work(m) => format!("{}: {} ends", name(m), self.working(m)),
            Action::Open(m) => format!("{}'s promotion ends, without its agent", name(m)),
            Action::Kill(m) => format!("{}'s Postgres is dead", name(m)),
            Action::Guard(m) => format!("{}'s guard closes writes", name(m)),
            Action::Stream(m) => format!("{} receives what its source has", name(m)),
            Action::Expire(_) => "etcd ends a lease that was not renewed".to_owned(),
            Action::Apply(_) => "a transaction arrives at etcd long after it was sent".to_owned(),
            Action::Start(m) => format!("{}'s agent starts", name(m)),
            Action::Thaw(m) => format!("{}'s agent is thawed", name(m)),
            Action::Mend(m) => format!("{} reaches etcd again", name(m)),
            Action::Write(m) => format!("a client writes on {}, which acknowledges", name(m)),
            Action::Wish(m) => format!("an operator asks for a switchover to {}", name(m)),
            Action::Step => "a second passes".to_owned(),
            Action::Fault(Kind::Delay, _) => {
                "FAULT a second passes, and what was on its way is late".to_owned()
            }
            Action::Fault(Kind::Untold, m) => {
                format!("FAULT etcd's answer to {}'s {} is lost", name(m), self.asked(m))
            }
            Action::Fault(Kind::Stray, m) => {
                format!("FAULT {}'s {} stays on its way", name(m), self.asked(m))
            }
            Action::Fault(Kind::Slow, m) => {
                format!("FAULT etcd's answer to {}'s {} is late", name(m), self.asked(m))
            }
            Action::Fault(Kind::Crash, m) => format!("FAULT {}'s Postgres dies", name(m)),
            Action::Fault(Kind::EndAgent, m) => format!("FAULT {}'s agent dies", name(m)),
            Action::Fault(Kind::Freeze, m) => format!("FAULT {}'s agent is frozen", name(m)),
            Action::Fault(Kind::Cut, m) => format!("FAULT {} does not reach etcd", name(m)),
            Action::Fault(Kind::Fail, m) => format!("FAULT {}: {} fails", name(m), self.working(m)),
        };
        format!("{seconds:>4}s {what}")
    }

    fn asked(&self, m: usize) -> &'static str {
        match self.members[m].asks.front().map(|ask| &ask.wish) {
            Some(StoreWish::GrantLease { .. }) => "wish for a lease",
            Some(StoreWish::KeepAlive(_)) => "renewal",
            Some(StoreWish::RevokeLease(_)) => "end of its lease",
            Some(StoreWish::TimeToLive(_)) => "question after a lease",
            Some(StoreWish::Read) => "read",
            Some(StoreWish::Txn(_)) => "transaction",
            None => "request",
        }
    }

    fn working(&self, m: usize) -> String {
        let Some(slot) = &self.members[m].slot else { return "work".to_owned() };
        match &slot.job {
            Job::InitDb => "initdb".to_owned(),
            Job::Clone(from) => format!("the clone of {}", from.member),
            Job::Rewind(from) => format!("the rewind to {}", from.member),
            Job::Start(None, _) => "the start as a standby without a source".to_owned(),
            Job::Start(Some(from), _) => format!("the start as a standby of {}", from.member),
            Job::Checkpoint => "the checkpoint".to_owned(),
            Job::Hold => "the hold of PgBouncers".to_owned(),
            Job::Lower => "the lowering of limits".to_owned(),
            Job::Stop(_) => "the orderly stop".to_owned(),
            Job::Follow(from, _) => format!("pointing Postgres at {}", from.member),
            Job::Fetch { .. } => "fetching WAL".to_owned(),
            Job::Detach(_) => "detaching from every source".to_owned(),
            Job::Promote { timeline, .. } => format!("the promotion onto timeline {timeline}"),
        }
    }
}
