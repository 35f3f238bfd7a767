//! The Debian package: what is in it, that it installs and goes, and that one edited file is enough to start. Installs
//! into a temporary root, and touches nothing outside.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a test through and through")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use haa::playground::ports;
use tempfile::TempDir;

/// Longer than anything here takes on a slow machine.
const LONG: Duration = Duration::from_secs(90);

fn ran(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("it can be run");
    let said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    assert!(status.success(), "{command:?}: {status}\n{said}");
    said
}

/// Where a package was built, and where it is installed.
struct Bench {
    directory: TempDir,
    package: PathBuf,
}

impl Bench {
    /// `None` where packages are not made of.
    fn new() -> Option<Self> {
        if Command::new("dpkg-deb").arg("--version").output().is_err() {
            println!("dpkg-deb is not here: the package was not tried");
            return None;
        }
        // Not behind a directory that only root may enter.
        let directory = tempfile::Builder::new().prefix("haa-deb-").tempdir_in("/tmp").unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let programs = Path::new(env!("CARGO_BIN_EXE_haad")).parent().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/deb/build.sh");
        let mut build = Command::new(script);
        build.arg(programs).arg(directory.path().join("out"));
        let said = ran(build.env("DEB_COMPRESSION", "none").stderr(Stdio::inherit()));
        let package = PathBuf::from(said.lines().last().expect("it names the package"));
        Some(Self { directory, package })
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// dpkg in a root of its own. The scripts see it as `DPKG_ROOT`.
    fn dpkg(&self, arguments: &[&str]) -> String {
        let root = self.root();
        let admin = root.join("var/lib/dpkg");
        for needed in ["updates", "info", "triggers"] {
            fs::create_dir_all(admin.join(needed)).unwrap();
        }
        for needed in ["status", "available"] {
            fs::OpenOptions::new().create(true).append(true).open(admin.join(needed)).unwrap();
        }
        let mut dpkg = Command::new("dpkg");
        dpkg.arg(format!("--root={}", root.display()));
        dpkg.args(["--force-script-chrootless", "--force-depends", "--log=/dev/null"]);
        ran(dpkg.args(arguments))
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|error| panic!("{path:?}: {error}")).mode() & 0o777
}

#[test]
fn it_has_what_a_member_needs() {
    let Some(bench) = Bench::new() else { return };
    let root = bench.root();
    ran(Command::new("dpkg-deb").arg("-x").arg(&bench.package).arg(&root));
    for path in [
        "lib/systemd/system/haad.service",
        "usr/share/man/man1/haad.1.gz",
        "usr/share/man/man1/haactl-status.1.gz",
        "usr/share/bash-completion/completions/haactl",
        "usr/share/zsh/vendor-completions/_haad",
        "usr/share/fish/vendor_completions.d/haactl.fish",
        "usr/share/doc/haa/operations.md",
        "usr/share/doc/haa/adr/README.md",
        "usr/share/doc/haa/copyright",
        "usr/share/doc/haa/README.Debian",
        "usr/share/doc/haa/examples/prometheus/haa.rules.yml",
    ] {
        assert_eq!(mode(&root.join(path)), 0o644, "{path}");
    }
    // Whoever builds this package alone has no haa-jepsen to put into it.
    let beside = Path::new(env!("CARGO_BIN_EXE_haad")).with_file_name("haa-jepsen").is_file();
    for program in ["haad", "haactl"].into_iter().chain(beside.then_some("haa-jepsen")) {
        let path = root.join("usr/bin").join(program);
        assert_eq!(mode(&path), 0o755);
        let said = ran(Command::new(path).arg("--version"));
        assert!(said.contains(env!("CARGO_PKG_VERSION")), "{said}");
    }
    let example = fs::read_to_string(root.join("etc/haa/haad.toml")).unwrap();
    assert!(example.contains("\ndata_directory = \"/var/lib/postgresql/haa/main\"\n"), "{example}");
    for secret in ["superuser", "replication", "rewind", "token"] {
        assert!(example.contains(&format!("\"/etc/haa/secrets/{secret}\"")), "{secret}: {example}");
    }
    let conffiles = ran(Command::new("dpkg-deb").args(["-I"]).arg(&bench.package).arg("conffiles"));
    assert_eq!(conffiles, "/etc/haa/haad.toml\n");
    let unit = fs::read_to_string(root.join("lib/systemd/system/haad.service")).unwrap();
    assert!(unit.contains("ExecStart=/usr/bin/haad run --config /etc/haa/haad.toml"));
    let man = Command::new("man").arg("-l").arg(root.join("usr/share/man/man1/haad.1.gz")).output();
    match man {
        Ok(page) => {
            let warned = String::from_utf8_lossy(&page.stderr).into_owned();
            assert!(page.status.success() && warned.is_empty(), "{warned}");
        }
        Err(_) => println!("man is not here: the pages were not looked at"),
    }
}

#[test]
fn it_installs_starts_after_one_edited_file_and_leaves_the_data_when_purged() {
    if !nix::unistd::geteuid().is_root() {
        println!("only root installs packages: this one was not");
        return;
    }
    let Some(bench) = Bench::new() else { return };
    let (root, package) = (bench.root(), bench.package.display().to_string());
    bench.dpkg(&["--install", &package]);
    let secret = |name: &str| root.join("etc/haa/secrets").join(name);
    let token = fs::read_to_string(secret("token")).unwrap();
    assert!(token.trim().len() >= 32 && token.ends_with('\n'), "{} letters", token.len());
    assert_eq!(mode(&secret("superuser")), 0o600);
    assert_ne!(token, fs::read_to_string(secret("superuser")).unwrap());
    assert_eq!(mode(&root.join("var/lib/postgresql/haa")), 0o700);

    // Again, as an upgrade: what is there stays.
    let config = root.join("etc/haa/haad.toml");
    edit(&config, &root);
    let edited = fs::read_to_string(&config).unwrap();
    bench.dpkg(&["--install", &package]);
    assert_eq!(fs::read_to_string(&config).unwrap(), edited);
    assert_eq!(fs::read_to_string(secret("token")).unwrap(), token);

    {
        let _etcd = etcd(&root, &edited);
        let haad = root.join("usr/bin/haad");
        awaited("haad check is content", || {
            let check = as_postgres(&haad).args(["check", "--config"]).arg(&config).output();
            let Output { status, stdout, .. } = check.unwrap();
            status.success().then_some(()).ok_or(String::from_utf8_lossy(&stdout).into_owned())
        });
        let mut run =
            Running(as_postgres(&haad).args(["run", "--config"]).arg(&config).spawn().unwrap());
        let api = value(&edited, "api", "address");
        let haactl = root.join("usr/bin/haactl");
        awaited("the member accepts writes", || {
            let said = Command::new(&haactl).args(["--api", &api, "routes", "primary"]).output();
            let Output { status, stderr, .. } = said.unwrap();
            status.success().then_some(()).ok_or(String::from_utf8_lossy(&stderr).into_owned())
        });
        let pid = nix::unistd::Pid::from_raw(run.0.id().cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert!(run.0.wait().unwrap().success());
    }

    bench.dpkg(&["--remove", "haa"]);
    assert!(!root.join("usr/bin/haad").exists() && config.exists() && secret("token").exists());
    bench.dpkg(&["--purge", "haa"]);
    assert!(!root.join("etc/haa").exists());
    assert!(root.join("var/lib/postgresql/haa/main/PG_VERSION").exists(), "data are never removed");
}

/// What an operator writes: the addresses. The root of this test is written before each path.
fn edit(config: &Path, root: &Path) {
    let text = fs::read_to_string(config).unwrap();
    let port = [(); 4].map(|()| format!("127.0.0.1:{}", ports::claim().unwrap()));
    let etcd = "[\"http://10.0.0.1:2379\", \"http://10.0.0.2:2379\", \"http://10.0.0.3:2379\"]";
    let edited = [
        (etcd, format!("[\"http://{}\"] # and {}", port[0], port[1])),
        ("\"0.0.0.0:5432\"", format!("\"{}\"", port[2])),
        ("\"10.0.0.1:5432\"", format!("\"{}\"", port[2])),
        ("\"0.0.0.0:8008\"", format!("\"{}\"", port[3])),
        ("\"10.0.0.1:8008\"", format!("\"{}\"", port[3])),
        ("shared_buffers = \"1GB\"", "shared_buffers = \"16MB\"".to_owned()),
        ("\"/etc/haa/", format!("\"{}/etc/haa/", root.display())),
        ("\"/var/lib/", format!("\"{}/var/lib/", root.display())),
    ];
    let text = edited.into_iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "the example has {from}");
        text.replace(from, &to)
    });
    fs::write(config, text).unwrap();
}

