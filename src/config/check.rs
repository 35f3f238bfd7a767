//! From what was said to what holds: the whole of it. Every problem is collected, none is logged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use haa_core::records::Tags;
use haa_core::units::{Address, MemberName};

use super::error::{At, Problem};
use super::file::{File, LogFile, Said, Scalar, Text};
use super::source::Source;
use super::{Config, Log, LogFormat, Postgres};

/// Collects what is wrong while the parts are checked. A part that cannot be had is `None`, and its problem is noted.
pub(super) struct Checker<'a> {
    pub(super) source: Source<'a>,
    pub(super) env: &'a BTreeMap<String, String>,
    pub(super) problems: Vec<Problem>,
}

impl Checker<'_> {
    /// Notes a problem.
    pub(super) fn refuse<T>(&mut self, at: At, says: String) -> Option<T> {
        self.problems.push(Problem { at, says });
        None
    }

    /// A span of time, as people write it.
    pub(super) fn span(&mut self, key: &str, said: &Text) -> Option<Duration> {
        humantime::parse_duration(said.value()).ok().or_else(|| {
            let says =
                format!("{key}: '{}' is no span of time: write it as 10s or 500ms", said.value());
            self.refuse_said(said, says)
        })
    }

    /// Notes a problem with something that was said.
    pub(super) fn refuse_said<T, V>(&mut self, said: &Said<V>, says: String) -> Option<T> {
        let at = self.source.of(said);
        self.refuse(at, says)
    }

    /// The value of a key that must be there.
    pub(super) fn need<T: Clone>(&mut self, key: &str, said: Option<&T>, at: At) -> Option<T> {
        match said {
            Some(said) => Some(said.clone()),
            None => self.refuse(at, format!("{key} is missing: {}", remedy(key))),
        }
    }

    /// An absolute path.
    pub(super) fn path(&mut self, key: &str, said: &Text) -> Option<PathBuf> {
        let path = PathBuf::from(said.value());
        let odd = |c: char| c.is_control() || c == '\'' || c == '"';
        if said.value().contains(odd) {
            let says = format!(
                "{key}: '{}' has a quote or a control character in it: use another path",
                said.value().escape_debug()
            );
            return self.refuse_said(said, says);
        }
        if path.is_absolute() {
            return Some(path);
        }
        self.refuse_said(
            said,
            format!(
                "{key}: '{}' is a relative path: write it from the root, such as /etc/haa/{}",
                said.value(),
                said.value()
            ),
        )
    }

    /// An absolute path of a file that is there.
    pub(super) fn file(&mut self, key: &str, said: &Text) -> Option<PathBuf> {
        let path = self.path(key, said)?;
        match std::fs::metadata(&path) {
            Ok(found) if found.is_file() => Some(path),
            Ok(_) => self.refuse_said(said, format!("{key}: {} is not a file", path.display())),
            Err(error) => self.refuse_said(
                said,
                format!(
                    "{key}: {} cannot be read ({error}): create it or correct the path",
                    path.display()
                ),
            ),
        }
    }

    /// An address to listen at, or to be reached at.
    pub(super) fn address(&mut self, key: &str, said: &Text) -> Option<Address> {
        match said.value().parse::<Address>() {
            Ok(address) if address.port == 0 => {
                self.refuse_said(said, format!("{key}: port 0 is not a port: choose one"))
            }
            Ok(address) => Some(address),
            Err(error) => self.refuse_said(said, format!("{key}: {error}")),
        }
    }

    /// Where the others reach what listens there.
    pub(super) fn reached_at(
        &mut self,
        section: &str,
        said: Option<&Text>,
        listen: Option<(&Address, At)>,
    ) -> Option<Address> {
        if let Some(said) = said {
            let key = format!("{section}.address");
            let address = self.address(&key, said)?;
            if is_wildcard(&address.host) {
                let says = format!(
                    "{key}: nobody can connect to {address}: write this machine's own address"
                );
                return self.refuse_said(said, says);
            }
            return Some(address);
        }
        let (listen, at) = listen?;
        if is_wildcard(&listen.host) {
            return self.refuse(
                at,
                format!(
                    "{section}.address is missing: {section}.listen is {listen}, which \
                     nobody can connect to; \
                     add where the others reach this member, such as address = \
                          \"10.0.0.1:{}\"",
                    listen.port
                ),
            );
        }
        Some(listen.clone())
    }

    /// Everything.
    pub(super) fn config(&mut self, file: &File) -> Option<Config> {
        let name = self.need("name", file.name.as_ref(), At::File);
        let name = name.and_then(|said| self.name(&said));
        let cluster = self.need("cluster", file.cluster.as_ref(), At::File);
        let cluster = cluster.and_then(|said| self.cluster(&said));
        let etcd = self.need("etcd.endpoints", file.etcd.as_ref(), At::File);
        let etcd = etcd.and_then(|section| self.etcd(&section));
        let section = self.need("postgres", file.postgres.as_ref(), At::File);
        let state =
            section.as_ref().and_then(|section| self.state_directory(file, section.value()));
        let postgres =
            section.as_ref().and_then(|section| self.postgres(section, state.as_deref()));
        let api = self.need("api", file.api.as_ref(), At::File);
        let api = api.and_then(|section| self.api(&section));
        let guard = self.guard(file, state.as_deref());
        let cloning = self.cloning(&file.clone);
        let bootstrap = self.bootstrap(&file.bootstrap);
        let tags = self.tags(&file.tags, name.as_ref());
        let log = self.log(&file.log);
        let settings = self.settings(&file.settings);
        let (postgres, api) = (postgres?, api?);
        self.has_archive(&file.tags, &postgres)?;
        let settings = settings?;
        let receiver_timeout = settings.timing.receiver_timeout();
        let shared_parameters = settings.postgres.parameters.clone();
        let (cluster, cloning, bootstrap) = (cluster?, cloning?, bootstrap?);
        let postgres = Postgres {
            receiver_timeout,
            shared_parameters,
            cluster: cluster.clone(),
            cloning,
            bootstrap,
            ..postgres
        };
        if postgres.listen.port == api.listen.port
            && let Some(said) = file.api.as_ref().and_then(|api| api.value().listen.as_ref())
        {
            let port = api.listen.port;
            let says = format!(
                "api.listen: port {port} is Postgres' own (postgres.listen): give one of them \
                     another, such as 8008"
            );
            return self.refuse_said(said, says);
        }
        let taken = [("postgres.listen", postgres.listen.port), ("api.listen", api.listen.port)];
        let router = self.router(file.router.as_ref(), &taken);
        let pgbouncer = self.pgbouncer(file.pgbouncer.as_ref());
        let promote = Duration::from_millis(settings.timing.promote_timeout.0);
        let hooks = self.hooks(&file.hooks, promote);
        Some(Config {
            file: PathBuf::new(),
            name: name?,
            cluster,
            state_directory: state?,
            etcd: etcd?,
            postgres,
            api,
            guard: guard?,
            router: router?,
            pgbouncer: pgbouncer?,
            hooks: hooks?,
            tags: tags?,
            log: log?,
            settings,
        })
    }

    fn name(&mut self, said: &Text) -> Option<MemberName> {
        match said.value().parse() {
            Ok(name) => Some(name),
            Err(error) => self.refuse_said(said, format!("name: {error}")),
        }
    }

    fn cluster(&mut self, said: &Text) -> Option<String> {
        let text = said.value();
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if (1..=48).contains(&text.len()) && text.chars().all(legal) {
            return Some(text.clone());
        }
        self.refuse_said(
            said,
            format!("cluster: '{text}' is not a cluster's name: use 1 to 48 of a-z 0-9 - _"),
        )
    }

    /// Whoever is to live on an archive has one.
    fn has_archive(
        &mut self,
        tags: &BTreeMap<String, Said<Scalar>>,
        postgres: &Postgres,
    ) -> Option<()> {
        let nostream =
            tags.get("nostream").filter(|on| matches!(on.value(), Scalar::Boolean(true)));
        let (Some(said), None) = (nostream, &postgres.restore_command) else { return Some(()) };
        let says = "tags.nostream: there is no archive to live on: write its command into \
                    postgres.restore_command, such as cp /archive/%f %p, or take the tag out";
        self.refuse_said(said, says.to_owned())
    }

    fn tags(
        &mut self,
        said: &BTreeMap<String, Said<Scalar>>,
        me: Option<&MemberName>,
    ) -> Option<Tags> {
        let mut tags = Tags::default();
        let before = self.problems.len();
        for (key, value) in said {
            match (key.as_str(), value.value()) {
                ("nofailover", Scalar::Boolean(on)) => tags.nofailover = *on,
                ("noloadbalance", Scalar::Boolean(on)) => tags.noloadbalance = *on,
                ("clonefrom", Scalar::Boolean(on)) => tags.clonefrom = *on,
                ("nosync", Scalar::Boolean(on)) => tags.nosync = *on,
                ("nostream", Scalar::Boolean(on)) => tags.nostream = *on,
                ("failover_priority", Scalar::Integer(n)) if i32::try_from(*n).is_ok() => {
                    tags.failover_priority = i32::try_from(*n).unwrap_or_default();
                }
                ("replicatefrom", Scalar::Text(name)) => match name.parse() {
                    Ok(name) if Some(&name) == me => {
                        let says = format!(
                            "tags.replicatefrom: {name} is this member itself: name another, or take it out"
                        );
                        self.refuse_said::<(), _>(value, says);
                    }
                    Ok(name) => tags.replicatefrom = Some(name),
                    Err(error) => {
                        let says = format!("tags.replicatefrom: {error}");
                        self.refuse_said::<(), _>(value, says);
                    }
                },
                ("replicatefrom", _) => {
                    let says =
                        "tags.replicatefrom: write a member's name, such as \"n2\"".to_owned();
                    self.refuse_said::<(), _>(value, says);
                }
                ("nofailover" | "noloadbalance" | "clonefrom" | "nosync" | "nostream", _) => {
                    self.refuse_said::<(), _>(
                        value,
                        format!("tags.{key}: write true or false, without quotes"),
                    );
                }
                ("failover_priority", _) => {
                    let says = format!(
                        "tags.{key}: write a whole number, without quotes; the larger wins"
                    );
                    self.refuse_said::<(), _>(value, says);
                }
                (_, Scalar::Boolean(on)) => drop(tags.free.insert(key.clone(), on.to_string())),
                (_, other) => drop(tags.free.insert(key.clone(), other.text())),
            }
        }
        (self.problems.len() == before).then_some(tags)
    }

    fn log(&mut self, said: &LogFile) -> Option<Log> {
        let format = match said.format.as_ref().map(|said| (said, said.value().as_str())) {
            None | Some((_, "text")) => Some(LogFormat::Text),
            Some((_, "json")) => Some(LogFormat::Json),
            Some((said, other)) => self.refuse_said(
                said,
                format!("log.format: '{other}' is no format: write text or json"),
            ),
        };
        let level = match &said.level {
            None => Some("info".to_owned()),
            Some(said) => match crate::logging::filter(said.value()) {
                Ok(_) => Some(said.value().clone()),
                Err(error) => {
                    let says = format!(
                        "log.level: '{}' is no filter ({error}): write error, warn, info, debug \
                             or trace, \
                         or a filter such as info,haa::store=debug",
                        said.value()
                    );
                    self.refuse_said(said, says)
                }
            },
        };
        Some(Log { format: format?, level: level? })
    }
}

