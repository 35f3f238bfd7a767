//! `haad.toml` as it is written: shapes and schema. Never says whether a value makes sense.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use toml::Spanned;

/// A value and where it was said.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Said<T>(Spanned<T>);

impl<T> Said<T> {
    pub(super) fn value(&self) -> &T {
        self.0.get_ref()
    }

    /// First byte in the text; beyond the text for an environment variable.
    pub(super) fn start(&self) -> usize {
        self.0.span().start
    }
}

impl<T: JsonSchema> JsonSchema for Said<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A string that was said.
pub(super) type Text = Said<String>;

/// A value of any simple type.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a string, a number, true or false")]
pub(super) enum Scalar {
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(String),
}

impl Scalar {
    /// As Postgres and the tags take it.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Boolean(true) => "on".to_owned(),
            Self::Boolean(false) => "off".to_owned(),
            Self::Integer(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// haad's configuration: what one member is told.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "haad.toml")]
pub(super) struct File {
    /// This member's name: 1 to 48 of `a-z 0-9 -`, beginning with a letter; unique in the cluster.
    #[schemars(required)]
    pub(super) name: Option<Text>,
    /// The cluster's name: 1 to 48 of `a-z 0-9 - _`; the same for all its members.
    #[schemars(required)]
    pub(super) cluster: Option<Text>,
    /// Where the agent keeps what it must remember. Default: the data directory's path with `.haa` at its end.
    pub(super) state_directory: Option<Text>,
    /// How to reach etcd.
    #[schemars(required)]
    pub(super) etcd: Option<Said<EtcdFile>>,
    /// The server and its files.
    #[schemars(required)]
    pub(super) postgres: Option<Said<PostgresFile>>,
    /// What a new cluster is made of, if not of nothing.
    #[serde(default)]
    pub(super) bootstrap: super::bootstrap::BootstrapFile,
    /// How its data are copied.
    #[serde(default)]
    pub(super) clone: super::clone::CloneFile,
    /// The HTTP API and the peers' service.
    #[schemars(required)]
    pub(super) api: Option<Said<ApiFile>>,
    /// The process that closes writes when the agent cannot.
    #[serde(default)]
    pub(super) guard: GuardFile,
    /// The TCP router: off without a port.
    pub(super) router: Option<Said<RouterFile>>,
    /// PgBouncers that are held while the leadership is handed over.
    pub(super) pgbouncer: Option<Said<super::pgbouncer::PgbouncerFile>>,
    /// Your own programs, run when something happens to this member.
    #[serde(default)]
    pub(super) hooks: super::hooks::HooksFile,
    /// `nofailover`, `noloadbalance`, `clonefrom`, `nosync`, `nostream` (true, false), `failover_priority` (a whole
    /// number), `replicatefrom` (a member's name), and any others.
    #[serde(default)]
    pub(super) tags: BTreeMap<String, Said<Scalar>>,
    /// How to log.
    #[serde(default)]
    pub(super) log: LogFile,
    /// What a new cluster begins with; an existing one keeps its own.
    #[serde(default)]
    pub(super) settings: SettingsFile,
}

/// `[etcd]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EtcdFile {
    /// One URL for each etcd member, such as `http://10.0.0.1:2379`.
    #[schemars(required)]
    pub(super) endpoints: Option<Said<Vec<Text>>>,
    /// User name, if etcd asks for one.
    pub(super) user: Option<Text>,
    /// The file with the user's password.
    pub(super) password_file: Option<Text>,
    /// Certificate authority of etcd's servers, PEM.
    pub(super) ca_file: Option<Text>,
    /// Client certificate, PEM.
    pub(super) cert_file: Option<Text>,
    /// The client certificate's key, PEM.
    pub(super) key_file: Option<Text>,
}

/// `[postgres]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PostgresFile {
    /// PGDATA.
    #[schemars(required)]
    pub(super) data_directory: Option<Text>,
    /// Where `postgres`, `initdb`, `pg_basebackup` and `pg_rewind` are. Default: found by itself.
    pub(super) bin_directory: Option<Text>,
    /// Where Postgres listens, such as `0.0.0.0:5432`.
    #[schemars(required)]
    pub(super) listen: Option<Text>,
    /// Where the other members and the clients reach it. Default: `listen`, unless that is a wildcard.
    pub(super) address: Option<Text>,
    /// Directory of the Unix socket. Default: `socket` in the state directory.
    pub(super) socket_directory: Option<Text>,
    /// Your own postgresql.conf, included before haad's settings and never edited.
    pub(super) include: Option<Text>,
    /// Your lines of pg_hba.conf, in order; haad's own come first.
    #[serde(default)]
    pub(super) hba: Vec<Text>,
    /// Your parameters; those that haad itself must set are refused.
    #[serde(default)]
    pub(super) parameters: BTreeMap<String, Said<Scalar>>,
    /// How to get WAL segment `%f` out of your archive into the file `%p`, such as `cp /archive/%f %p`. Default: none.
    pub(super) restore_command: Option<Text>,
    /// The role for everything that the agent does in its own server. Default user: `postgres`.
    #[schemars(required)]
    pub(super) superuser: Option<Said<LoginFile>>,
    /// The role for streaming and cloning. Default user: `haa_replication`.
    #[schemars(required)]
    pub(super) replication: Option<Said<LoginFile>>,
    /// The role for pg_rewind. Default user: `haa_rewind`.
    #[schemars(required)]
    pub(super) rewind: Option<Said<LoginFile>>,
}

