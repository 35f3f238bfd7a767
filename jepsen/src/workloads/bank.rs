//! A bank: transfers between a few accounts in transactions of two updates, and reads of all balances at once.

use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use tokio::time::sleep;

use crate::history::Op;

use super::Done;
use super::outcome::Failure;
use super::session::Session;

/// How many accounts, and what all of them hold.
const ACCOUNTS: u32 = 8;
/// What all balances are together.
pub const TOTAL: i64 = 800;

/// What is there before the first client comes.
pub(super) const SCHEMA: &str = "CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL); \
     INSERT INTO accounts SELECT id, 100 FROM generate_series(0, 7) AS id;";

/// A transfer or a look.
pub(super) fn next(rng: &mut StdRng) -> Op {
    if rng.random_bool(0.25) {
        return Op::Balances(None);
    }
    let from = rng.random_range(0..ACCOUNTS);
    let to = (from + rng.random_range(1..ACCOUNTS)) % ACCOUNTS;
    Op::Transfer { from, to, amount: rng.random_range(1..=5) }
}

const STEP: &str = "UPDATE accounts SET balance = balance + $2 WHERE id = $1";

/// Moves money, or looks. Accounts may go below nothing: nobody refuses for want of money.
///
/// # Errors
/// As the session says.
pub(super) async fn perform(session: &mut Session, op: &Op, delay: Duration) -> Done {
    let Op::Transfer { from, to, amount } = op else { return balances(session).await };
    let account =
        |number: &u32| i32::try_from(*number).map_err(|error| Failure::refused(error.to_string()));
    let (from, to) = (account(from)?, account(to)?);
    // Always in the same order, so that two transfers do not wait for each other.
    let mut steps = [(from, -amount), (to, *amount)];
    steps.sort_unstable();
    session.command("BEGIN").await?;
    for (number, (id, by)) in steps.iter().enumerate() {
        if number == 1 {
            sleep(delay).await;
        }
        if let Err(failure) = session.within(STEP, &[id, by]).await {
            return Err(session.rolled_back(failure).await);
        }
    }
    let stamp = match session.place().await {
        Ok(stamp) => stamp,
        Err(failure) => return Err(session.rolled_back(failure).await),
    };
    session.commit().await?;
    Ok((op.clone(), Some(stamp)))
}

async fn balances(session: &mut Session) -> Done {
    let stamp = session.place().await?;
    let rows = session.within("SELECT balance FROM accounts ORDER BY id", &[]).await?;
    let balances = rows.iter().filter_map(|row| row.try_get(0).ok()).collect();
    Ok((Op::Balances(Some(balances)), Some(stamp)))
}
