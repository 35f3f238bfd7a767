//! One HTTP request to one agent, with a deadline. Never retries and never chooses an agent.

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use haa_core::units::Address;

use crate::tls::{Dialed, Dialer, Http};

/// How long a connection may take: beyond it, an agent counts as not there.
const CONNECT: Duration = Duration::from_secs(2);

/// When a command is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// Once it is done, or has taken too long for an answer.
    Done,
    /// Once it is written down.
    Written,
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Ask {
    method: Method,
    path: String,
    token: Option<String>,
    /// For whoever does not answer without.
    spare: Option<String>,
    body: Option<String>,
    /// The tag of what was seen: the answer is no if there is another by now.
    seen: Option<String>,
    /// The tag of what is known: no document is needed while it is the same.
    known: Option<String>,
    until: Until,
    deadline: Duration,
    dialer: Dialer,
}

impl Ask {
    /// A question; answered from memory, therefore within two seconds.
    #[must_use]
    pub fn get(path: &str) -> Self {
        let path = path.to_owned();
        let deadline = Duration::from_secs(2);
        let dialer = Dialer::plain();
        Self {
            method: Method::GET,
            path,
            token: None,
            spare: None,
            body: None,
            seen: None,
            known: None,
            until: Until::Done,
            deadline,
            dialer,
        }
    }

    /// A command, with the token that it needs and a JSON document.
    #[must_use]
    pub fn post(path: &str, token: String, body: &serde_json::Value) -> Self {
        Self::command(Method::POST, path, token, body)
    }

    /// The same with another method.
    #[must_use]
    pub fn command(method: Method, path: &str, token: String, body: &serde_json::Value) -> Self {
        Self {
            method,
            path: path.to_owned(),
            token: Some(token),
            spare: None,
            body: Some(body.to_string()),
            seen: None,
            known: None,
            until: Until::Done,
            deadline: Duration::from_secs(90),
            dialer: Dialer::plain(),
        }
    }

    /// Only if what is there bears this tag still.
    #[must_use]
    pub fn unless_changed(mut self, since: Option<String>) -> Self {
        self.seen = since;
        self
    }

    /// Only if it is another than the one with this tag; else the answer is 304, without a document.
    #[must_use]
    pub fn unless_known(mut self, tag: Option<String>) -> Self {
        self.known = tag;
        self
    }

    /// Answered once it is written down, with its name: whoever asks looks after it.
    #[must_use]
    pub const fn at_once(mut self) -> Self {
        self.until = Until::Written;
        self
    }

    /// Over connections of this kind; without TLS if not said.
    #[must_use]
    pub fn over(mut self, dialer: &Dialer) -> Self {
        self.dialer = dialer.clone();
        self
    }

    /// With this token where the question is not answered without one.
    #[must_use]
    pub fn or_with(mut self, token: Option<String>) -> Self {
        self.spare = token;
        self
    }

    /// Wait this long for the answer.
    #[must_use]
    pub fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// What it asks for.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Sends it and waits for the whole answer.
    ///
    /// # Errors
    /// [`HttpError`], which says whether the agent can have taken it.
    pub async fn send(&self, to: &Address) -> Result<Answer, HttpError> {
        match self.once(to).await {
            Ok(answer) if answer.status == 401 && self.token.is_none() && self.spare.is_some() => {
                Self { token: self.spare.clone(), ..self.clone() }.once(to).await
            }
            answered => answered,
        }
    }

    async fn once(&self, to: &Address) -> Result<Answer, HttpError> {
        let stream = match timeout(CONNECT, self.dialer.dial(to, Http::One)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(refusal)) => return Err(HttpError::NotConnected(brief(&refusal))),
            Err(_) => return Err(HttpError::NotConnected("no connection within 2s".to_owned())),
        };
        match timeout(self.deadline, self.exchange(stream, to)).await {
            Ok(answer) => answer.map_err(|error| HttpError::NoAnswer(error.to_string())),
            Err(_) => Err(HttpError::NoAnswer(format!("no answer within {:?}", self.deadline))),
        }
    }

    async fn exchange(&self, stream: Dialed, to: &Address) -> Result<Answer, ExchangeError> {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let turning = tokio::spawn(connection);
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(&self.path)
            .header(header::HOST, to.to_string())
            .header(header::USER_AGENT, concat!("haactl/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(tag) = &self.seen {
            request = request.header(header::IF_MATCH, tag);
        }
        if let Some(tag) = &self.known {
            request = request.header(header::IF_NONE_MATCH, tag);
        }
        if self.until == Until::Written {
            request = request.header("prefer", "respond-async");
        }
        if self.body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = self.body.clone().unwrap_or_default();
        let response = sender.send_request(request.body(Full::new(Bytes::from(body)))?).await?;
        let status = response.status().as_u16();
        let tag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok());
        let tag = tag.map(str::to_owned);
        let body = response.into_body().collect().await?.to_bytes().to_vec();
        drop(sender);
        turning.abort();
        Ok(Answer { status, tag, body })
    }
}

/// What an agent answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Its tag, if it bears one.
    pub tag: Option<String>,
    /// The document.
    pub body: Vec<u8>,
}

impl Answer {
    /// The document as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).trim().to_owned()
    }

    /// Whether it says that nothing was taken, so that another agent may be asked. Whoever does not say so may have.
    #[must_use]
    pub fn is_untaken(&self) -> bool {
        let document: Option<serde_json::Value> = serde_json::from_slice(&self.body).ok();
        let taken = document.and_then(|document| document.get("taken")?.as_bool());
        self.status == 503 && taken == Some(false)
    }

    /// The sentence in it: `error`, `message` or `reason` of a JSON document, else the text itself.
    #[must_use]
    pub fn sentence(&self) -> String {
        let document: Option<serde_json::Value> = serde_json::from_slice(&self.body).ok();
        let named = |key: &str| document.as_ref()?.get(key)?.as_str().map(str::to_owned);
        let said = ["error", "message", "reason"].into_iter().find_map(named);
        match said.unwrap_or_else(|| self.text()) {
            said if said.is_empty() => format!("status {}", self.status),
            said => said,
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Nothing was sent.
    #[error("{0}")]
    NotConnected(String),
    /// It was sent, perhaps in part; whether it was taken is not known.
    #[error("{0}")]
    NoAnswer(String),
}

#[derive(Debug, thiserror::Error)]
enum ExchangeError {
    #[error("{}", deepest(.0))]
    Hyper(#[from] hyper::Error),
    #[error("{0}")]
    Request(#[from] hyper::http::Error),
}

/// The innermost cause: "connection reset by peer" says more than "error sending request".
fn deepest(error: &hyper::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn brief(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_found_in_any_shape() {
        let of = |body: &str| Answer { status: 412, tag: None, body: body.into() }.sentence();
        assert_eq!(of(r#"{"error":"n2 lags"}"#), "n2 lags");
        assert_eq!(of(r#"{"message":"no"}"#), "no");
        assert_eq!(of("plain\n"), "plain");
        assert_eq!(of(""), "status 412");
    }

    #[test]
    fn only_who_says_so_has_taken_nothing() {
        let of = |status, body: &str| Answer { status, tag: None, body: body.into() }.is_untaken();
        assert!(of(503, r#"{"error":"no etcd","taken":false}"#));
        for (status, body) in [
            (503, r#"{"error":"who knows"}"#),
            (503, r#"{"error":"who knows","taken":null}"#),
            (503, "<html>no server is available</html>"),
            (500, r#"{"taken":false}"#),
            (202, r#"{"taken":false}"#),
        ] {
            assert!(!of(status, body), "{status} {body}");
        }
    }
}
