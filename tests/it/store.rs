//! The store against a real etcd. Owns the bench that its tests share; the tests are in the
//! modules.

mod failures;
mod leases;
mod transactions;
mod watching;

use std::time::Duration;

use haa::config;
use haa::playground::etcd::{Etcd, EtcdCluster};
use haa::store::Store;
use haa_core::effect::{StoreWish, Txn};
use haa_core::input::{Input, LeaseNews, Left, Outcome, Via};
use haa_core::records::{Key, LeaderRecord, Record, StoreView};
use haa_core::units::{Instance, LeaseId, Millis, Revision, Term, TxnId};
use tokio::sync::mpsc;

use crate::support::become_postgres;

/// Only ends a test that would hang; no test passes by waiting for it.
const HANGS: Duration = Duration::from_secs(60);

/// One store with its inputs.
struct Bench {
    store: Store,
    inputs: mpsc::Receiver<Input>,
    txns: u64,
}

fn at(endpoints: Vec<String>) -> config::Etcd {
    config::Etcd { endpoints, login: None, ca: None, identity: None }
}

/// A fresh etcd in a directory of its own.
fn etcd() -> (Etcd, tempfile::TempDir) {
    become_postgres();
    let directory = tempfile::tempdir().expect("a temporary directory");
    (Etcd::start(directory.path()).expect("etcd starts"), directory)
}

/// What a member sees beside haa: a plain client.
async fn plain(etcd: &Etcd) -> etcd_client::Client {
    etcd_client::Client::connect([etcd.endpoint()], None).await.expect("a client")
}

fn leader(member: &str, term: u64) -> Record {
    let member = member.parse().expect("a legal name");
    Record::Leader(LeaderRecord { member, term: Term(term), instance: Instance(1) })
}

fn leader_of(view: &StoreView) -> Option<&str> {
    view.leader.as_ref().map(|kept| kept.value.member.as_str())
}

impl Bench {
    fn new(etcd: &config::Etcd) -> Self {
        let (sender, inputs) = mpsc::channel(64);
        let store = Store::start(etcd, "shop", sender).expect("a right configuration");
        Self { store, inputs, txns: 0 }
    }

    /// The first input that answers the question.
    async fn until<T>(&mut self, mut question: impl FnMut(Input) -> Option<T>) -> T {
        let look = async {
            loop {
                let input = self.inputs.recv().await.expect("the store lives");
                if let Some(answer) = question(input) {
                    return answer;
                }
            }
        };
        tokio::time::timeout(HANGS, look).await.expect("an answer")
    }

    /// The first view that fits, however it came.
    async fn until_view(&mut self, fits: impl Fn(&StoreView, Via) -> bool) -> (StoreView, Via) {
        self.until(|input| match input {
            Input::Store(seen) if fits(&seen.view, seen.via) => Some((seen.view, seen.via)),
            _ => None,
        })
        .await
    }

    async fn until_read(&mut self) -> StoreView {
        self.until_view(|_, via| matches!(via, Via::Read { .. })).await.0
    }

    fn begin(
        &mut self,
        compare: Vec<(Key, Revision)>,
        put: Vec<(Record, Option<LeaseId>)>,
        delete: Vec<Key>,
    ) -> TxnId {
        self.txns += 1;
        let id = TxnId(self.txns);
        self.store.wish(StoreWish::Txn(Txn { id, compare, put, delete }));
        id
    }

    async fn end(&mut self, wanted: TxnId) -> (Outcome, StoreView) {
        self.until(|input| match input {
            Input::Store(seen) => match seen.via {
                Via::Txn { id, outcome, .. } if id == wanted => Some((outcome, seen.view)),
                _ => None,
            },
            _ => None,
        })
        .await
    }

    async fn txn(
        &mut self,
        compare: Vec<(Key, Revision)>,
        put: Vec<(Record, Option<LeaseId>)>,
        delete: Vec<Key>,
    ) -> (Outcome, StoreView) {
        let id = self.begin(compare, put, delete);
        self.end(id).await
    }

    /// Repeats it until it is known to be written: on a busy machine an answer may come too late.
    async fn write(&mut self, put: Vec<(Record, Option<LeaseId>)>) -> StoreView {
        loop {
            let (outcome, view) = self.txn(vec![], put.clone(), vec![]).await;
            match outcome {
                Outcome::Committed => return view,
                Outcome::Unknown => {}
                Outcome::Refused => panic!("refused, though it compares nothing: {view:?}"),
            }
        }
    }

    async fn news(&mut self) -> LeaseNews {
        self.until(|input| match input {
            Input::Lease(news) => Some(news),
            _ => None,
        })
        .await
    }

    /// What etcd says of a lease.
    async fn left(&mut self, lease: LeaseId) -> Option<Left> {
        self.store.wish(StoreWish::TimeToLive(lease));
        self.until(|input| match input {
            Input::LeaseSeen(seen) if seen.id == lease => Some(seen.left),
            _ => None,
        })
        .await
    }

    /// Asks until etcd says something of it that fits.
    async fn until_left(&mut self, lease: LeaseId, fits: impl Fn(Left) -> bool) {
        while !self.left(lease).await.is_some_and(&fits) {}
    }

    async fn lease(&mut self, ttl: Millis) -> LeaseId {
        self.store.wish(StoreWish::GrantLease { ttl });
        match self.news().await {
            LeaseNews::Alive { id, .. } => id,
            other => panic!("a lease was expected, not {other:?}"),
        }
    }
}

#[test]
fn a_throw_away_etcd_stops_starts_and_freezes() {
    let (mut etcd, _directory) = etcd();
    let endpoint = etcd.endpoint();
    assert!(etcd.healthy());
    etcd.freeze().expect("it can be frozen");
    assert!(!etcd.healthy());
    etcd.thaw().expect("it can be thawed");
    etcd.wait_healthy().expect("it goes on");
    etcd.restart().expect("it starts again");
    assert_eq!(etcd.endpoint(), endpoint);
    etcd.stop().expect("it stops");
    assert!(!etcd.healthy());
    assert_eq!(etcd.pid(), None);
}

#[test]
fn three_outlive_the_loss_of_one() {
    become_postgres();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut cluster = EtcdCluster::start(directory.path()).expect("three start");
    cluster.members[0].kill().expect("one is killed");
    cluster.members[1].wait_healthy().expect("the second goes on");
    cluster.members[2].wait_healthy().expect("the third goes on");
}
