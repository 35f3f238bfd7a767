//! True time, and each member's own clock that drifts from it. Never the machine's clock.

use haa_core::units::Millis;
use serde::Serialize;

/// An instant of true time, or a span of it, in microseconds. No member ever sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct At(pub u64);

impl At {
    /// A span of milliseconds.
    #[must_use]
    pub const fn ms(ms: u64) -> Self {
        Self(ms * 1_000)
    }

    /// A span of seconds.
    #[must_use]
    pub const fn secs(secs: u64) -> Self {
        Self(secs * 1_000_000)
    }

    /// The instant `span` later.
    #[must_use]
    pub const fn after(self, span: Self) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The span since `earlier`; zero when that is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:03}s", self.0 / 1_000_000, self.0 / 1_000 % 1_000)
    }
}

/// A member's monotonic clock: counts milliseconds since its machine booted, a little too fast or too slow.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    booted: At,
    base: u64,
    ppm: i64,
}

impl Clock {
    /// A clock that shows `base` milliseconds at `booted` and gains `ppm` microseconds a second.
    #[must_use]
    pub const fn new(booted: At, base: Millis, ppm: i64) -> Self {
        Self { booted, base: base.0, ppm }
    }

    /// The same oscillator after the machine booted anew.
    #[must_use]
    pub const fn rebooted(self, at: At) -> Self {
        Self { booted: at, base: 5_000, ppm: self.ppm }
    }

    /// What it shows.
    #[must_use]
    pub fn read(&self, at: At) -> Millis {
        let elapsed = at.since(self.booted).0 as i64;
        let shown = elapsed + elapsed / 1_000 * self.ppm / 1_000;
        Millis(self.base + (shown.max(0) as u64) / 1_000)
    }

    /// The first instant of true time at which it shows `local`.
    #[must_use]
    pub fn when(&self, local: Millis) -> At {
        let shown = local.0.saturating_sub(self.base) as i64 * 1_000;
        let elapsed = shown * 1_000 / (1_000_000 + self.ppm) * 1_000;
        let mut at = At(self.booted.0.saturating_add(elapsed.max(0) as u64));
        while self.read(at) < local {
            at.0 += 100;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_shows_an_instant_when_it_says_that_it_does() {
        for ppm in [-20_000, -300, 0, 7, 20_000] {
            let clock = Clock::new(At::secs(3), Millis(77_000), ppm);
            for local in [77_000, 77_001, 99_999, 1_000_000, 36_000_000] {
                let at = clock.when(Millis(local));
                let shown = clock.read(at).0;
                assert!((local..=local + 2).contains(&shown), "{ppm} {local} {shown}");
            }
        }
    }
}
