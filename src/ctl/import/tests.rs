//! What becomes of whole configurations, and that haad takes what comes out.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::draft::{Became, Draft};
use super::*;
use crate::config::{Bootstrap, Config};

/// As it stands in Patroni's own repository (postgres0.yml), with more that people add.
const MEMBER: &str = include_str!("examples/member.yml");
/// As `patronictl show-config` prints it.
const DYNAMIC: &str = include_str!("examples/dynamic.yml");
/// No more than Patroni asks for.
const SMALL: &str = include_str!("examples/small.yml");

struct Bench(tempfile::TempDir);

impl Bench {
    /// Paths of the examples that have to be there for haad are those of this test.
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let made = rcgen::generate_simple_self_signed(vec!["10.0.0.1".to_owned()]);
        let made = made.expect("a certificate");
        let key = made.key_pair.serialize_pem();
        for (name, text) in
            [("ca.pem", made.cert.pem()), ("node.pem", made.cert.pem()), ("node.key", key)]
        {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            let mode = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&path, mode).expect("ours");
        }
        let bin = folder.path().join("bin");
        std::fs::create_dir(&bin).expect("made");
        for program in ["postgres", "initdb", "pg_basebackup", "pg_rewind", "pg_controldata"] {
            std::fs::write(bin.join(program), "#!/bin/sh\n").expect("written");
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(bin.join(program), mode).expect("ours");
        }
        Self(folder)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        let text = text.replace("/HERE", &self.0.path().display().to_string());
        std::fs::write(&path, text).expect("written");
        path
    }

    fn secrets(&self) -> PathBuf {
        self.0.path().join("secrets")
    }

    fn args(&self, file: &Path, dynamic: Option<PathBuf>) -> ImportArgs {
        ImportArgs {
            file: file.to_owned(),
            dynamic,
            secrets: Some(self.secrets()),
            write: Some(self.0.path().join("haad.toml")),
        }
    }

    fn refusal(&self, text: &str) -> String {
        let path = self.file("refused.yml", text);
        match drafted(&path, None, &self.secrets()) {
            Ok(_) => panic!("it is taken: {text}"),
            Err(error) => error.to_string().replace(&self.0.path().display().to_string(), "/HERE"),
        }
    }

    /// Imports, has haad read what comes out, and returns both texts.
    fn import(&self, member: &str, dynamic: Option<&str>) -> (String, Config) {
        let member = self.file("patroni.yml", member);
        let dynamic = dynamic.map(|text| self.file("dynamic.yml", text));
        let draft = drafted(&member, dynamic.as_deref(), &self.secrets()).expect("it is taken");
        let told = story(&draft.fates);
        run(&self.args(&member, dynamic)).expect("it is written");
        let path = self.0.path().join("haad.toml");
        let config = Config::load(&path, &BTreeMap::new());
        let text = std::fs::read_to_string(&path).expect("written");
        let config = config.unwrap_or_else(|error| panic!("{error}\n{text}"));
        let shown =
            format!("{told}\n{text}").replace(&self.0.path().display().to_string(), "/HERE");
        (shown, config)
    }
}

