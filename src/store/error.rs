//! What can go wrong with etcd, each with what to do. Never decides what follows from it.

use std::time::Duration;

use haa_core::records::Key;

/// Something of the store did not work.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The configuration names no etcd.
    #[error("no etcd endpoint is configured: set etcd.endpoints, such as http://10.0.0.1:2379")]
    NoEndpoint,
    /// An endpoint that is not a URL.
    #[error(
        "etcd endpoint '{endpoint}' is not a URL such as http://10.0.0.1:2379: \
         correct etcd.endpoints"
    )]
    Endpoint {
        /// As configured.
        endpoint: String,
    },
    /// TLS without anything to trust.
    #[error(
        "etcd endpoint '{endpoint}' uses TLS but no certificate authority is configured: \
         set etcd.ca_file"
    )]
    NoAuthority {
        /// As configured.
        endpoint: String,
    },
    /// A file that is none of what TLS needs.
    #[error("{setting} holds no PEM {what}: give it a file that has '-----BEGIN' lines")]
    NoPem {
        /// Which setting.
        setting: &'static str,
        /// What belongs there.
        what: &'static str,
    },
    /// Nobody answered in time.
    #[error(
        "etcd did not answer {what} within {patience:?}, asked at every endpoint: \
         look at etcd's own log and the network"
    )]
    Silent {
        /// What we asked.
        what: &'static str,
        /// For how long.
        patience: Duration,
        /// The last attempt.
        #[source]
        source: AttemptError,
    },
    /// The key to be created exists.
    #[error("{key:?} is in the store already: ask again under another name")]
    AlreadyThere {
        /// Which.
        key: Key,
    },
    /// It may or may not have been written, and may yet be.
    #[error(
        "etcd did not say whether {key:?} was written, and did not show it within {patience:?}: \
         look again before you repeat it"
    )]
    Unknown {
        /// Which.
        key: Key,
        /// For how long it was looked for.
        patience: Duration,
        /// The attempt.
        #[source]
        source: AttemptError,
    },
}

impl StoreError {
    /// Whether what was to be written can have reached etcd. What is read before does not count.
    #[must_use]
    pub const fn sent(&self) -> Sent {
        match self {
            Self::NoEndpoint
            | Self::Endpoint { .. }
            | Self::NoAuthority { .. }
            | Self::NoPem { .. }
            | Self::Silent { .. }
            | Self::AlreadyThere { .. } => Sent::No,
            Self::Unknown { .. } => Sent::Perhaps,
        }
    }
}

/// One attempt at one endpoint came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// The deadline passed.
    #[error("no answer from {endpoint} within {deadline:?}")]
    Late {
        /// Whom we asked.
        endpoint: String,
        /// How long we waited.
        deadline: Duration,
        /// Whether the request can have arrived.
        sent: Sent,
    },
    /// An error instead of an answer.
    #[error("{endpoint} failed")]
    Failed {
        /// Whom we asked.
        endpoint: String,
        /// Whether the request can have arrived.
        sent: Sent,
        /// What it, or the way to it, said.
        #[source]
        source: Complaint,
    },
}

/// What etcd, or the way to it, said: the sentence without the layers that it came through.
#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
pub struct Complaint {
    sentence: String,
    lease_unknown: bool,
}

impl From<etcd_client::Error> for Complaint {
    fn from(error: etcd_client::Error) -> Self {
        Self { sentence: sentence(&error), lease_unknown: lease_unknown(&error) }
    }
}

fn sentence(error: &etcd_client::Error) -> String {
    let etcd_client::Error::GRpcStatus(status) = error else { return error.to_string() };
    let mut root: &dyn std::error::Error = status;
    while let Some(cause) = root.source() {
        root = cause;
    }
    let (said, cause) = (status.message(), root.to_string());
    if root.is::<tonic::Status>() || said.contains(&cause) {
        return said.to_owned();
    }
    format!("{said}: {cause}")
}

/// Whether a request can have reached etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Certainly not: there was no connection to send it on.
    No,
    /// Perhaps. It may have been applied, and may yet be.
    Perhaps,
}

impl AttemptError {
    /// Whether the request can have reached etcd.
    #[must_use]
    pub const fn sent(&self) -> Sent {
        match self {
            Self::Late { sent, .. } | Self::Failed { sent, .. } => *sent,
        }
    }

    /// Whether time ran out before there was a client to ask with.
    #[must_use]
    pub const fn without_client(&self) -> bool {
        match self {
            Self::Late { sent: Sent::No, .. } => true,
            Self::Late { sent: Sent::Perhaps, .. } | Self::Failed { .. } => false,
        }
    }

    /// Whether etcd refused the request because it names a lease that etcd does not know: nothing
    /// was written.
    #[must_use]
    pub const fn lease_unknown(&self) -> bool {
        match self {
            Self::Failed { source, .. } => source.lease_unknown,
            Self::Late { .. } => false,
        }
    }
}

/// Whether this says that etcd does not know the lease. etcd-client has a text of its own for a
/// renewal that is answered with no time to live.
pub(super) fn lease_unknown(error: &etcd_client::Error) -> bool {
    match error {
        etcd_client::Error::LeaseKeepAliveError(text) => text == "lease not found",
        etcd_client::Error::GRpcStatus(status) => {
            status.code() == tonic::Code::NotFound
                && status.message().contains("requested lease not found")
        }
        _ => false,
    }
}

/// Only a connection that could not be made proves that nothing was sent on it.
pub(super) fn sent(error: &etcd_client::Error) -> Sent {
    let first: &(dyn std::error::Error + 'static) = match error {
        etcd_client::Error::GRpcStatus(status) => status,
        etcd_client::Error::TransportError(error) => error,
        _ => return Sent::Perhaps,
    };
    let mut cause = Some(first);
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>() {
            return Sent::No;
        }
        cause = error.source();
    }
    Sent::Perhaps
}

/// An error with all its causes, for one line of the log.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
