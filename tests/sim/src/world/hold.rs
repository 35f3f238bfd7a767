//! Transactions that stay on their way to etcd until they are let go. Never what they write.

use std::mem::discriminant;

use haa_core::effect::StoreWish;
use haa_core::records::Key;

use crate::world::store::Ask;
use crate::world::{Event, World};

/// What is to be held up, and what is.
#[derive(Clone, Debug, Default)]
pub struct Hold {
    next: Vec<(usize, Key)>,
    asks: Vec<Ask>,
}

impl World {
    /// The next transaction of this member that writes a key of this kind stays on its way. Its agent hears nothing,
    /// gives it up and reads back.
    pub(crate) fn hold(&mut self, member: usize, key: &Key) {
        self.on_hold.next.push((member, key.clone()));
    }

    /// Whether this request stays on its way from now on.
    pub(crate) fn holds_up(&mut self, ask: &Ask) -> bool {
        let StoreWish::Txn(txn) = &ask.wish else { return false };
        let meant = |(member, key): &(usize, Key)| {
            *member == ask.member
                && txn
                    .put
                    .iter()
                    .any(|(record, _)| discriminant(&record.key()) == discriminant(key))
        };
        let Some(which) = self.on_hold.next.iter().position(meant) else { return false };
        self.on_hold.next.remove(which);
        self.on_hold.asks.push(ask.clone());
        true
    }

    /// Whether a transaction of this member is held up.
    #[must_use]
    pub fn is_held_up(&self, member: usize) -> bool {
        self.on_hold.asks.iter().any(|ask| ask.member == member)
    }

    /// What is held up of this member arrives now, in its order.
    pub(crate) fn let_go(&mut self, member: usize) {
        let asks = std::mem::take(&mut self.on_hold.asks);
        let (now, still) = asks.into_iter().partition(|ask| ask.member == member);
        self.on_hold.asks = still;
        let now: Vec<Ask> = now;
        for ask in now {
            self.queue.push(self.now, Event::Ask(Box::new(ask)));
        }
    }
}
