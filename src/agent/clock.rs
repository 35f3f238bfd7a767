//! The agent's one clock: milliseconds since the machine booted, sleep included. Never the wall clock.

use haa_core::units::Millis;
use rustix::time::{ClockId, clock_gettime};

/// Now, by `CLOCK_BOOTTIME`: it goes on over a restart of the agent and counts while the machine sleeps.
#[must_use]
pub fn now() -> Millis {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    Millis(seconds * 1000 + nanos / 1_000_000)
}
