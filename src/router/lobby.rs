//! Clients that have not said yet what they want: few, and not for long. Never reads from them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

/// So many at a time; with one more, the oldest is shown out.
const SEATS: usize = 256;

/// Who waits, in order of arrival.
#[derive(Debug, Default)]
pub(super) struct Lobby(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    clients: BTreeMap<u64, CancellationToken>,
}

/// A client in the lobby, for as long as this lives.
#[derive(Debug)]
pub(super) struct Ticket<'a> {
    lobby: &'a Lobby,
    number: u64,
    /// Cancelled when it must make room.
    pub(super) out: CancellationToken,
}

impl Lobby {
    pub(super) fn enter(&self) -> Ticket<'_> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.clients.len() >= SEATS
            && let Some((_, oldest)) = waiting.clients.pop_first()
        {
            oldest.cancel();
        }
        let (number, out) = (waiting.next, CancellationToken::new());
        waiting.next += 1;
        waiting.clients.insert(number, out.clone());
        Ticket { lobby: self, number, out }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut waiting = self.lobby.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.clients.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_makes_room_and_who_has_left_is_left_alone() {
        let lobby = Lobby::default();
        let gone = lobby.enter();
        let token = gone.out.clone();
        drop(gone);
        let all: Vec<Ticket<'_>> = (0..=SEATS).map(|_| lobby.enter()).collect();
        assert!(!token.is_cancelled());
        assert!(all[0].out.is_cancelled());
        assert!(!all[1].out.is_cancelled());
        drop(all);
        assert!(lobby.0.lock().unwrap().clients.is_empty());
    }
}
