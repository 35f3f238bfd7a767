//! Which cluster is meant: its agents' addresses and the token. Tries the agents in turn; never guesses one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use hyper::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use haa_core::units::Address;

use super::error::{CtlError, Tried};
use super::http::{Answer, Ask, HttpError};
use crate::tls::{Dialer, Identity};

/// An agent gives etcd 5 s for what it does not know itself; then it says so.
pub(super) const STORE_PATIENCE: Duration = Duration::from_secs(7);

const QUESTION: &str = "the question";

/// Where the cluster is.
#[derive(Args, Clone, Debug, Default)]
pub struct TargetArgs {
    /// Agents to ask, in this order; any member knows the whole cluster
    #[arg(
        long,
        env = "HAACTL_API",
        value_delimiter = ',',
        value_name = "HOST:PORT",
        global = true
    )]
    pub api: Vec<Address>,
    /// A file that holds the token; commands need it, questions where `api.questions` says so
    #[arg(long, env = "HAACTL_TOKEN_FILE", value_name = "FILE", global = true)]
    pub token_file: Option<PathBuf>,
    /// The authority of the agents' certificates, PEM; with it, they are asked over TLS
    #[arg(long, env = "HAACTL_CA_FILE", value_name = "FILE", global = true)]
    pub ca_file: Option<PathBuf>,
    /// Our own certificate, PEM, where the agents want one
    #[arg(
        long,
        env = "HAACTL_CERT_FILE",
        value_name = "FILE",
        global = true,
        requires = "key_file"
    )]
    pub cert_file: Option<PathBuf>,
    /// The key of our certificate, PEM
    #[arg(
        long,
        env = "HAACTL_KEY_FILE",
        value_name = "FILE",
        global = true,
        requires = "cert_file"
    )]
    pub key_file: Option<PathBuf>,
    /// A file with `api = ["HOST:PORT"]` and `token_file = "PATH"`, and `ca_file`, `cert_file`, `key_file` for TLS
    /// [default: ./haactl.toml, then ~/.config/haactl.toml]
    #[arg(long, env = "HAACTL_CLIENT_FILE", value_name = "FILE", global = true)]
    pub client_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientFile {
    #[serde(default)]
    api: Vec<Address>,
    token_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
}

/// The agents of one cluster.
#[derive(Clone, Debug)]
pub struct Target {
    addresses: Vec<Address>,
    token_file: Option<PathBuf>,
    dialer: Dialer,
}

impl TargetArgs {
    /// Finds the cluster: options and environment first, then the client file.
    ///
    /// # Errors
    /// When no address is known, or the client file cannot be read.
    pub fn resolve(&self) -> Result<Target, CtlError> {
        let file = match self.client_file.clone().or_else(usual_client_file) {
            Some(path) => read_client(&path)?,
            None => ClientFile::default(),
        };
        let addresses = if self.api.is_empty() { file.api } else { self.api.clone() };
        if addresses.is_empty() {
            return Err(CtlError::NoAddress);
        }
        let own = |said: &Option<PathBuf>, file| said.clone().or(file);
        let certificate =
            own(&self.cert_file, file.cert_file).zip(own(&self.key_file, file.key_file));
        let identity = certificate.map(|(certificate, key)| Identity { certificate, key });
        let dialer = match (own(&self.ca_file, file.ca_file), identity) {
            (Some(authority), identity) => Dialer::load(&authority, identity)?,
            (None, None) => Dialer::plain(),
            (None, Some(_)) => return Err(CtlError::NoAuthority),
        };
        Ok(Target { addresses, token_file: own(&self.token_file, file.token_file), dialer })
    }
}

fn usual_client_file() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".config/haactl.toml"));
    [Some(PathBuf::from("haactl.toml")), home].into_iter().flatten().find(|path| path.exists())
}

fn read_client(path: &Path) -> Result<ClientFile, CtlError> {
    let text = read(path)?;
    let mut file: ClientFile = toml::from_str(&text)
        .map_err(|source| CtlError::ClientFile { path: path.to_owned(), source })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    for path in [&mut file.token_file, &mut file.ca_file, &mut file.cert_file, &mut file.key_file] {
        *path = path.take().map(|path| folder.join(path));
    }
    Ok(file)
}