/// Every address of the machine: to listen at, never to be reached at.
fn is_wildcard(host: &str) -> bool {
    matches!(host, "0.0.0.0" | "::" | "*")
}

/// Whether `inner` is `outer` or below it.
pub(super) fn is_within(inner: &Path, outer: &Path) -> bool {
    inner.starts_with(outer)
}

fn remedy(key: &str) -> &'static str {
    match key {
        "name" => "give this member a name of its own, such as name = \"n1\"",
        "cluster" => {
            "give the cluster a name, the same in each member's file, such as cluster = \"main\""
        }
        "etcd.endpoints" => {
            "under [etcd] write endpoints = [\"http://10.0.0.1:2379\"], one URL for each etcd \
                 member"
        }
        "postgres" => "add a section [postgres]; `haad config example` shows one",
        "postgres.data_directory" => {
            "under [postgres] write data_directory = \"/var/lib/postgresql/haa/main\""
        }
        "postgres.listen" => "under [postgres] write listen = \"0.0.0.0:5432\"",
        "api" => "add a section [api]; `haad config example` shows one",
        "api.listen" => "under [api] write listen = \"0.0.0.0:8008\"",
        "api.token_file" => {
            "under [api] write token_file = \"/etc/haa/secrets/token\"; commands and peers need a token"
        }
        _ => "`haad config example` shows one",
    }
}