/// Compares with what was accepted, or accepts it.
fn golden(name: &str, shown: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ctl/import/examples").join(name);
    if std::env::var_os("HAA_ACCEPT").is_some() {
        std::fs::write(&path, shown).expect("written");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(shown, expected, "accept a wanted change with HAA_ACCEPT=1");
}

#[test]
fn fuzz_patroni_yml() {
    let bench = Bench::new();
    bench.file("small.yml", SMALL);
    let deep = format!("scope: {}", "[".repeat(50_000));
    let bomb = "a: &a [x, x, x]\nb: &b [*a, *a, *a]\nc: &c [*b, *b, *b]\nscope: *c\n";
    crate::fuzz::text(&[MEMBER, SMALL, DYNAMIC, &deep, bomb], |text| {
        let path = bench.file("fuzzed.yml", text);
        for (own, dynamic) in [(&path, None), (&bench.0.path().join("small.yml"), Some(&path))] {
            match drafted(own, dynamic.map(PathBuf::as_path), &bench.secrets()) {
                Err(error) => assert!(!error.to_string().is_empty()),
                Ok(draft) => {
                    assert!(!story(&draft.fates).is_empty());
                    if let Ok(written) = draft.toml("patroni.yml") {
                        let read = written.parse::<toml::Table>();
                        assert!(read.is_ok(), "{read:?}: {written}");
                    }
                }
            }
        }
    });
}

#[test]
fn a_member_with_the_clusters_configuration_becomes_what_haad_reads() {
    let bench = Bench::new();
    let (shown, config) = bench.import(MEMBER, Some(DYNAMIC));
    golden("member.txt", &shown);
    assert_eq!(config.postgres.superuser.password, "super secret");
    for secret in ["super secret", "rep-pass", "rewind_password", "etcd-pass", "rest-pass"] {
        assert!(!shown.contains(secret), "a secret is shown: {secret}");
    }
    for name in ["superuser", "replication", "rewind", "etcd", "token"] {
        let found = std::fs::metadata(bench.secrets().join(name)).expect("it is written");
        assert_eq!(found.permissions().mode() & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_small_one_is_completed_and_what_was_not_there_is_told() {
    let bench = Bench::new();
    let (shown, config) = bench.import(SMALL, None);
    golden("small.txt", &shown);
    assert_eq!(config.postgres.rewind.user, "haa_rewind");
    assert_eq!(config.postgres.rewind.password.len(), 48);
}

#[test]
fn a_list_of_the_cluster_is_told_with_the_line_that_it_has_there() {
    let dynamic = "postgresql:\n  pg_hba:\n    - host all all all scram-sha-256\n";
    let (shown, _) = Bench::new().import(SMALL, Some(dynamic));
    let line = shown.lines().find(|line| line.contains("the cluster's postgresql.pg_hba"));
    assert!(line.is_some_and(|line| line.trim_start().starts_with('d')), "{shown}");
}

#[test]
fn nothing_is_written_over_and_the_others_secrets_stand() {
    let bench = Bench::new();
    let member = bench.file("patroni.yml", SMALL);
    let args = bench.args(&member, None);
    run(&args).expect("the first time");
    let token = std::fs::read_to_string(bench.secrets().join("token")).expect("written");
    let there = run(&args).expect_err("haad.toml is there").to_string();
    assert!(there.contains("haad.toml is there already"), "{there}");
    std::fs::remove_file(bench.0.path().join("haad.toml")).expect("removed");
    run(&args).expect("with the secrets of the first member");
    let again = std::fs::read_to_string(bench.secrets().join("token")).expect("written");
    assert_eq!(token, again);

    std::fs::remove_file(bench.0.path().join("haad.toml")).expect("removed");
    std::fs::write(bench.secrets().join("superuser"), "another\n").expect("written");
    let other = run(&args).expect_err("it holds another password").to_string();
    assert!(other.contains("superuser is there already and holds another secret"), "{other}");
    assert!(!bench.0.path().join("haad.toml").exists(), "nothing is written");
}

#[test]
fn what_cannot_be_imported_is_refused_with_its_line() {
    let bench = Bench::new();
    let postgresql = "postgresql:\n  listen: 1.2.3.4:5432\n  data_dir: /data\n";
    let etcd = "etcd3:\n  hosts: 1.2.3.4:2379\n";
    for (text, says) in [
        ("scope: [a\nname: b\n", "refused.yml:"),
        ("- a\n- b\n", "refused.yml:1: this is not YAML: it has no keys"),
        ("name: a\n", "there is no `scope`"),
        ("scope: a\nname:\n", "there is no `name`"),
        ("scope: a\nname: b\n", "there is no `etcd3`"),
        (
            "scope: a\nname: b\n\nconsul:\n  host: c\n",
            "refused.yml:5: this cluster keeps its state in consul",
        ),
        ("scope: a\nname: b\nkubernetes:\n  labels: {}\n", "keeps its state in kubernetes"),
        ("scope: a\nname: b\nraft:\n  self_addr: x\n", "keeps its state in raft"),
        ("scope: a\nname: b\nzookeeper:\n  hosts: x\n", "keeps its state in zookeeper"),
        ("scope: a\nname: b\netcd3:\n  srv: x.example\n", "refused.yml:4: srv finds etcd in a way"),
        (&format!("scope: a\nname: b\n{etcd}"), "there is no `postgresql`"),
        (&format!("scope: a\nname: b\n{etcd}{postgresql}"), "there is no `restapi`"),
        (
            &format!(
                "scope: a\nname: b\n{etcd}{postgresql}restapi:\n  listen: 1.2.3.4:8008\nbootstrap:\n  dcs:\n    \
                 standby_cluster:\n      restore_command: cp x %p\n"
            ),
            "has no `host`",
        ),
    ] {
        let refused = bench.refusal(text);
        assert!(refused.contains(says), "{text}: {refused}");
    }
    let gone = drafted(&bench.0.path().join("gone.yml"), None, &bench.secrets());
    assert!(gone.is_err_and(|error| error.to_string().contains("gone.yml cannot be read")));
}

/// Of one key of the dynamic configuration.
fn fate(yaml: &str) -> (Became, toml::Table) {
    let node: Node = serde_saphyr::from_str(yaml).expect("it is YAML");
    let mut draft = Draft::new(Path::new("/secrets"));
    cluster::settings(&mut draft, Path::new("dynamic.yml"), &node).expect("it is taken");
    let file = draft.file;
    (draft.fates.remove(0).became, file)
}

#[test]
fn a_standby_cluster_is_one_again() {
    let dynamic = "standby_cluster:\n  host: 10.1.0.1, 10.1.0.2\n  port: 5433\n  primary_slot_name: lyon\n  \
                   restore_command: cp /archive/%f %p\n  create_replica_methods: [basebackup]\n  \
                   recovery_min_apply_delay: 5min\n  archive_cleanup_command: x\n";
    let (shown, config) = Bench::new().import(SMALL, Some(dynamic));
    let Bootstrap::Standby(site) = &config.postgres.bootstrap else { panic!("{shown}") };
    assert_eq!(site.to_string(), "10.1.0.1:5433,10.1.0.2:5433");
    assert_eq!(site.slot.as_deref(), Some("lyon"));
    assert!(config.postgres.restore_command.is_some());
    for (line, fate) in [
        ("d2", "CHANGED    standby_cluster.host -> bootstrap.standby_of"),
        ("d3", "taken      standby_cluster.port"),
        ("d4", "taken      standby_cluster.primary_slot_name -> bootstrap.standby_slot"),
        ("d5", "CHANGED    standby_cluster.restore_command -> postgres.restore_command"),
        ("d6", "needless   standby_cluster.create_replica_methods"),
        ("d7", "LEFT OUT   standby_cluster.recovery_min_apply_delay"),
        ("d8", "LEFT OUT   standby_cluster.archive_cleanup_command"),
    ] {
        let told = shown.lines().any(|said| said.contains(line) && said.contains(fate));
        assert!(told, "{fate}: {shown}");
    }
    for off in ["standby_cluster:\n", "standby_cluster: {}\n"] {
        let (shown, config) = Bench::new().import(SMALL, Some(off));
        assert!(matches!(config.postgres.bootstrap, Bootstrap::InitDb(_)), "{shown}");
    }
    assert!(matches!(
        fate("standby_cluster: {host: a, primary_slot_name: haa_x}").0,
        Became::Changed(..)
    ));
}

#[test]
fn a_replica_that_lives_on_the_archive_is_not_passed_over() {
    let made = |tag: &str| Bench::new().import(&format!("{SMALL}\ntags:\n  {tag}\n"), None).0;
    assert!(made("nostream: true").contains("LEFT OUT   tags.nostream: until it is known"));
    assert!(made("nostream: false").contains("needless   tags.nostream: it is off"));
}

#[test]
fn what_is_not_said_is_told_where_it_counts() {
    let unsaid = |yaml: Option<&str>| {
        let node: Option<Node> = yaml.map(|yaml| serde_saphyr::from_str(yaml).expect("it is YAML"));
        let mut draft = Draft::new(Path::new("/secrets"));
        cluster::unsaid(&mut draft, node.as_ref());
        (draft.fates.pop().map(|fate| fate.became), draft.file.to_string().replace('\n', " "))
    };
    let (became, settings) = unsaid(Some("ttl: 30"));
    assert_eq!(settings, "[settings] durability = \"async\" ", "as Patroni does without it");
    assert!(matches!(became, Some(Became::Changed(..))), "{became:?}");
    assert_eq!(unsaid(Some("synchronous_mode: true")), (None, String::new()));
    assert!(matches!(unsaid(None), (Some(Became::Lost(_)), none) if none.is_empty()));
}

#[test]
fn a_password_that_is_a_number_to_yaml_is_told() {
    for (yaml, told) in [("password: 0123", 1), ("password: '0123'", 0), ("password: abc", 0)] {
        let node: Node = serde_saphyr::from_str(yaml).expect("it is YAML");
        let at = node.value.get("password").expect("it is there");
        let mut draft = Draft::new(Path::new("/secrets"));
        assert!(draft.password(at, "etcd3.password").is_some(), "{yaml}");
        assert_eq!(draft.fates.len(), told, "{yaml}");
        assert!(
            !draft.fates.iter().any(|fate| fate.to_string().contains("123")),
            "no secret is shown"
        );
    }
}

#[test]
fn each_setting_has_its_fate() {
    let made = |yaml: &str| fate(yaml).1.to_string().replace('\n', " ");
    for (yaml, settings) in [
        ("ttl: 30", ""),
        ("ttl: 60", "[settings.timing] round = \"20s\" ttl = \"60s\" "),
        ("ttl: 5", ""),
        ("synchronous_mode: true", "[settings] durability = \"quorum\" "),
        ("synchronous_mode: quorum", "[settings] durability = \"quorum\" "),
        ("synchronous_mode: 'off'", "[settings] durability = \"async\" "),
        ("synchronous_node_count: 2", "[settings] k = 2 "),
        ("synchronous_mode_strict: true", "[settings] strict = true "),
        ("failsafe_mode: false", "[settings] failsafe = false "),
        ("maximum_lag_on_failover: 4194304", "[settings] maximum_lag_on_failover = 4194304 "),
        ("primary_stop_timeout: 20", "[settings.timing] stop_timeout = \"20s\" "),
        ("primary_stop_timeout: 0", ""),
    ] {
        assert_eq!(made(yaml), settings, "{yaml}");
    }
    assert!(matches!(fate("retry_timeout: 10").0, Became::Needless(_)));
    assert!(matches!(fate("slots: {a: {type: logical}}").0, Became::Lost(_)));
    assert!(matches!(fate("slots: {haa_a: {type: physical}}").0, Became::Lost(_)));
    assert!(matches!(fate("slots: {a: {type: physical}}").0, Became::Taken(_)));
    assert!(matches!(fate("slots: {a: {database: b, plugin: c}}").0, Became::Changed(..)));
    assert!(matches!(fate("anything: 1").0, Became::Lost(_)));
}
