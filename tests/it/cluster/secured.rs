//! An etcd that is not open to everybody: over TLS with certificates, or behind a login. Owns the certificates.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use etcd_client::{
    Certificate, Client, ConnectOptions, Identity, Permission, PermissionType, TlsOptions,
};
use haa::playground::etcd::Etcd;
use haa::playground::ports;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};
use serde_json::json;

use super::fixture::{Cluster, LONG, haad, name};
use super::secrets::{self, CommandLines};
use crate::support;

/// An authority, and a certificate of it for the loopback address, for servers and clients alike.
pub(super) struct Papers {
    pub(super) ca: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Papers {
    pub(super) fn issue(directory: &Path, who: &str) -> Self {
        let at = |what: &str| directory.join(format!("{who}-{what}.pem"));
        let papers = Self { ca: at("ca"), certificate: at("certificate"), key: at("key") };
        let (own_key, key) = (KeyPair::generate().expect("a key"), KeyPair::generate());
        let key = key.expect("a key");
        let mut authority = CertificateParams::new(Vec::new()).expect("nothing to refuse");
        // Two authorities of one name would be taken for one.
        authority.distinguished_name.push(DnType::CommonName, who);
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = authority.self_signed(&own_key).expect("an authority signs itself");
        let wanted = CertificateParams::new(["127.0.0.1".to_owned()]).expect("an address");
        let issued = wanted.signed_by(&key, &authority, &own_key).expect("a certificate");
        let files = [
            (&papers.ca, authority.pem()),
            (&papers.certificate, issued.pem()),
            (&papers.key, key.serialize_pem()),
        ];
        for (path, pem) in files {
            std::fs::write(path, pem).expect("it can be written");
        }
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&papers.key, private).expect("it is ours");
        papers
    }

    /// As the client of a TLS connection.
    fn options(&self) -> ConnectOptions {
        let read = |path: &Path| std::fs::read(path).expect("it was written");
        let identity = Identity::from_pem(read(&self.certificate), read(&self.key));
        let tls = TlsOptions::new().ca_certificate(Certificate::from_pem(read(&self.ca)));
        ConnectOptions::new().with_tls(tls.identity(identity))
    }
}

/// An etcd that speaks TLS only, and only with those whose certificate is of its authority.
struct TlsEtcd {
    endpoint: String,
    process: Child,
}

impl TlsEtcd {
    async fn start(directory: &Path, papers: &Papers) -> Self {
        let [client, peer] = [(); 2].map(|()| ports::claim().expect("a free port"));
        let (endpoint, peer) =
            (format!("https://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        let log = std::fs::File::create(directory.join("etcd.log")).expect("a log");
        let process = Command::new("etcd")
            .args(["--name", "e", "--logger", "zap", "--client-cert-auth", "--data-dir"])
            .arg(directory.join("etcd"))
            .args(["--listen-client-urls", &endpoint, "--advertise-client-urls", &endpoint])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("e={peer}"), "--trusted-ca-file"])
            .arg(&papers.ca)
            .arg("--cert-file")
            .arg(&papers.certificate)
            .arg("--key-file")
            .arg(&papers.key)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("etcd is installed");
        let etcd = Self { endpoint, process };
        tokio::time::timeout(LONG, etcd.answers(papers)).await.expect("etcd comes up");
        etcd
    }