/// A role and the file with its password.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LoginFile {
    /// Its name.
    pub(super) user: Option<Text>,
    /// The file with its password; nobody else may read it.
    #[schemars(required)]
    pub(super) password_file: Option<Text>,
}

/// `[api]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ApiFile {
    /// Where to listen, such as `0.0.0.0:8008`.
    #[schemars(required)]
    pub(super) listen: Option<Text>,
    /// Where the others reach it. Default: `listen`, unless that is a wildcard.
    pub(super) address: Option<Text>,
    /// The file with the tokens that commands and peers need; nobody else may read it.
    #[schemars(required)]
    pub(super) token_file: Option<Text>,
    /// Who may read documents and metrics: `open` (everybody) or `token` (whoever has one). Default: `open`.
    pub(super) questions: Option<Text>,
    /// This member's certificate, as a server and as a client, PEM; with it, the port speaks TLS.
    pub(super) cert_file: Option<Text>,
    /// The certificate's key, PEM.
    pub(super) key_file: Option<Text>,
    /// Certificate authority of all members, and of the clients that have a certificate, PEM.
    pub(super) ca_file: Option<Text>,
    /// Who must show a certificate: `none`, `optional` (who commands must) or `required` (everybody). Default: `none`.
    pub(super) verify_client: Option<Text>,
    /// What becomes of those who do not speak TLS: `refused` or `answered`. Default: `refused`.
    pub(super) plain: Option<Text>,
}

/// `[guard]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GuardFile {
    /// Whether there is one. Default: true.
    pub(super) enabled: Option<Said<bool>>,
    /// A watchdog device that it feeds while this member leads, such as `/dev/watchdog`. Default: none.
    pub(super) watchdog: Option<Text>,
}

/// `[router]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RouterFile {
    /// Where writers come, such as `0.0.0.0:5000`. Default: none.
    pub(super) read_write: Option<Text>,
    /// Where readers come, such as `0.0.0.0:5001`. Default: none.
    pub(super) read_only: Option<Text>,
    /// So many clients on each port, those that are held among them. Default: 1000.
    pub(super) max_connections: Option<Said<u32>>,
    /// So many clients are held on each port while there is no server for them. Default: 1000.
    pub(super) max_held: Option<Said<u32>>,
    /// How long a client is held; 0s: not at all. Default: 10s.
    pub(super) hold: Option<Text>,
    /// How long clients may go on when haad stops. Default: 5s.
    pub(super) drain: Option<Text>,
}

/// `[log]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LogFile {
    /// `text` (default) or `json`.
    pub(super) format: Option<Text>,
    /// A filter such as `info` (default) or `info,haa::store=debug`.
    pub(super) level: Option<Text>,
}

