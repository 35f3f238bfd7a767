//! Bad files and what is said about them, word by word.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use super::*;

mod fuzz;

/// A good file; `@` is the directory of the test.
const GOOD: &str = r#"name = "n1"
cluster = "main"

[etcd]
endpoints = ["http://10.0.0.1:2379"]

[postgres]
data_directory = "@/pg"
bin_directory = "@/bin"
listen = "0.0.0.0:5432"
address = "10.0.0.1:5432"

[postgres.superuser]
password_file = "@/secret"
[postgres.replication]
password_file = "@/secret"
[postgres.rewind]
password_file = "@/secret"

[api]
listen = "10.0.0.1:8008"
token_file = "@/tokens"
"#;

struct Place {
    directory: TempDir,
    env: BTreeMap<String, String>,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("haa").tempdir_in("/tmp").unwrap();
        let place = Self { directory, env: BTreeMap::new() };
        place.write("secret", "pass word\n", 0o600);
        place.write("tokens", "0123456789abcdef0123 name=alice\n", 0o600);
        std::fs::create_dir(place.path().join("bin")).unwrap();
        for program in binaries::PROGRAMS {
            place.write(&format!("bin/{program}"), "", 0o755);
        }
        place
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        let path = self.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    fn load(&self, text: &str) -> Result<Config, String> {
        let here = self.path().display().to_string();
        self.write("haad.toml", &text.replace('@', &here), 0o644);
        let loaded = Config::load(&self.path().join("haad.toml"), &self.env);
        loaded.map_err(|error| error.to_string().replace(&here, "@"))
    }
}

/// What is said when `old` of the good file is `new`.
fn said(old: &str, new: &str) -> String {
    assert!(GOOD.contains(old), "the good file has no {old}");
    Place::new().load(&GOOD.replacen(old, new, 1)).expect_err("it is wrong")
}

#[test]
fn what_an_agent_that_runs_takes_is_told_and_what_waits_for_its_next_start() {
    let place = Place::new();
    let of = |more: &str| place.load(&format!("{GOOD}\n{more}")).unwrap();
    let parameters =
        "[postgres.parameters]\nwork_mem = \"64MB\"\narchive_command = \"put secret\"\n";
    let found = Difference::between(&of(""), &of(parameters));
    assert_eq!(
        found.taken,
        [
            "postgres.parameters.archive_command",
            "postgres.parameters.work_mem = 64MB (was not said)"
        ],
        "what a program is told may be a secret"
    );
    assert_eq!(found.restart, [""; 0]);
    let found = Difference::between(&of(""), &of("[hooks]\ntimeout = \"3s\"\n"));
    assert_eq!(found.restart, ["hooks"]);
}

#[test]
fn a_good_file_has_defaults() {
    let place = Place::new();
    let config = place.load(GOOD).unwrap();
    assert_eq!(config.name.as_str(), "n1");
    assert_eq!(config.state_directory, place.path().join("pg.haa"));
    assert_eq!(config.postgres.socket_directory, place.path().join("pg.haa/socket"));
    assert_eq!(config.postgres.superuser.user, "postgres");
    assert_eq!(config.postgres.superuser.password, "pass word");
    assert_eq!(config.postgres.replication.user, "haa_replication");
    assert_eq!(config.postgres.rewind.user, "haa_rewind");
    assert_eq!(config.api.address, config.api.listen);
    assert_eq!(config.log.format, LogFormat::Text);
    assert_eq!(config.guard, Guard { enabled: true, watchdog: None });
    assert!(config.router.is_none() && config.pgbouncer.is_none());
    assert_eq!(config.postgres.cloning, Cloning::default());
    assert_eq!(config.postgres.bootstrap, Bootstrap::default());
    assert_eq!(config.hooks.on_role_change, None);
    assert_eq!(
        (config.hooks.timeout.as_secs(), config.hooks.before_promote_timeout.as_secs()),
        (10, 1)
    );
    assert_eq!(config.settings, Settings::default());
    assert!(!format!("{config:?}").contains("pass word"));
}

