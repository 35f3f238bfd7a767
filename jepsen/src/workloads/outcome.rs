//! What an error means for the operation that it ended: it did not take place, or nobody knows. Decides by what had
//! been sent and by SQLSTATE, never by the words of a message.

use tokio_postgres::error::SqlState;

use crate::history::Phase;

/// How an operation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// `Fail` or `Info`.
    pub phase: Phase,
    /// What the client was told.
    pub said: String,
    /// Whether the session is still of use.
    pub session: Fate,
    /// Whether the server lets nobody write.
    pub server: Server,
}

/// What a failure says of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// It lets nobody write.
    ReadOnly,
    /// Nothing of that.
    Untold,
}

/// What becomes of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on.
    Keeps,
    /// It is dropped.
    Ends,
}

/// How far the operation was when the error came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// No commit had been asked for.
    Before,
    /// One had, or the statement commits by itself.
    Commit,
}

impl Failure {
    /// It is not known what became of it.
    #[must_use]
    pub fn unknown(said: impl Into<String>) -> Self {
        Self { phase: Phase::Info, said: said.into(), session: Fate::Ends, server: Server::Untold }
    }

    /// It did not take place, and the session is gone.
    #[must_use]
    pub fn refused(said: impl Into<String>) -> Self {
        Self { phase: Phase::Fail, said: said.into(), session: Fate::Ends, server: Server::Untold }
    }

    /// It did not take place, and the session goes on.
    #[must_use]
    pub fn kept(said: impl Into<String>) -> Self {
        Self { phase: Phase::Fail, said: said.into(), session: Fate::Keeps, server: Server::Untold }
    }

    /// The same of what only reads: it changed nothing, whatever became of it.
    #[must_use]
    pub fn of_a_read(self) -> Self {
        Self { phase: Phase::Fail, ..self }
    }

    /// What an error of the driver means.
    #[must_use]
    pub fn of(error: &tokio_postgres::Error, sent: Sent) -> Self {
        let said = match error.as_db_error() {
            Some(said) => format!("{} {}", said.code().code(), said.message()),
            None => whole(error),
        };
        let refused = error.code().is_some_and(refuses);
        let phase = match (sent, refused) {
            (Sent::Before, _) | (_, true) => Phase::Fail,
            (Sent::Commit, false) => Phase::Info,
        };
        let ended = error.as_db_error().is_none_or(|said| said.severity() != "ERROR");
        let session = if ended { Fate::Ends } else { Fate::Keeps };
        let server = match error.code() {
            Some(code) if *code == SqlState::READ_ONLY_SQL_TRANSACTION => Server::ReadOnly,
            Some(_) | None => Server::Untold,
        };
        Self { phase, said, session, server }
    }
}

/// These errors say that the transaction is rolled back, also as the answer to COMMIT.
fn refuses(code: &SqlState) -> bool {
    [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::READ_ONLY_SQL_TRANSACTION,
    ]
    .contains(code)
}

/// With its causes.
fn whole(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        said = format!("{said}: {inner}");
        cause = inner.source();
    }
    said
}
