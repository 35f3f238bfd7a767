//! Chance, from one seed. The only source of randomness in the simulator.

use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

use crate::time::At;

/// Seeded chance.
#[derive(Clone, Debug)]
pub struct Dice(SmallRng);

impl Dice {
    /// The same seed rolls the same.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(SmallRng::seed_from_u64(seed))
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// True this often in a million.
    pub fn ppm(&mut self, ppm: u32) -> bool {
        ppm > 0 && self.0.random_range(0..1_000_000) < ppm
    }

    /// True this often in a hundred.
    pub fn percent(&mut self, percent: u32) -> bool {
        self.0.random_range(0..100) < percent
    }

    /// A number below `end`; 0 when `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { self.0.random_range(0..end) }
    }

    /// A span from `low` to `high`, both included.
    pub fn span(&mut self, low: At, high: At) -> At {
        At(self.0.random_range(low.0..=high.0.max(low.0)))
    }

    /// Some milliseconds from `low` to `high`.
    pub fn ms(&mut self, low: u64, high: u64) -> At {
        self.span(At::ms(low), At::ms(high))
    }
}