#[test]
fn a_full_file_is_taken_as_written() {
    let more = r#"
[postgres.parameters]
max_connections = 200
shared_buffers = "128MB"
jit = false
[guard]
enabled = false
watchdog = "/dev/watchdog"
[router]
read_write = "0.0.0.0:5000"
hold = "0s"
[pgbouncer]
consoles = ["10.0.0.9:6432", "[::1]:6433"]
password_file = "@/secret"
databases = ["shop"]
[hooks]
on_role_change = ["@/bin/postgres", "a b", "$c"]
timeout = "1m"
[tags]
noloadbalance = true
clonefrom = true
nosync = true
replicatefrom = "n2"
failover_priority = -3
zone = "a"
[log]
format = "json"
level = "info,haa::store=debug"
[settings]
maximum_lag_on_failover = "16MB"
[settings.timing]
ttl = "30s"
stagger = "50ms"
"#;
    let place = Place::new();
    let config = place.load(&format!("{GOOD}{more}")).unwrap();
    let parameters: Vec<_> = config.postgres.parameters.into_iter().collect();
    let expected = [("jit", "off"), ("max_connections", "200"), ("shared_buffers", "128MB")];
    assert_eq!(parameters, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(config.guard, Guard { enabled: false, watchdog: Some("/dev/watchdog".into()) });
    let router = config.router.unwrap();
    assert_eq!(router.read_write.unwrap().port, 5000);
    assert_eq!((router.read_only, router.hold.as_secs()), (None, 0));
    assert_eq!((router.max_connections, router.max_held, router.drain.as_secs()), (1000, 1000, 5));
    let pools = config.pgbouncer.unwrap();
    assert_eq!((pools.consoles.len(), pools.consoles[1].port), (2, 6433));
    assert_eq!((pools.login.user.as_str(), pools.databases[0].as_str()), ("pgbouncer", "shop"));
    assert_eq!(pools.pause_timeout.as_secs(), 5);
    assert!(config.tags.clonefrom);
    let hook = config.hooks.on_role_change.unwrap();
    assert_eq!(hook.program, place.path().join("bin/postgres"));
    assert_eq!(hook.arguments, ["a b", "$c"]);
    assert_eq!(config.hooks.timeout.as_secs(), 60);
    assert!(config.tags.noloadbalance && config.tags.nosync);
    assert_eq!(config.tags.failover_priority, -3);
    assert_eq!(config.tags.replicatefrom.unwrap().as_str(), "n2");
    assert_eq!(config.tags.free["zone"], "a");
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.settings.maximum_lag_on_failover, 16 << 20);
    assert_eq!(config.settings.timing.ttl.0, 30_000);
    assert_eq!(config.settings.timing.stagger.0, 50);
}

#[test]
fn what_is_made_of_backups_is_taken_as_written() {
    let more = r#"
[bootstrap]
method = "command"
command = ["@/bin/postgres", "latest"]
recovery_target_time = "2027-01-31 12:00:00+00"
recovery_target_inclusive = false
[clone]
rate_limit = "50MB"
[[clone.method]]
name = "tape"
command = ["@/bin/postgres"]
timeout = "2h"
"#;
    let config = Place::new().load(&format!("{GOOD}{more}")).unwrap();
    let Bootstrap::Command(restore) = config.postgres.bootstrap else { panic!() };
    assert_eq!(
        (restore.command.arguments[0].as_str(), restore.timeout.as_secs()),
        ("latest", 86_400)
    );
    let target = [
        ("recovery_target_time", "2027-01-31 12:00:00+00".to_owned()),
        ("recovery_target_inclusive", "off".to_owned()),
    ];
    assert_eq!(restore.target, target);
    let Cloning { rate_limit, methods, basebackup } = config.postgres.cloning;
    assert_eq!((rate_limit, basebackup, methods.len()), (Some(50 << 20), true, 1));
    assert_eq!((methods[0].name.as_str(), methods[0].timeout.as_secs()), ("tape", 7_200));
}

#[test]
fn variables_override_the_file() {
    let config = Place::new()
        .with("HAAD_NAME", "n2")
        .with("HAAD_ETCD_ENDPOINTS", "http://a:1, http://b:2")
        .with("HAAD_TAGS_NOFAILOVER", "true")
        .with("HAAD_SETTINGS_TIMING_TTL", "20s")
        .with("HAAD_CONFIG", "ignored here")
        .with("OTHER", "x")
        .load(GOOD)
        .unwrap();
    assert_eq!(config.name.as_str(), "n2");
    assert_eq!(config.etcd.endpoints, ["http://a:1", "http://b:2"]);
    assert!(config.tags.nofailover);
    assert_eq!(config.settings.timing.ttl.0, 20_000);
}