fn read(path: &Path) -> Result<String, CtlError> {
    std::fs::read_to_string(path)
        .map_err(|source| CtlError::ReadFile { path: path.to_owned(), source })
}

impl Target {
    /// A cluster whose agents are known.
    #[must_use]
    pub fn of(addresses: Vec<Address>, token_file: Option<PathBuf>) -> Self {
        Self { addresses, token_file, dialer: Dialer::plain() }
    }

    /// One agent of the same cluster.
    #[must_use]
    pub fn only(&self, agent: Address) -> Self {
        Self { addresses: vec![agent], ..self.clone() }
    }

    /// The same agents, this one before the others: it knows of what it has taken.
    #[must_use]
    pub(super) fn beginning_with(&self, agent: &Address) -> Self {
        let others = self.addresses.iter().filter(|other| *other != agent).cloned();
        Self { addresses: std::iter::once(agent.clone()).chain(others).collect(), ..self.clone() }
    }

    /// The agents that are known, in the order in which they are asked.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// A question as it is sent to these agents: over their kind of connections, and with the token, if there is one,
    /// to whoever wants it.
    #[must_use]
    pub fn question(&self, ask: Ask) -> Ask {
        ask.over(&self.dialer).or_with(self.token(QUESTION).ok())
    }

    /// Why a question that wants a token was refused: ours cannot be read, or is none that the agent knows.
    pub(super) fn without_token(&self, by: &Address, why: String) -> CtlError {
        let by = by.clone();
        self.token(QUESTION).err().unwrap_or(CtlError::TokenRefused { by, why })
    }

    /// Asks the agents in turn until one answers; whatever it answers counts.
    ///
    /// # Errors
    /// When none answers.
    pub async fn ask(&self, path: &str) -> Result<(Address, Answer), CtlError> {
        let ask = self.question(Ask::get(path));
        let mut tried = Vec::new();
        for address in &self.addresses {
            match ask.send(address).await {
                Ok(answer) => return Ok((address.clone(), answer)),
                Err(error) => tried.push((address.clone(), error.to_string())),
            }
        }
        Err(CtlError::Unreachable(Tried(tried)))
    }

    /// Asks the agents in turn for a document; one that cannot tell is passed over.
    ///
    /// # Errors
    /// When none answers, none can tell, or one answers something odd.
    pub async fn document<T: DeserializeOwned>(&self, path: &str) -> Result<T, CtlError> {
        self.told(path, Ask::get(path)).await
    }

    /// As [`Target::document`], for a question that an agent passes on to etcd: it has longer, and says why not.
    ///
    /// # Errors
    /// As there.
    pub(super) async fn stored<T: DeserializeOwned>(&self, path: &str) -> Result<T, CtlError> {
        self.told(path, Ask::get(path).within(STORE_PATIENCE)).await
    }

    async fn told<T: DeserializeOwned>(&self, path: &str, ask: Ask) -> Result<T, CtlError> {
        let ask = self.question(ask);
        let mut tried = Vec::new();
        let mut refusal = None;
        for address in &self.addresses {
            match ask.send(address).await {
                Ok(answer) if answer.status == 200 => {
                    return serde_json::from_slice(&answer.body).map_err(|source| {
                        CtlError::OddAnswer { by: address.clone(), path: path.to_owned(), source }
                    });
                }
                // Another may know our token already, or still.
                Ok(answer) if answer.status == 401 => {
                    refusal = Some(self.without_token(address, answer.sentence()));
                }
                Ok(answer) => {
                    let (by, why) = (address.clone(), answer.sentence());
                    refusal = Some(CtlError::Refused { what: QUESTION, by, why });
                }
                Err(error) => tried.push((address.clone(), error.to_string())),
            }
        }
        Err(refusal.unwrap_or(CtlError::Unreachable(Tried(tried))))
    }

    /// Sends a command to the first agent that can take it: one that says that it has taken nothing, for want of etcd,
    /// is passed over. Once it may have been taken, it is not sent to another: an operator decides that.
    ///
    /// # Errors
    /// When no agent takes it, the token is missing or wrong, or the answer is no.
    pub async fn command(
        &self,
        what: &'static str,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<(Address, Answer), CtlError> {
        self.order(what, Ask::post(path, self.token(what)?, body)).await
    }