/// `[settings]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SettingsFile {
    /// `quorum`: a commit is flushed by `k` replicas too before it is acknowledged. `async`: by the primary alone. Not
    /// said: `quorum` once two replicas stream.
    pub(super) durability: Option<Text>,
    /// In `quorum`: how many replicas flush a commit. Default: half of the voters, the primary among them.
    pub(super) k: Option<Said<u32>>,
    /// In `quorum`: a primary that lost every other voter waits for one, rather than going on alone. Default: false.
    pub(super) strict: Option<Said<bool>>,
    /// In `quorum`: a primary that cannot reach etcd goes on while every member lets it. Default: true.
    pub(super) failsafe: Option<Said<bool>>,
    /// `fast`: a primary that is gone is noticed after 300 ms instead of a second. In `quorum`; for a quiet network.
    pub(super) profile: Option<Text>,
    /// How far behind the primary a replica may be and still stand, such as `1MB` (default), or a number of bytes.
    pub(super) maximum_lag_on_failover: Option<Said<Scalar>>,
    /// The spans of the protocol, such as `ttl = "10s"`.
    #[serde(default)]
    pub(super) timing: TimingFile,
    /// What every member's Postgres is told.
    #[serde(default)]
    pub(super) postgres: PostgresSettingsFile,
    /// Your replication slots that are to be there whoever leads, each a table by its name.
    #[serde(default)]
    pub(super) slots: BTreeMap<String, Said<SlotFile>>,
}

/// A replication slot that is kept.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SlotFile {
    /// `physical` or `logical`. Default: `logical` where a database is said.
    pub(super) r#type: Option<Text>,
    /// Of a logical slot: whose changes.
    pub(super) database: Option<Text>,
    /// Of a logical slot: who decodes them. Default: `pgoutput`.
    pub(super) plugin: Option<Text>,
}

/// `[settings.postgres]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PostgresSettingsFile {
    /// Parameters of every member; `[postgres.parameters]` of a member goes before them.
    #[serde(default)]
    pub(super) parameters: BTreeMap<String, Said<Scalar>>,
}

/// `[settings.timing]`: spans such as `10s` or `500ms`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TimingFile {
    /// How long etcd keeps a lease that is not renewed; whole seconds. Default: 10s.
    pub(super) ttl: Option<Text>,
    /// Between two renewals. Default: 3s.
    pub(super) round: Option<Text>,
    /// Leadership ends this long before the lease can. Default: 2s.
    pub(super) margin: Option<Text>,
    /// Between two heartbeats to a peer. Default: 100ms.
    pub(super) heartbeat: Option<Text>,
    /// A peer that was not heard for this long is not counted on. Default: 1s.
    pub(super) suspect_after: Option<Text>,
    /// The second-best candidate waits this long for the best. Default: 150ms.
    pub(super) stagger: Option<Text>,
    /// A candidate waits at most this long for the others' positions. Default: 500ms.
    pub(super) report_timeout: Option<Text>,
    /// Nobody stands while another's attempt is younger. Default: 1s.
    pub(super) attempt_timeout: Option<Text>,
    /// A leader that has not come out of recovery by then gives way. Default: 5s.
    pub(super) promote_timeout: Option<Text>,
    /// A primary that answers no query for this long counts as dead. Default: 5s.
    pub(super) stall_timeout: Option<Text>,
    /// An orderly stop that takes longer becomes an immediate one. Default: 10s.
    pub(super) stop_timeout: Option<Text>,
    /// A member not seen for this long is gone for good; its slot goes. Default: 24h.
    pub(super) forget_after: Option<Text>,
    /// After the loss of all, an election waits this long to hear of every member. Default: 30s.
    pub(super) gather_timeout: Option<Text>,
    /// The named successor of a switchover has this long to stand. Default: 3s.
    pub(super) successor_timeout: Option<Text>,
    /// A leader is not taken over from, on silence, in the first so long after its election. Default: 3s.
    pub(super) settle: Option<Text>,
    /// A leader whose WAL still streams counts as lost when its agent was not heard for this long. Default: 5s.
    pub(super) agent_silent_after: Option<Text>,
    /// A voter that does not stream, or whose agent is silent, for this long is no voter any more. Default: 3s.
    pub(super) voter_timeout: Option<Text>,
    /// A removed voter streams this long without a break before it is one again; doubled for each removal within an
    /// hour. Default: 10s.
    pub(super) voter_return: Option<Text>,
    /// A primary without enough voters for this long goes on alone, unless `strict`. Default: 10s.
    pub(super) alone_after: Option<Text>,
}
