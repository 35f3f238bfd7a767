//! A member of haa: its haad.toml and how its agent is started. The shipped program, unchanged.

use std::path::Path;

use anyhow::Context as _;
use serde_json::json;

use super::fsync;
use super::host::{Host, Launch};
use super::plan::{API, POSTGRES, Plan, ROUTER};
use super::tools::Tools;

/// Whose names the passwords' files bear.
pub(super) const SECRETS: [&str; 4] = ["superuser", "replication", "rewind", "token"];

/// A member's haad.toml.
pub(super) fn config(
    plan: &Plan,
    tools: &Tools,
    host: &Host,
    endpoints: &[String],
) -> anyhow::Result<String> {
    let secrets = host.home.join("secrets");
    let secret = |name: &str| secrets.join(name);
    let state = if plan.state_on_disk { "disk/state" } else { "state" };
    let own = |port: u16| format!("{}:{port}", host.address);
    let mut document = json!({
        "name": host.name,
        "cluster": "jepsen",
        "state_directory": host.home.join(state),
        "etcd": { "endpoints": endpoints },
        "postgres": {
            "data_directory": host.home.join("disk/data"),
            "bin_directory": tools.postgres,
            "listen": format!("0.0.0.0:{POSTGRES}"),
            "address": own(POSTGRES),
            "socket_directory": host.home,
            "hba": ["host all app 10.99.0.0/24 trust", "host all all 10.99.0.0/24 scram-sha-256"],
            // Shared memory then lives in the data directory and goes with it, whatever is killed.
            "parameters": {
                "dynamic_shared_memory_type": "mmap", "shared_buffers": "16MB", "max_connections": 200,
                "max_wal_size": "128MB", "deadlock_timeout": "100ms",
            },
            "superuser": { "user": "postgres", "password_file": secret("superuser") },
            "replication": { "user": "haa_replication", "password_file": secret("replication") },
            "rewind": { "user": "haa_rewind", "password_file": secret("rewind") },
        },
        "api": {
            "listen": format!("0.0.0.0:{API}"), "address": own(API), "token_file": secret("token"),
        },
    });
    if plan.router {
        document["router"] = json!({ "read_write": format!("0.0.0.0:{ROUTER}") });
    }
    if !plan.guard {
        document["guard"] = json!({ "enabled": false });
    }
    if let Some(common) = plan.common_parameters() {
        // What the members have in common is left to the settings.
        let own = document["postgres"]["parameters"].as_object_mut();
        own.into_iter().for_each(|own| own.retain(|name, _| !common.contains_key(name)));
    }
    if !plan.settings.is_empty() {
        document["settings"] = serde_json::to_value(&plan.settings)?;
    }
    let table = toml::Table::try_from(document).context("haad.toml cannot be written as TOML")?;
    Ok(format!("# Written by haa-jepsen; removed with its host.\n{table}"))
}

/// What to start on a member's host.
pub(super) fn launch<'a>(plan: &Plan, tools: &Tools, host: &Host, haad: &'a Path) -> Launch<'a> {
    let config = host.home.join("haad.toml").to_string_lossy().into_owned();
    Launch {
        program: haad,
        arguments: vec!["run".to_owned(), "--config".to_owned(), config],
        variables: variables(plan, host, haad),
        log: host.home.join("log"),
        user: tools.user,
    }
}

/// What stands before a member's clock and its fsync, if anything does.
fn variables(plan: &Plan, host: &Host, haad: &Path) -> Vec<(String, String)> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let (mut libraries, mut all) = (Vec::new(), Vec::new());
    if let Some(library) = &plan.faketime {
        libraries.push(text(library));
        // Only the wall clock is faked; a process looks into the file at most once a second.
        all.extend([
            ("FAKETIME_TIMESTAMP_FILE", text(&host.home.join("clock"))),
            ("FAKETIME_CACHE_DURATION", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]);
    }
    if plan.fsync {
        libraries.push(text(&fsync::library(haad.parent().unwrap_or(haad))));
        all.push(("HAA_JEPSEN_FSYNC", text(&host.home.join("fsync"))));
    }
    if !libraries.is_empty() {
        all.push(("LD_PRELOAD", libraries.join(":")));
    }
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