    /// As [`Target::command`], answered once it is written down: it may take long.
    ///
    /// # Errors
    /// As there.
    pub(super) async fn begin(
        &self,
        what: &'static str,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<(Address, Answer), CtlError> {
        self.order(what, Ask::post(path, self.token(what)?, body).at_once()).await
    }

    /// As [`Target::command`], for what is there already: unless it is another by now than the one with this tag.
    ///
    /// # Errors
    /// As there.
    pub(super) async fn alter(
        &self,
        what: &'static str,
        (method, path): (Method, &str),
        body: &serde_json::Value,
        seen: Option<String>,
    ) -> Result<(Address, Answer), CtlError> {
        let ask = Ask::command(method, path, self.token(what)?, body).unless_changed(seen);
        self.order(what, ask).await
    }

    async fn order(&self, what: &'static str, ask: Ask) -> Result<(Address, Answer), CtlError> {
        let ask = ask.over(&self.dialer);
        let mut tried = Vec::new();
        let mut untaken = None;
        for address in &self.addresses {
            match ask.send(address).await {
                Ok(answer) if answer.is_untaken() => untaken = Some((address, answer)),
                Ok(answer) => return judge(what, address, answer),
                Err(HttpError::NotConnected(why)) => tried.push((address.clone(), why)),
                Err(HttpError::NoAnswer(why)) => {
                    return Err(CtlError::Unanswered { what, by: address.clone(), why });
                }
            }
        }
        match untaken {
            Some((address, answer)) => judge(what, address, answer),
            None => Err(CtlError::Unreachable(Tried(tried))),
        }
    }

    fn token(&self, what: &'static str) -> Result<String, CtlError> {
        let path = self.token_file.as_deref().ok_or(CtlError::TokenMissing(what))?;
        let text = read(path)?;
        let usable = |line: &&str| !line.is_empty() && !line.starts_with('#');
        let first = text.lines().map(str::trim).find(usable);
        // As in the agents' own file, a name and an end may follow.
        let word = first.and_then(|line| line.split_whitespace().next());
        word.map(str::to_owned).ok_or(CtlError::TokenMissing(what))
    }
}

fn judge(what: &'static str, by: &Address, answer: Answer) -> Result<(Address, Answer), CtlError> {
    let (by, why) = (by.clone(), answer.sentence());
    match answer.status {
        200..=299 => Ok((by, answer)),
        401 => Err(CtlError::TokenRefused { by, why }),
        _ => Err(CtlError::Refused { what, by, why }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const UNTAKEN: &str = r#"{"error":"no etcd is reached","taken":false}"#;
    const UNKNOWN: &str = r#"{"error":"nobody knows"}"#;
    const TAKEN: &str = r#"{"message":"taken"}"#;

    /// An agent that gives one answer, once.
    async fn agent(status: u16, body: &'static str) -> Address {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = [0; 4096];
            let read = stream.read(&mut heard).await.unwrap();
            assert!(read > 0, "it was asked something");
            let length = body.len();
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}");
            stream.write_all(head.as_bytes()).await.unwrap();
        });
        address
    }

    #[tokio::test]
    async fn a_command_goes_on_only_from_who_has_certainly_not_taken_it() {
        let directory = tempfile::tempdir().unwrap();
        let token = directory.path().join("token");
        std::fs::write(&token, "token-token-token\n").unwrap();
        for (answers, ended) in [
            (vec![(503, UNTAKEN), (202, TAKEN)], Ok("taken")),
            (vec![(503, UNTAKEN), (503, UNTAKEN)], Err("no etcd is reached")),
            (vec![(503, UNKNOWN), (202, TAKEN)], Err("nobody knows")),
            (vec![(412, UNTAKEN), (202, TAKEN)], Err("no etcd is reached")),
        ] {
            let mut addresses = Vec::new();
            for (status, body) in &answers {
                addresses.push(agent(*status, body).await);
            }
            let last = addresses.last().cloned();
            let target = Target::of(addresses, Some(token.clone()));
            let came = target.begin("drain", "/drain", &json!({ "member": "n2" })).await;
            match (came, ended) {
                (Ok((by, answer)), Ok(says)) => {
                    assert_eq!((Some(by), answer.sentence().as_str()), (last, says));
                }
                (Err(CtlError::Refused { why, .. }), Err(says)) => assert_eq!(why, says),
                (came, _) => panic!("{answers:?}: {came:?}"),
            }
        }
    }
}