fn value(config: &str, table: &str, key: &str) -> String {
    let config: toml::Table = config.parse().unwrap();
    config[table][key].as_str().unwrap().to_owned()
}

/// A process of this test, which ends with it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn as_postgres(program: &Path) -> Command {
    let user = nix::unistd::User::from_name("postgres").unwrap();
    let user = user.expect("user postgres exists: install the Debian package postgresql");
    let mut command = Command::new(program);
    command.uid(user.uid.as_raw()).gid(user.gid.as_raw()).current_dir("/");
    command.env_remove("HAAD_CONFIG");
    command
}

fn etcd(root: &Path, config: &str) -> Running {
    let parsed: toml::Table = config.parse().unwrap();
    let client = parsed["etcd"]["endpoints"][0].as_str().unwrap().to_owned();
    let peer = config.split(" # and ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    let peer = format!("http://{peer}");
    let mut etcd = Command::new("etcd");
    etcd.arg("--data-dir").arg(root.join("etcd")).args(["--name", "e", "--log-level", "error"]);
    etcd.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
    etcd.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    etcd.args(["--initial-cluster", &format!("e={peer}")]);
    Running(etcd.spawn().expect("etcd is installed"))
}

fn awaited(what: &str, so: impl Fn() -> Result<(), String>) {
    let began = Instant::now();
    while let Err(said) = so() {
        assert!(began.elapsed() < LONG, "{what}: not in {LONG:?}\n{said}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
