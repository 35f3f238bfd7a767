//! Keys: a few are hot at a time, each for a number of writes, then others are. Values of a key never repeat.

use std::sync::Mutex;

use rand::RngExt as _;
use rand::rngs::StdRng;

/// How many are hot at once.
const HOT: usize = 8;
/// The tables hold so many.
const MOST: u64 = 9_999;

/// The keys of a run.
#[derive(Debug)]
pub struct Keys {
    writes: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// A key, and the last value that was given out for it.
    hot: Vec<(u64, u64)>,
    next: u64,
}

impl Keys {
    /// Keys that are each written so many times.
    #[must_use]
    pub fn new(writes: u64) -> Self {
        let hot: Vec<(u64, u64)> = (0..HOT as u64).map(|key| (key, 0)).collect();
        Self { writes, state: Mutex::new(State { hot, next: HOT as u64 }) }
    }

    /// A key to write, and a value that it never had.
    pub fn write(&self, rng: &mut StdRng) -> (u64, u64) {
        let mut state = self.locked();
        let State { hot, next } = &mut *state;
        let place = &mut hot[rng.random_range(0..HOT)];
        if place.1 >= self.writes && *next <= MOST {
            *place = (*next, 0);
            *next += 1;
        }
        place.1 += 1;
        *place
    }

    /// A key to read.
    pub fn read(&self, rng: &mut StdRng) -> u64 {
        self.locked().hot[rng.random_range(0..HOT)].0
    }

    /// The last key that was ever hot.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.locked().next.saturating_sub(1)
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use std::collections::HashSet;

    #[test]
    fn no_value_of_a_key_comes_twice_and_keys_move_on() {
        let (keys, mut rng) = (Keys::new(4), StdRng::seed_from_u64(1));
        let all: Vec<(u64, u64)> = (0..200).map(|_| keys.write(&mut rng)).collect();
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), 200);
        assert!(keys.last() > 30 && all.iter().all(|(_, value)| *value <= 4));
    }
}
