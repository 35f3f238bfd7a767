//! How things behave at the moment: how slow, and how often they fail. Numbers only.

use crate::time::At;

/// Odds in a million, and spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conduct {
    /// Everything that Postgres and its tools do takes this many times as long, in percent.
    pub slow_percent: u64,
    /// A rewind fails.
    pub rewind_fails: u32,
    /// Above zero: a rewind sees nothing that it would have to take back.
    pub rewind_blind: u32,
    /// Above zero: a start leaves the history of a timeline of which nothing was received.
    pub histories_stay: u32,
    /// Above zero: what a standby must have is to be less than the data ask for.
    pub limits_fall: u32,
    /// Above zero: no standby gets a copy of a logical slot.
    pub copies_fail: u32,
    /// A clone fails.
    pub clone_fails: u32,
    /// Above zero: a clone finds no room, before it touches anything.
    pub no_room: u32,
    /// A start fails.
    pub start_fails: u32,
    /// A transaction with too many savepoints was open at the last checkpoint of what is started.
    pub snapshots_pend: u32,
    /// A promotion is refused.
    pub promote_fails: u32,
    /// Transactions through a PgBouncer do not end in time.
    pub hold_fails: u32,
    /// A promotion takes seconds.
    pub promote_hangs: u32,
    /// One that does takes this long; zero: it is drawn.
    pub promote_takes: At,
    /// A promotion takes another timeline than it was told.
    pub promote_astray: u32,
    /// Some process of a primary takes a new list up to this much later.
    pub list_lag: At,
    /// Replay is behind by up to this much.
    pub replay_lag: At,
    /// A transaction is applied but nobody is told.
    pub txn_untold: u32,
    /// A transaction is applied seconds later, and nobody is told.
    pub txn_late: u32,
    /// A request is lost at etcd.
    pub ask_lost: u32,
    /// A watch tells this late, at most.
    pub watch_lag: At,
    /// Above zero: a new database is restored from a backup, with the number of any other that is.
    pub one_backup: u32,
    /// The span between two writes of a client; zero: no clients.
    pub write_every: At,
}

impl Default for Conduct {
    fn default() -> Self {
        Self {
            slow_percent: 100,
            rewind_fails: 0,
            rewind_blind: 0,
            histories_stay: 0,
            limits_fall: 0,
            copies_fail: 0,
            clone_fails: 0,
            no_room: 0,
            start_fails: 0,
            snapshots_pend: 0,
            promote_fails: 0,
            hold_fails: 0,
            promote_hangs: 0,
            promote_takes: At(0),
            promote_astray: 0,
            list_lag: At(0),
            replay_lag: At(0),
            txn_untold: 0,
            txn_late: 0,
            ask_lost: 0,
            watch_lag: At(0),
            one_backup: 0,
            write_every: At(0),
        }
    }
}

impl Conduct {
    /// Nothing fails any more; clients go on.
    #[must_use]
    pub fn healed(self) -> Self {
        Self { write_every: self.write_every, one_backup: self.one_backup, ..Self::default() }
    }
}
