//! What will happen, in order of time; what was put in first happens first. Never says what it means.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::time::At;

#[derive(Clone, Debug)]
struct Due<E> {
    at: At,
    number: u64,
    event: E,
}

impl<E> PartialEq for Due<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Due<E> {}

impl<E> PartialOrd for Due<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Due<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// Events by their instant.
#[derive(Clone, Debug)]
pub struct Queue<E> {
    heap: BinaryHeap<Reverse<Due<E>>>,
    number: u64,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), number: 0 }
    }
}

impl<E> Queue<E> {
    /// `event` is to happen at `at`.
    pub fn push(&mut self, at: At, event: E) {
        self.number += 1;
        self.heap.push(Reverse(Due { at, number: self.number, event }));
    }

    /// The next event, if it is due by `limit`.
    pub fn pop(&mut self, limit: At) -> Option<(At, E)> {
        if self.heap.peek()?.0.at > limit {
            return None;
        }
        self.heap.pop().map(|Reverse(due)| (due.at, due.event))
    }

    /// How many are waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether none is waiting.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_instant_and_then_by_arrival() {
        let mut queue = Queue::default();
        queue.push(At(5), 'c');
        queue.push(At(1), 'a');
        queue.push(At(5), 'd');
        queue.push(At(2), 'b');
        let order: String = std::iter::from_fn(|| queue.pop(At(9))).map(|(_, c)| c).collect();
        assert_eq!(order, "abcd");
        queue.push(At(10), 'e');
        assert!(queue.pop(At(9)).is_none());
    }
}
