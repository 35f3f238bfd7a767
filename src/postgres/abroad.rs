//! What the servers of another cluster, which ours follows, say of themselves. Asks each once, as the role for
//! rewinding, which every haad lets in; changes nothing, judges nothing.

use futures_util::future::join_all;
use haa_core::site;
use haa_core::units::Address;

use super::error::sentence;
use super::examine::Examiner;
use super::sql::{Session, SqlError, quoted};

/// One server of the other cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abroad {
    /// Where.
    pub at: Address,
    /// What it said, or why nothing.
    pub said: Result<Said, String>,
}

/// What it said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The server's `server_version_num`.
    pub version: u32,
    /// It accepts no writes.
    pub in_recovery: bool,
    /// Whose data these are.
    pub system_id: String,
    /// The slot that we are to use, if it is there.
    pub slot: Option<SlotThere>,
}

/// A slot there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotThere {
    /// Postgres gives nothing from it any more.
    pub lost: bool,
    /// Of changes, not of WAL as it is.
    pub logical: bool,
}

impl Examiner {
    /// Asks all of them at once.
    pub async fn abroad(&self, site: &site::Site) -> Vec<Abroad> {
        let asked = site.hosts.iter().map(async |at| Abroad {
            at: at.clone(),
            said: self.ask_at(at, site).await.map_err(|error| sentence(&error)),
        });
        join_all(asked).await
    }

    async fn ask_at(&self, at: &Address, site: &site::Site) -> Result<Said, SqlError> {
        let session = Session::open_at(at, &self.0.config.rewind).await?;
        let server = "SELECT current_setting('server_version_num'), pg_is_in_recovery(), system_identifier \
             FROM pg_control_system()";
        let server = session.rows(server).await?;
        let server = server.first().ok_or(SqlError::Odd { column: 0 })?;
        let slot = match &site.slot {
            None => None,
            Some(name) => {
                let question = format!(
                    "SELECT wal_status IS NOT DISTINCT FROM 'lost', slot_type = 'logical' \
                     FROM pg_replication_slots WHERE slot_name = {}",
                    quoted(name)
                );
                let rows = session.rows(&question).await?;
                rows.first().map(|row| SlotThere { lost: row.is_true(0), logical: row.is_true(1) })
            }
        };
        Ok(Said {
            version: server.need(0)?,
            in_recovery: server.is_true(1),
            system_id: server.need(2)?,
            slot,
        })
    }
}