#[test]
fn an_archives_command_is_taken_from_the_file_and_from_its_variable() {
    let line = "restore_command = \"get --to=%p %f 100%%\"\nbin_directory";
    let text = GOOD.replace("bin_directory", line);
    let command = |place: Place| place.load(&text).unwrap().postgres.restore_command;
    assert_eq!(command(Place::new()).as_deref(), Some("get --to=%p %f 100%%"));
    let place = Place::new().with("HAAD_POSTGRES_RESTORE_COMMAND", "cp /a/%f %p");
    assert_eq!(command(place).as_deref(), Some("cp /a/%f %p"));
}

#[test]
fn the_example_is_taken() {
    let place = Place::new();
    std::fs::create_dir(place.path().join("secrets")).unwrap();
    for role in ["superuser", "replication", "rewind"] {
        place.write(&format!("secrets/{role}"), "x\n", 0o600);
    }
    place.write("secrets/token", "0123456789abcdef0123 name=alice\n", 0o600);
    let text = EXAMPLE
        .replace("/etc/haa/", "@/")
        .replace("/var/lib/postgresql/haa/main\"", "@/pg\"\nbin_directory = \"@/bin\"");
    let config = place.load(&text).unwrap();
    assert_eq!(config.settings, Settings::default());
    // What is commented out is right as well.
    let all: String = EXAMPLE.lines().fold(String::new(), |text, line| {
        let said = line.strip_prefix('#').filter(|rest| rest.starts_with(char::is_alphabetic));
        text + said.unwrap_or(line) + "\n"
    });
    let parsed = toml::from_str::<file::File>(&all);
    assert!(parsed.is_ok(), "{parsed:?}");
}

#[test]
fn the_schema_names_every_key() {
    let schema = schema();
    let text = schema.to_string();
    for key in keys::KEYS.iter().filter(|key| !key.path.starts_with("tags.")) {
        let last = key.path.rsplit('.').next().unwrap();
        assert!(text.contains(&format!("\"{last}\"")), "{}", key.path);
    }
    let required = serde_json::json!(["name", "cluster", "etcd", "postgres", "api"]);
    assert_eq!(schema["required"], required);
}