    async fn answers(&self, papers: &Papers) {
        loop {
            let client = Client::connect([&self.endpoint], Some(papers.options())).await;
            if let Ok(mut client) = client
                && client.status().await.is_ok()
            {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

impl Drop for TlsEtcd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `[etcd]` of every member's file, over what a playground writes there.
fn etcd_section(section: serde_json::Value) -> toml::Table {
    toml::Table::try_from(json!({ "etcd": section })).expect("it is TOML")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_forms_over_tls_and_strangers_are_told() {
    support::become_postgres();
    let directory = tempfile::tempdir_in("/tmp").expect("a temporary directory");
    let papers = Papers::issue(directory.path(), "ours");
    let etcd = TlsEtcd::start(directory.path(), &papers).await;
    let section = etcd_section(json!({
        "endpoints": [etcd.endpoint],
        "ca_file": papers.ca,
        "cert_file": papers.certificate,
        "key_file": papers.key,
    }));
    let mut cluster = Cluster::prepare(|options| options.extra(section));
    for member in ["n1", "n2"] {
        cluster.playground.start_member(&name(member)).expect("it starts");
    }
    cluster.playground.wait_streaming(1, LONG).await.expect("a primary and a replica");
    cluster.execute("CREATE TABLE t (id bigint PRIMARY KEY)").await;
    cluster.write_until_acknowledged(1).await;

    let third = name("n3");
    let config = cluster.playground.config(&third);
    let (code, said) = haad("check", &config);
    assert_eq!(code, 0, "{said}");
    let ours = papers.ca.display().to_string();
    let theirs = Papers::issue(directory.path(), "theirs");
    cluster.edit(&third, |text| text.replace(&ours, &theirs.ca.display().to_string()));
    let (code, said) = haad("check", &config);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("UnknownIssuer"), "who cannot be believed is said: {said}");
    cluster.edit(&third, |text| {
        let own = |line: &&str| !line.starts_with("cert_file") && !line.starts_with("key_file");
        let lines: Vec<&str> = text.lines().filter(own).collect();
        lines.join("\n").replace(&theirs.ca.display().to_string(), &ours)
    });
    let (code, said) = haad("check", &config);
    assert_eq!(code, 1, "etcd wants a certificate: {said}");
    assert!(said.contains("etcd may want a client's certificate"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_forms_behind_a_login_with_no_more_rights_than_it_needs() {
    support::become_postgres();
    let directory = tempfile::tempdir_in("/tmp").expect("a temporary directory");
    let mut etcd = Etcd::start(directory.path()).expect("etcd starts");
    ask_for_a_login(&etcd).await;
    let secret = directory.path().join("etcd-password");
    let section = json!({
        "endpoints": [etcd.endpoint()], "user": "haa", "password_file": secret,
    });
    let mut cluster = Cluster::prepare(|wishes| wishes.extra(etcd_section(section)));
    let right = cluster.password_file(&name("n1"), "rewind");
    std::fs::copy(&right, &secret).expect("a copy keeps its mode");
    std::fs::write(&secret, "etcd-s3cret\n").expect("it can be written");
    let lines = CommandLines::watch();
    for member in ["n1", "n2"] {
        cluster.playground.start_member(&name(member)).expect("it starts");
    }
    cluster.playground.wait_streaming(1, LONG).await.expect("a primary and a replica");
    cluster.execute("CREATE TABLE t (id bigint PRIMARY KEY)").await;
    cluster.write_until_acknowledged(1).await;

    // A restart makes etcd forget whom it had let in.
    etcd.restart().expect("it starts again");
    let primary = cluster.primary().await;
    let answer = cluster.playground.http_post(&primary, "/switchover", &json!({})).await;
    let (status, text) = answer.expect("the agent answers");
    assert_eq!(status, 200, "{text}");
    cluster.write_until_acknowledged(2).await;

    let third = name("n3");
    let wrong = directory.path().join("wrong-password");
    std::fs::copy(&right, &wrong).expect("a copy keeps its mode");
    cluster.edit(&third, |text| {
        text.replace(&secret.display().to_string(), &wrong.display().to_string())
    });
    let (code, said) = haad("check", &cluster.playground.config(&third));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("invalid user ID or password"), "{said}");
    let (code, said) =
        cluster.haactl(&["reinit", cluster.other_than(&cluster.primary().await).as_str(), "--yes"]);
    assert_eq!(code, 0, "{said}");
    let all = ConnectOptions::new().with_user("root", "root");
    let root = Client::connect([etcd.endpoint()], Some(all)).await.expect("it is let in");
    secrets::none_is_told(&cluster, lines, root, &[("etcd's password", "etcd-s3cret")]).await;
}

/// From now on only `root`, and `haa` below its own prefix.
async fn ask_for_a_login(etcd: &Etcd) {
    let mut client = Client::connect([etcd.endpoint()], None).await.expect("a client");
    client.user_add("root", "root", None).await.expect("a user");
    client.role_add("root").await.expect("a role");
    client.user_grant_role("root", "root").await.expect("a grant");
    client.role_add("haa").await.expect("a role");
    let prefix = Permission::new(PermissionType::Readwrite, "/haa/playground/").with_prefix();
    client.role_grant_permission("haa", prefix).await.expect("a permission");
    client.user_add("haa", "etcd-s3cret", None).await.expect("a user");
    client.user_grant_role("haa", "haa").await.expect("a grant");
    client.auth_enable().await.expect("it asks for a login from now on");
}
