//! What can go wrong for an operator, each with what to do and with an exit code. Never printed twice.

use std::fmt;
use std::path::PathBuf;

use haa_core::units::Address;

use crate::playground::PlaygroundError;

/// A verb that did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CtlError {
    /// Nothing says where the cluster is.
    #[error(
        "no agent's address is known: give --api HOST:PORT[,HOST:PORT], set HAACTL_API, or write \
         api = [\"HOST:PORT\"] into ./haactl.toml or ~/.config/haactl.toml"
    )]
    NoAddress,
    /// A file that was named cannot be read.
    #[error("cannot read {path}: check that it is there and that you may read it")]
    ReadFile {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The client file is not what it should be.
    #[error("{path} is not a client file with api = [\"HOST:PORT\"] and token_file = \"PATH\"")]
    ClientFile {
        /// Which.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: toml::de::Error,
    },
    /// A certificate or a key cannot be used.
    #[error(transparent)]
    Tls(#[from] crate::tls::TlsError),
    /// Our certificate is known, and nobody else's can be checked.
    #[error(
        "a certificate is given, but no authority to check the agents' by: give --ca-file FILE, set \
         HAACTL_CA_FILE, or write ca_file = \"PATH\" into the client file"
    )]
    NoAuthority,
    /// The verdict, which was said in full.
    #[error("the cluster is not healthy: see above")]
    NotHealthy,
    /// The findings, which were said in full.
    #[error("the setup has problems: see above")]
    Problems,
    /// Some did and some did not, which was said of each.
    #[error("not every member did: see above")]
    NotAll,
    /// A stranger.
    #[error(
        "there is no member '{name}' in cluster {scope}, or its agent is gone: haactl list shows who is there, \
         haactl status who is gone"
    )]
    NoMember {
        /// Who was named.
        name: String,
        /// In which cluster.
        scope: String,
    },
    /// Of what a replica may not have less of, one is to be more and one less.
    #[error(
        "{lower} is to be lower, which begins with the primary, and {higher} higher, which begins with the replicas: \
         nothing was touched; set one of them back (haactl settings set), restart, and change it then"
    )]
    BothWays {
        /// What is to be lower.
        lower: String,
        /// What is to be higher.
        higher: String,
    },
    /// A rolling restart that begins with the primary would end there.
    #[error(
        "{member} does not stream, and could not be restarted after the primary: nothing was touched"
    )]
    Away {
        /// Who.
        member: String,
    },
    /// It was restarted, and did not take it.
    #[error(
        "{name} was restarted, and {high} is no lower there: its log says why; who comes after it was not touched"
    )]
    StillHigh {
        /// Who.
        name: String,
        /// What is no lower.
        high: String,
    },
    /// It was restarted, and does not come back.
    #[error(
        "{member} does not stream, or is no voter, {patience:?} after it was restarted: nothing else was touched; look \
         at haactl list and its log, then run this again"
    )]
    NotBack {
        /// Who.
        member: String,
        /// How long it was waited for.
        patience: std::time::Duration,
    },
    /// It was restarted, and nobody waited for it to come back.
    #[error(
        "{member} was stopped last, and comes back by itself: haactl list shows when it streams"
    )]
    NotSeenBack {
        /// Who.
        member: String,
    },
    /// A command that is meant is not known, or several are.
    #[error("{meant} requests begin with '{id}', one is wanted: see haactl requests")]
    NotOneRequest {
        /// What was given.
        id: String,
        /// So many.
        meant: usize,
    },
    /// One setting has two values.
    #[error("{0} is given twice: say it once")]
    Twice(String),
    /// What was asked for is not shown any more.
    #[error(
        "agents answer, and neither their requests nor the events show request {id} any more: it may have come to its \
         end, or go on; haactl list says how the cluster is now"
    )]
    OutOfSight {
        /// Its name.
        id: String,
    },
    /// Nobody who answers says how it stands.
    #[error(
        "how request {id} stands could not be looked at for {patience:?}: what it asked for goes on all the same; \
         haactl requests wait {id} comes back to it"
    )]
    Blind {
        /// Its name.
        id: String,
        /// How long it was tried.
        patience: std::time::Duration,
        /// Why the last look came to nothing.
        #[source]
        source: Box<CtlError>,
    },
    /// Nobody begins with it, nor was it taken back: the agent that took it is gone, or etcd is silent.
    #[error(
        "nobody has acted on request {id} for {patience:?}, and it may still happen: haactl status says what the \
         cluster waits for, haactl requests cancel {id} takes it back"
    )]
    NobodyActs {
        /// Its name.
        id: String,
        /// How long it was waited for.
        patience: std::time::Duration,
    },
    /// It takes longer than whoever waits wanted to.
    #[error("{why}: request {id} goes on, and haactl requests wait {id} comes back to it")]
    NotWaitedFor {
        /// Its name.
        id: String,
        /// What ended the wait.
        why: String,
    },
    /// Somebody waited for what was not done.
    #[error("'{what}' was refused: {why}")]
    CameToNothing {
        /// What was asked, in words.
        what: String,
        /// Why it is not so.
        why: String,
    },
    /// A file that was to be replayed is none.
    #[error(
        "line {line} of {path} is not a journal's: give journal.jsonl or journal.old.jsonl of a member's \
         state directory, written by a haad of this version"
    )]
    NoJournal {
        /// The file.
        path: PathBuf,
        /// Where it is not one.
        line: usize,
    },
    /// The history does not tell of that leadership.
    #[error(
        "no leadership of term {term} is on record; there are: {known:?}. A term without one had no leader"
    )]
    NoSuchTerm {
        /// The one that was asked for.
        term: u64,
        /// Those on record.
        known: Vec<u64>,
    },
    /// The core of this version does not decide as the one that wrote the journal did.
    #[error("line {line} of {path}: decided then {then}, decided now {now}")]
    DecidedOtherwise {
        /// The journal.
        path: PathBuf,
        /// Which step.
        line: usize,
        /// What the journal says.
        then: String,
        /// What came out.
        now: String,
    },
    /// The answer was no.
    #[error("{what} was refused by {by}: {why}")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// The agent that answered.
        by: Address,
        /// Its sentence.
        why: String,
    },
    /// There is no such server at the moment.
    #[error("{0}")]
    NoRoute(&'static str),
    /// An agent answered something that is not of the contract.
    #[error("{by} answered {path} with something that this haactl cannot read: is it a haad?")]
    OddAnswer {
        /// The agent that answered.
        by: Address,
        /// What was asked.
        path: String,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// The order was sent, and then nothing was heard.
    #[error(
        "{what} was sent to {by}, but its answer did not come ({why}): it may still be under way; look with \
         `haactl requests`, which shows too what has just come to its end, or `haactl events`, before you ask again"
    )]
    Unanswered {
        /// What was asked.
        what: &'static str,
        /// The agent that took it.
        by: Address,
        /// What was seen instead of an answer.
        why: String,
    },
    /// The operator said no.
    #[error("nothing was done: {0}")]
    NotConfirmed(&'static str),
    /// Nobody answered.
    #[error("no agent could be reached; tried {0}: check the addresses and that haad runs there")]
    Unreachable(Tried),
    /// A command needs a token.
    #[error(
        "{0} needs a token: give --token-file FILE, set HAACTL_TOKEN_FILE, or write \
         token_file = \"PATH\" into the client file; the agents' own is [api] token_file of haad.toml"
    )]
    TokenMissing(&'static str),
    /// The token is not the right one.
    #[error("{by} refused the token: compare its file with [api] token_file of that agent ({why})")]
    TokenRefused {
        /// The agent that answered.
        by: Address,
        /// Its sentence.
        why: String,
    },
    /// There is nothing to draw on.
    #[error(
        "this is no terminal: haactl list --watch shows the members as lines, also into a pipe"
    )]
    NotATerminal,
    /// A configuration that is not imported.
    #[error(transparent)]
    Import(#[from] super::import::ImportError),
    /// The playground.
    #[error(transparent)]
    Playground(#[from] PlaygroundError),
    /// A file for the editor.
    #[error("cannot {what} {path}")]
    Edit {
        /// What was to be done.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// What was edited is not in the form that it was in.
    #[error("this is not TOML")]
    NotToml(#[source] toml::de::Error),
    /// What was edited was not taken.
    #[error("what you wrote is kept in {path}")]
    Kept {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<CtlError>,
    },
    /// The terminal or its pipe.
    #[error("cannot write the answer out")]
    Write(#[source] std::io::Error),
}

impl CtlError {
    /// The exit code: 1 refused or failed, 2 usage, 3 no agent reached, 4 token missing or refused.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Kept { source, .. } | Self::Blind { source, .. } => source.exit_code(),
            Self::Refused { .. }
            | Self::NoJournal { .. }
            | Self::NoSuchTerm { .. }
            | Self::DecidedOtherwise { .. }
            | Self::NoRoute(_)
            | Self::NotHealthy
            | Self::NotAll
            | Self::NoMember { .. }
            | Self::Problems
            | Self::BothWays { .. }
            | Self::Away { .. }
            | Self::StillHigh { .. }
            | Self::NotBack { .. }
            | Self::NotSeenBack { .. }
            | Self::OutOfSight { .. }
            | Self::NobodyActs { .. }
            | Self::NotWaitedFor { .. }
            | Self::CameToNothing { .. }
            | Self::NotOneRequest { .. }
            | Self::OddAnswer { .. }
            | Self::Unanswered { .. }
            | Self::NotConfirmed(_)
            | Self::Edit { .. }
            | Self::NotToml(_)
            | Self::Import(_)
            | Self::Playground(_)
            | Self::Write(_) => 1,
            Self::NoAddress
            | Self::Twice(_)
            | Self::ReadFile { .. }
            | Self::ClientFile { .. }
            | Self::Tls(_)
            | Self::NotATerminal
            | Self::NoAuthority => 2,
            Self::Unreachable(_) => 3,
            Self::TokenMissing(_) | Self::TokenRefused { .. } => 4,
        }
    }
}

/// Which agents were asked and what each said.
#[derive(Debug)]
pub struct Tried(pub Vec<(Address, String)>);

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (address, said)) in self.0.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}{address} ({said})")?;
        }
        Ok(())
    }
}