/// What is written instead of what.
const WRONG: &[(&str, &str)] = &[
    ("name = \"n1\"", "name = "),
    ("name = \"n1\"", "name = \"N1\""),
    ("name = \"n1\"\n", ""),
    ("cluster = \"main\"", "cluster = \"my cluster\""),
    ("endpoints = [", "endpoint = ["),
    ("[etcd]", "[watchdog]\nmode = 1\n[etcd]"),
    ("http://10.0.0.1:2379", "10.0.0.1:2379"),
    ("[\"http://10.0.0.1:2379\"]", "\"http://10.0.0.1:2379\""),
    ("data_directory = \"@/pg\"", "data_directory = \"pg\""),
    ("bin_directory = \"@/bin\"", "bin_directory = \"@/nothing\""),
    ("listen = \"0.0.0.0:5432\"", "listen = \"0.0.0.0\""),
    ("address = \"10.0.0.1:5432\"\n", ""),
    ("10.0.0.1:8008", "10.0.0.1:5432"),
    ("@/tokens", "@/token"),
    ("token_file", "questions = \"closed\"\ntoken_file"),
    ("[api]", "[postgres.parameters]\nPort = 5433\nfsync = false\n[api]"),
    ("[api]", "[postgres.parameters]\nrestore_command = \"cp /a/%f %p\"\n[api]"),
    ("bin_directory", "restore_command = \"cp /a/%f\"\nbin_directory"),
    ("bin_directory", "restore_command = \"get %f %p %r\"\nbin_directory"),
    ("http://10", "https://10"),
    ("[api]", "[settings.timing]\nround = \"5s\"\n[api]"),
    ("[api]", "[settings.timing]\nmargin = \"100ms\"\n[api]"),
    ("[api]", "[settings.timing]\nttl = \"60s\"\nmargin = \"1s\"\n[api]"),
    ("[api]", "[settings.timing]\nttl = 10\n[api]"),
    ("[api]", "[settings.timing]\nttl = \"ten\"\n[api]"),
    ("[api]", "[settings]\ndurability = \"sync\"\n[api]"),
    ("[api]", "[settings]\nk = 0\n[api]"),
    ("[api]", "[settings]\nprofile = \"slow\"\n[api]"),
    ("[api]", "[settings]\nprofile = \"fast\"\ndurability = \"async\"\n[api]"),
    ("[api]", "[settings]\nprofile = \"fast\"\n[settings.timing]\nsuspect_after = \"2s\"\n[api]"),
    ("[api]", "[settings.timing]\nagent_silent_after = \"500ms\"\n[api]"),
    ("[api]", "[guard]\nenabled = \"no\"\nwatchdog = \"watchdog\"\n[api]"),
    ("[api]", "[guard]\nwatchdog = \"watchdog\"\n[api]"),
    ("[api]", "[router]\nread_write = \"0.0.0.0:5432\"\nread_only = \"*:5001\"\n[api]"),
    ("[api]", "[router]\nread_write = \"h:5000\"\nread_only = \"h:5000\"\n[api]"),
    ("[api]", "[router]\nread_write = \"h:5000\"\nmax_held = 0\nhold = \"2h\"\n[api]"),
    ("[api]", "[router]\nread_write = \"h:5000\"\ndrain = \"5\"\nports = 1\n[api]"),
    ("[api]", "[router]\nread_write = \"h:5000\"\nhold = \"soon\"\n[api]"),
    ("[api]", "[router]\nhold = \"5s\"\n[api]"),
    ("[api]", "[pgbouncer]\nconsoles = []\npassword_file = \"@/secret\"\n[api]"),
    ("[api]", "[pgbouncer]\npause_timeout = \"5s\"\n[api]"),
    ("[api]", "[pgbouncer]\nconsoles = [\"h:1\"]\nca_file = \"@/secret\"\n[api]"),
    ("[api]", "[pgbouncer]\nconsoles = [\"h:1\", \"h\", \"h:1\"]\n[api]"),
    (
        "[api]",
        "[pgbouncer]\nconsoles = [\"h:1\"]\npassword_file = \"@/secret\"\n\
             databases = [\"a;b\"]\npause_timeout = \"2m\"\n[api]",
    ),
    ("[api]", "[hooks]\non_stop = []\ntimeout = \"0s\"\nbefore_promote_timeout = \"5s\"\n[api]"),
    ("[api]", "[hooks]\non_up = 1\non_start = [\"@/no\"]\non_stop = [\"@/secret\"]\n[api]"),
    ("[api]", "[tags]\nnostream = true\n[api]"),
    ("[api]", "[tags]\nnofailover = \"yes\"\nnosync = 1\nreplicatefrom = \"N 2\"\n[api]"),
    ("[api]", "[tags]\nreplicatefrom = \"n1\"\n[api]"),
    ("[api]", "[clone]\nrate_limit = \"1kB\"\nbasebackup = false\n[api]"),
    ("[api]", "[[clone.method]]\nname = \"basebackup\"\ncommand = []\n[api]"),
    ("[api]", "[[clone.method]]\nname = \"a b\"\ntimeout = \"8d\"\ncommand = [\"cp\"]\n[api]"),
    ("[api]", "[[clone.method]]\nname = \"a\"\n[[clone.method]]\ncommand = [\"@/secret\"]\n[api]"),
    ("[api]", "[bootstrap]\nmethod = \"restore\"\n[api]"),
    ("[api]", "[bootstrap]\nmethod = \"command\"\n[api]"),
    ("[api]", "[bootstrap]\nmethod = \"standby\"\n[api]"),
    ("[api]", "[bootstrap]\nstandby_of = [\"10.0.0.1:5432\"]\n[api]"),
    ("[api]", "[bootstrap]\nmethod = \"standby\"\nstandby_of = [\"10.0.0.1\"]\n[api]"),
    ("[api]", "[bootstrap]\nmethod = \"standby\"\nstandby_of = [\"a:1\"]\nlocale = \"C\"\n[api]"),
    (
        "[api]",
        "[bootstrap]\nmethod = \"standby\"\nstandby_of = [\"a:1\"]\nstandby_slot = \"A b\"\n[api]",
    ),
    (
        "[api]",
        "[bootstrap]\nlocale = \"-x\"\nicu_locale = \"\"\nencoding = \"U 8\"\n\
             wal_segment_size = \"3MB\"\n[api]",
    ),
    (
        "[api]",
        "[bootstrap]\nmethod = \"command\"\ncommand = [\"@/bin/postgres\"]\nlocale = \"C\"\n[api]",
    ),
    ("[api]", "[bootstrap]\nrecovery_target_xid = \"7\"\n[api]"),
    (
        "[api]",
        "[bootstrap]\nmethod = \"command\"\ncommand = [\"@/bin/postgres\"]\n\
             recovery_target_time = \"now\"\nrecovery_target_lsn = \"x\"\n\
             recovery_target_xid = \"7\"\nrecovery_target_timeline = \"last\"\n[api]",
    ),
    ("[api]", "[log]\nformat = \"xml\"\n[api]"),
    ("listen = \"0.0.0.0:5432\"", "listen = \"0.0.0.0:5432\"\nhba = [\"all all trust\"]"),
    ("cluster = \"main\"", "cluster = \"main\"\nstate_directory = \"@/pg/state\""),
    ("[postgres.rewind]", "[postgres.rewind]\nuser = \"postgres\""),
];

