//! A real PgBouncer's console, in clear and over TLS: whom it lets in, whom we believe, and what is said if not.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use haa_core::units::Address;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use super::console::{Console, ConsoleError};
use crate::agent::chain;
use crate::config::{Login, Pgbouncer};
use crate::playground::ports;

/// One that knows no database, for its console alone; it goes with the test.
struct Bouncer {
    process: Child,
    at: Address,
    directory: TempDir,
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Bouncer {
    /// It refuses to run as root, and everybody may read where it lives.
    async fn start(tls: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("haa-").tempdir_in("/tmp").unwrap();
        let here = directory.path();
        open(here, 0o755);
        let at = Address { host: "127.0.0.1".to_owned(), port: ports::claim().unwrap() };
        issue(here, "ours", "127.0.0.1");
        issue(here, "other", "127.0.0.1");
        write(here, "users.txt", "\"pgbouncer\" \"a secret\"\n");
        let home = here.display();
        let ini = format!(
            "[databases]\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {}\nunix_socket_dir =\n\
             auth_type = scram-sha-256\nauth_file = {home}/users.txt\nadmin_users = pgbouncer\n\
             client_tls_sslmode = {tls}\nclient_tls_key_file = {home}/ours.key\n\
             client_tls_cert_file = {home}/ours.pem\n",
            at.port
        );
        write(here, "pgbouncer.ini", &ini);
        let mut command = Command::new("/usr/sbin/pgbouncer");
        if nix::unistd::Uid::effective().is_root() {
            command.args(["-u", "postgres"]);
        }
        let command = command.arg("-q").arg(here.join("pgbouncer.ini"));
        let command = command.stdin(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("it is installed: make install-test-deps");
        let bouncer = Self { process, at, directory };
        for _ in 0..500 {
            let there = (bouncer.at.host.as_str(), bouncer.at.port);
            if tokio::net::TcpStream::connect(there).await.is_ok() {
                return bouncer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it does not listen");
    }

    fn authority(&self, whose: &str) -> Option<PathBuf> {
        Some(self.directory.path().join(format!("{whose}-ca.pem")))
    }

    /// Logs in and asks something.
    async fn told(&self, host: &str, authority: Option<PathBuf>) -> Result<(), ConsoleError> {
        let login = Login { user: "pgbouncer".to_owned(), password: "a secret".to_owned() };
        let config = Pgbouncer {
            consoles: vec![Address { host: host.to_owned(), port: self.at.port }],
            login,
            databases: Vec::new(),
            pause_timeout: Duration::from_secs(5),
            authority,
        };
        let console = Console::all(&config).remove(0);
        console.pause().await?;
        let session = console.open().await?;
        console.release(&session).await
    }

    async fn refusal(&self, host: &str, authority: Option<PathBuf>) -> String {
        let told = self.told(host, authority).await;
        chain(&told.expect_err("it cannot be used"))
    }
}

fn open(path: &Path, mode: u32) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::set_permissions(path, mode).unwrap();
}

fn write(home: &Path, name: &str, text: &str) {
    std::fs::write(home.join(name), text).unwrap();
    open(&home.join(name), 0o644);
}

/// An authority, and what it gave to this host.
fn issue(home: &Path, whose: &str, host: &str) {
    let (own, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.distinguished_name.push(DnType::CommonName, whose);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = authority.self_signed(&own).unwrap();
    let issued = CertificateParams::new([host.to_owned()]).unwrap();
    let issued = issued.signed_by(&key, &authority, &own).unwrap();
    write(home, &format!("{whose}-ca.pem"), &authority.pem());
    write(home, &format!("{whose}.pem"), &issued.pem());
    write(home, &format!("{whose}.key"), &key.serialize_pem());
}

#[tokio::test]
async fn a_console_that_wants_tls_is_spoken_to_over_tls_and_only_if_it_is_believed() {
    let bouncer = Bouncer::start("require").await;
    bouncer.told("127.0.0.1", bouncer.authority("ours")).await.expect("it does as told");
    let says = bouncer.refusal("127.0.0.1", None).await;
    assert!(says.contains("lets nobody in without TLS: give pgbouncer.ca_file"), "{says}");
    let says = bouncer.refusal("127.0.0.1", bouncer.authority("other")).await;
    assert!(says.contains("is not believed") && says.contains("UnknownIssuer"), "{says}");
    // Its certificate is for the address alone.
    let says = bouncer.refusal("localhost", bouncer.authority("ours")).await;
    assert!(says.contains("must be for 'localhost'"), "{says}");
}

#[tokio::test]
async fn where_an_authority_is_given_no_password_goes_out_in_clear() {
    let bouncer = Bouncer::start("disable").await;
    bouncer.told("127.0.0.1", None).await.expect("it does as told");
    let says = bouncer.refusal("127.0.0.1", bouncer.authority("ours")).await;
    assert!(says.contains("speaks no TLS") && says.contains("client_tls_sslmode"), "{says}");
}
