//! Hand-made statuses, and the API that answers from them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use haa_core::lease::{Leadership, Lease};
use haa_core::list::List;
use haa_core::observe::{
    DataDir, Door, FlushProbe, Heartbeat, PeerState, PostgresFacts, Primary, Server, Shutdown,
    Standby, SyncState, Walsender,
};
use haa_core::parameters::Parameters;
use haa_core::records::{MemberRecord, MemberRole, Tags};
use haa_core::routes::{Follows, MemberStatus, Status};
use haa_core::settings::Settings;
use haa_core::site::Site;
use haa_core::units::{
    Address, Incarnation, Instance, LeaseId, Lsn, MemberName, Millis, Position, Revision, SystemId,
    Term, Timeline,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tower::ServiceExt;

use super::serve::Patience;
use super::tokens::Tokens;
use super::{Api, Call, Metrics, router};
use crate::agent::clock;
use crate::config::Questions;

mod commands;
mod documents;
mod fuzz;
mod metrics;
mod plans;
mod port;
mod roles;
mod settings;
mod siege;
mod table;
mod waiting;

const TOKEN: &str = "0123456789abcdef0123";
const ROLES: &str = "viewer-viewer-viewer name=vic role=viewer\noperator-operator name=olga role=operator\n\
     admin-admin-admin-admin name=ada role=admin\n";
const TERM: Term = Term(7);

fn name(text: &str) -> MemberName {
    text.parse().unwrap()
}

fn address(port: u16) -> Address {
    Address { host: "10.0.0.1".to_owned(), port }
}

fn record(role: MemberRole, port: u16) -> MemberRecord {
    MemberRecord {
        instance: Instance(1),
        postgres: address(port),
        api: address(port + 1000),
        version: "0.1.0".to_owned(),
        server_version: 150_004,
        tags: Tags::default(),
        role,
        system_id: Some(SystemId(7_300_000_000_000_000_001)),
        incarnation: Some(Incarnation(1)),
        timeline: Some(Timeline(3)),
    }
}

fn at(lsn: u64) -> Position {
    Position { timeline: Timeline(3), lsn: Lsn(lsn) }
}

fn facts(server: Server) -> PostgresFacts {
    PostgresFacts {
        progress: None,
        began_at: clock::now(),
        data: DataDir::Present {
            system_id: SystemId(7_300_000_000_000_000_001),
            incarnation: Incarnation(1),
            needs_source: false,
            untouched: false,
        },
        server,
        job: None,
        server_version: 150_004,
        parameters: Parameters::default(),
        lacks_slot: None,
        unanswered_ms: 0,
        awaits: None,
        tight_slots: Vec::new(),
        room: haa_core::observe::Room::Enough,
    }
}

fn heard(from: &str, state: PeerState, lsn: u64) -> (Millis, Heartbeat) {
    let beat = Heartbeat {
        upstream: None,
        run: 1,
        behind_ms: Some(0),
        sessions: Some(5),
        progress: None,
        from: name(from),
        instance: Instance(2),
        number: 1,
        term: TERM,
        state,
        position: Some(at(lsn)),
        replayed: Some(Lsn(lsn)),
        fit: true,
        oldest: None,
        tags: Tags::default(),
        hears: Vec::new(),
        asks: None,
        bound: None,
        grant: None,
        suspects: None,
        blind: false,
        stalled: false,
        question: None,
        gave_up: false,
        consents: None,
        settings: Revision(7),
        drained: Revision::ABSENT,
        parameters: Parameters::default(),
        lacks_slot: None,
        tight_slots: Vec::new(),
        room: haa_core::observe::Room::Enough,
    };
    (clock::now(), beat)
}

/// A leadership that ends `left` from now.
fn leadership(left: Millis) -> Leadership {
    let timing = Settings::default().timing;
    let until = clock::now().after(left);
    let asked_at = until.before(timing.ttl).after(timing.margin);
    let lease = Lease::granted(LeaseId(1), asked_at, timing.ttl, timing);
    lease.leadership(TERM, clock::now()).unwrap()
}

/// n1 of n1 (primary), n2 and n3 (replicas).
fn primary() -> Status {
    let walsender = Walsender {
        incarnation: Incarnation(2),
        streaming: true,
        flushed: Lsn(0x500_0000),
        replayed: Lsn(0x500_0000),
        priority: 0,
        sync: SyncState::Async,
    };
    let own = record(MemberRole::Primary { term: TERM }, 5001);
    let peer = |member: &str, port| {
        let record = record(MemberRole::Streaming, port);
        let heard = Some(heard(member, PeerState::Streaming, 0x500_0000));
        (name(member), MemberStatus { record, heard })
    };
    let server = Server::Primary(Primary {
        position: at(0x500_0000),
        lineage: Vec::new(),
        oldest: None,
        replicas: BTreeMap::from([(name("n2"), walsender)]),
        abroad: BTreeMap::new(),
        inserted: Lsn(0x500_0000),
        shown: Some(List::Nothing),
        effective: Some(List::Nothing),
        door: Some(Door::Open),
        slots: BTreeSet::new(),
        flush: FlushProbe::default(),
        started_unix_ms: 1_700_000_000_123,
    });
    Status {
        me: name("n1"),
        record: own.clone(),
        role: "primary".to_owned(),
        reason: "Postgres left recovery on the reserved timeline".to_owned(),
        waits: None,
        term: TERM,
        leadership: Some(leadership(Millis(5_000))),
        backed: None,
        failsafe: false,
        vouched: None,
        stalled: false,
        upstream: None,
        postgres: Some(facts(server)),
        leader: Some((name("n1"), TERM)),
        members: BTreeMap::from([
            (name("n1"), MemberStatus { record: own, heard: None }),
            peer("n2", 5002),
            peer("n3", 5003),
        ]),
        primary_position: Some(at(0x500_0000)),
        cluster: None,
        sync: None,
        drained: std::collections::BTreeSet::new(),
        pools: haa_core::routes::PoolsAre::Left,
        requests: BTreeMap::new(),
        errand: None,
        settings: Settings::default(),
        settings_revision: Revision(7),
        store_heard_at: Some(clock::now()),
        follows: None,
    }
}

/// n2 of the same, 4096 bytes behind.
fn replica() -> Status {
    let server = Server::Standby(Standby {
        position: at(0x500_0000 - 1024),
        lineage: Vec::new(),
        ahead: Vec::new(),
        replayed: Lsn(0x500_0000 - 4096),
        replay_age_ms: Some(1_000),
        source: Some(address(5001)),
        detached: false,
        mute: false,
        streaming: true,
        dry: false,
        paused: false,
        door: Some(Door::Open),
        sessions: Some(4),
        oldest: None,
        started_unix_ms: 1_700_000_000_123,
    });
    let mut status = primary();
    status.me = name("n2");
    status.record = record(MemberRole::Streaming, 5002);
    status.role = "replica".to_owned();
    status.leadership = None;
    status.postgres = Some(facts(server));
    let n1 = status.members.get_mut(&name("n1")).unwrap();
    n1.heard = Some(heard("n1", PeerState::Primary, 0x500_0000));
    status.members.get_mut(&name("n2")).unwrap().heard = None;
    status
}

fn stopped() -> Status {
    let mut status = replica();
    status.postgres = Some(facts(Server::Stopped(Shutdown::Crashed)));
    status
}

/// An API whose status the test sets, and what it asks.
struct Bench {
    status: watch::Sender<Option<Arc<Status>>>,
    alive_at: watch::Sender<Millis>,
    calls: mpsc::Receiver<Call>,
    api: Api,
    _directory: TempDir,
}

/// What the API asks of others next; what it tells of refusals is let go by.
async fn next(calls: &mut mpsc::Receiver<Call>) -> Option<Call> {
    loop {
        match calls.recv().await {
            Some(Call::Refused { .. }) => {}
            other => return other,
        }
    }
}

/// Whether nothing was asked of others.
fn is_quiet(calls: &mut mpsc::Receiver<Call>) -> bool {
    while let Ok(call) = calls.try_recv() {
        if !matches!(call, Call::Refused { .. }) {
            return false;
        }
    }
    true
}

impl Bench {
    fn new(status: Status) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        let expired = "expired-expired-expired name=bob expires=2020-01-01T00:00:00Z";
        std::fs::write(&path, format!("{TOKEN} name=alice\n{expired}\n{ROLES}")).unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, private).unwrap();
        let (status, published) = watch::channel(Some(Arc::new(status)));
        let (alive_at, alive) = watch::channel(clock::now());
        let (ask, calls) = mpsc::channel(4);
        let api = Api {
            status: published,
            calls: ask,
            tokens: Tokens::load(&path).unwrap(),
            questions: Questions::Open,
            cluster: "main".to_owned(),
            scheme: "http",
            alive_at: alive,
            router: None,
            guard: None,
            slots: watch::channel(BTreeMap::new()).1,
            held: watch::channel(BTreeMap::new()).1,
            metrics: Arc::new(Metrics::new(
                "main",
                &name("n1"),
                Metrics::registry("main", &name("n1")),
            )),
        };
        Self { status, alive_at, calls, api, _directory: directory }
    }

    fn router(&self) -> Router {
        // As the peers' service does: a fallback that answers 200 to everything.
        let peers = Router::new().fallback(|| async { StatusCode::OK });
        router(self.api.clone(), peers).layer(axum::Extension(Patience::default()))
    }

    async fn ask(&self, method: Method, path: &str) -> Answer {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        self.send(request).await
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router().oneshot(request).await.unwrap();
        let code = response.status().as_u16();
        let header = |name| {
            let value = response.headers().get(name);
            value.map(|value| value.to_str().unwrap().to_owned())
        };
        let (challenge, tag) = (header("www-authenticate"), header("etag"));
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        Answer { code, challenge, tag, body: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    async fn code(&self, path: &str) -> u16 {
        self.ask(Method::GET, path).await.code
    }

    async fn json(&self, path: &str) -> Value {
        let answer = self.ask(Method::GET, path).await;
        serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

struct Answer {
    code: u16,
    challenge: Option<String>,
    tag: Option<String>,
    body: String,
}

impl Answer {
    fn error(&self) -> String {
        let body: Value = serde_json::from_str(&self.body).unwrap();
        body["error"].as_str().unwrap().to_owned()
    }
}
