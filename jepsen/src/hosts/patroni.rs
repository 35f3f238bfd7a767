//! A member of Patroni, for comparison: its configuration and how it is started, on the same hosts, Postgres and etcd,
//! with commits that wait for one replica, as haa's do.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde_json::{Map, Value, json};

use super::host::{Host, Launch};
use super::plan::{API, POSTGRES, Plan};
use super::tools::{Tools, run};

/// A member's patroni.yml; JSON is YAML.
pub(super) fn config(
    plan: &Plan,
    tools: &Tools,
    host: &Host,
    endpoints: &[String],
    secrets: &[(&str, String)],
) -> anyhow::Result<String> {
    let secret = |name: &str| {
        let found = secrets.iter().find(|(known, _)| *known == name);
        found.map_or("", |(_, text)| text.as_str())
    };
    let login = |user: &str, name: &str| json!({ "username": user, "password": secret(name) });
    let own = |port: u16| format!("{}:{port}", host.address);
    let etcds: Vec<&str> = endpoints.iter().map(|url| url.trim_start_matches("http://")).collect();
    let document = json!({
        "scope": "jepsen",
        "name": host.name,
        "restapi": { "listen": format!("0.0.0.0:{API}"), "connect_address": own(API) },
        "etcd3": { "hosts": etcds },
        "bootstrap": {
            "dcs": dcs(plan)?,
            "initdb": [{ "encoding": "UTF8" }, { "locale": "C" }, "data-checksums"],
        },
        "postgresql": {
            "listen": format!("0.0.0.0:{POSTGRES}"),
            "connect_address": own(POSTGRES),
            "data_dir": host.home.join("disk/data"),
            "bin_dir": tools.postgres,
            "pgpass": host.home.join("pgpass"),
            "authentication": {
                "superuser": login("postgres", "superuser"),
                "replication": login("replicator", "replication"),
                "rewind": login("rewinder", "rewind"),
            },
            "pg_hba": [
                "local all all trust",
                "host all app 10.99.0.0/24 trust",
                "host all all 127.0.0.1/32 scram-sha-256",
                "host all all ::1/128 scram-sha-256",
                "host all all 10.99.0.0/24 scram-sha-256",
                "host replication all 127.0.0.1/32 scram-sha-256",
                "host replication all 10.99.0.0/24 scram-sha-256",
            ],
            "parameters": {
                "unix_socket_directories": host.home,
                "dynamic_shared_memory_type": "mmap", "shared_buffers": "16MB",
            },
        },
    });
    Ok(serde_json::to_string_pretty(&document)?)
}

/// What the cluster begins with; what was wished replaces what Patroni would take.
fn dcs(plan: &Plan) -> anyhow::Result<Value> {
    let mut dcs: Map<String, Value> = Map::new();
    dcs.insert("synchronous_mode".to_owned(), json!("quorum"));
    let parameters = json!({
        "max_connections": 200, "max_wal_size": "128MB", "deadlock_timeout": "100ms",
    });
    let postgresql = json!({ "use_pg_rewind": true, "use_slots": true, "parameters": parameters });
    dcs.insert("postgresql".to_owned(), postgresql);
    for (key, value) in &plan.settings {
        dcs.insert(key.clone(), serde_json::to_value(value)?);
    }
    Ok(Value::Object(dcs))
}

/// Patroni, if the servers' user can start it, and its Python from within: it starts itself again for each Postgres,
/// and waits for good where that fails.
pub(super) fn reachable(tools: &Tools, program: &Path) -> anyhow::Result<PathBuf> {
    let asked = program.display();
    ensure!(
        program.is_file(),
        "there is no patroni at {asked}: make a virtual environment that everybody may enter, install \
         patroni[etcd3] and psycopg2-binary in it, and name its bin directory with --bin-dir"
    );
    let python = program.with_file_name("python3");
    let (uid, gid) = (format!("--reuid={}", tools.user.0), format!("--regid={}", tools.user.1));
    let within = ["--clear-groups", "--", "sh", "-c", r#""$0" -c "import patroni""#];
    let words = ["setpriv", &uid, &gid].into_iter().chain(within);
    let words: Vec<&str> = words.chain(python.to_str()).collect();
    run(&words).with_context(|| {
        format!(
            "the user postgres cannot run {}: make the virtual environment with a Python that it may run, such as \
             /usr/bin/python3",
            python.display()
        )
    })?;
    Ok(program.to_owned())
}

/// What to start on a member's host.
pub(super) fn launch<'a>(tools: &Tools, host: &Host, patroni: &'a Path) -> Launch<'a> {
    Launch {
        program: patroni,
        arguments: vec![host.home.join("patroni.yml").to_string_lossy().into_owned()],
        variables: Vec::new(),
        log: host.home.join("log"),
        user: tools.user,
    }
}