#[test]
fn golden() {
    let mut heard = String::new();
    for (old, new) in WRONG {
        let change = new.replace('\n', " | ");
        heard.push_str(&format!("{} => {change}\n{}\n\n", old.trim(), said(old, new)));
    }
    let expected = include_str!("golden.txt");
    if std::env::var_os("HAA_ACCEPT").is_some() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/golden.txt");
        std::fs::write(file, &heard).unwrap();
        return;
    }
    assert_eq!(heard, expected, "accept a wanted change with HAA_ACCEPT=1");
}

#[test]
fn password_files_must_be_private_and_hold_one_line() {
    let place = Place::new();
    let said = |text: &str, mode: u32| {
        place.write("secret", text, mode);
        let said = place.load(GOOD).unwrap_err();
        said.lines().next().unwrap().to_owned()
    };
    assert_eq!(
        said("x\n", 0o640),
        "@/haad.toml:14: postgres.superuser.password_file: @/secret can be read by others \
         (mode 0640): run chmod 0600 @/secret"
    );
    assert_eq!(
        said("\n", 0o600),
        "@/haad.toml:14: postgres.superuser.password_file: @/secret is empty: write the password \
             into it"
    );
    assert!(said("a\nb\n", 0o600).contains("has more than one line"));
    std::fs::remove_file(place.path().join("secret")).unwrap();
    let gone = place.load(GOOD).unwrap_err();
    assert!(gone.contains("@/secret cannot be read (No such file or directory"), "{gone}");
    assert_eq!(gone.lines().count(), 3, "each of the three roles is told: {gone}");
}

#[test]
fn what_others_can_write_is_no_hook() {
    let place = Place::new();
    let text = GOOD.replace("[api]", "[hooks]\non_start = [\"@/hook\"]\n[api]");
    for (mode, says) in [
        (0o757, "can be written by others (mode 0757): run chmod go-w @/hook"),
        (0o770, "can be written by others (mode 0770): run chmod go-w @/hook"),
        (0o644, "cannot be run by haad's user: run chmod +x @/hook"),
    ] {
        place.write("hook", "#!/bin/sh\n", mode);
        let said = place.load(&text).unwrap_err();
        assert_eq!(said, format!("@/haad.toml:21: hooks.on_start: @/hook {says}"));
    }
    place.write("hook", "#!/bin/sh\n", 0o755);
    assert!(place.load(&text).is_ok());
}

#[test]
fn variables_are_named_when_they_are_wrong() {
    let wrong = Place::new()
        .with("HAAD_ETCD_ENDPOINT", "http://a:1")
        .with("HAAD_API_LISTEN", "nowhere")
        .load(GOOD)
        .unwrap_err();
    assert_eq!(
        wrong,
        "environment variable HAAD_API_LISTEN: api.listen: 'nowhere' is not an address such as \
         10.0.0.1:5432\nenvironment variable HAAD_ETCD_ENDPOINT is none of haad's: \
         did you mean HAAD_ETCD_ENDPOINTS? Else unset it"
    );
}

#[test]
fn a_long_socket_path_is_refused_where_it_was_said() {
    let long = format!("@/{}", "d".repeat(100));
    let wrong = Place::new().load(&GOOD.replace("@/pg", &long)).unwrap_err();
    assert!(wrong.starts_with("@/haad.toml:7: postgres.socket_directory: @/ddd"), "{wrong}");
    assert!(wrong.ends_with("write a shorter one, such as /run/haa"), "{wrong}");
    let elsewhere = "[postgres]\nsocket_directory = \"/run/haa\"";
    let text = GOOD.replace("@/pg", &long).replace("[postgres]", elsewhere);
    let wrong = Place::new().load(&text).unwrap_err();
    assert!(wrong.contains("guard.sock, the guard's socket, is 1"), "{wrong}");
    assert!(Place::new().load(&format!("{text}\n[guard]\nenabled = false\n")).is_ok());
}

#[test]
fn a_missing_file_is_refused_with_what_to_do() {
    let error = Config::load(Path::new("/nonexistent/haad.toml"), &BTreeMap::new()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/nonexistent/haad.toml: cannot be read (No such file or directory (os error 2)): \
         `haad config example > /nonexistent/haad.toml` makes one to begin with"
    );
}
