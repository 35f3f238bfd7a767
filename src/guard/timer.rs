//! A timer on `CLOCK_BOOTTIME`: it counts while the machine sleeps, as tokio's do not. Only says "look again".

use std::io;
use std::os::fd::OwnedFd;

use haa_core::units::Millis;
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

pub(super) struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    /// To be called on a tokio runtime.
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = timerfd_create(TimerfdClockId::Boottime, flags)?;
        #[expect(deprecated, reason = "the successor is unsafe; an OwnedFd keeps what it asks for")]
        AsyncFd::with_interest(fd, Interest::READABLE).map(Self)
    }

    /// Wakes at this instant, at once if it has passed, never if there is none.
    pub(super) fn set(&self, at: Option<Millis>) -> io::Result<()> {
        let nothing = Timespec { tv_sec: 0, tv_nsec: 0 };
        // All zero would mean never.
        let at = at.map_or(nothing, |at| timespec(at.max(Millis(1))));
        let wanted = Itimerspec { it_interval: nothing, it_value: at };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::ABSTIME, &wanted)?;
        Ok(())
    }

    /// Returns when the instant has come.
    pub(super) async fn fired(&self) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable().await?;
            match rustix::io::read(self.0.get_ref(), &mut [0_u8; 8]) {
                Ok(_) => return Ok(()),
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn timespec(at: Millis) -> Timespec {
    let seconds = i64::try_from(at.0 / 1000).unwrap_or(i64::MAX);
    let nanos = i64::try_from(at.0 % 1000 * 1_000_000).unwrap_or(0);
    Timespec { tv_sec: seconds, tv_nsec: nanos }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::clock;

    #[tokio::test]
    async fn it_fires_when_the_instant_has_come_and_not_before() {
        let timer = Timer::new().unwrap();
        let at = clock::now().after(Millis(30));
        timer.set(Some(at)).unwrap();
        timer.fired().await.unwrap();
        assert!(clock::now() >= at);
        timer.set(Some(Millis(0))).unwrap();
        timer.fired().await.unwrap();
        timer.set(None).unwrap();
        let never = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(never, timer.fired()).await.is_err());
    }
}
