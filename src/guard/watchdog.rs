//! A watchdog device: while a deadline stands, a guard that is not heard any more resets the machine. Never sets the
//! device's own time-out.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use haa_core::units::Millis;

/// Between two feeds.
const PACE: Millis = Millis(1_000);

pub(super) struct Watchdog {
    path: Option<PathBuf>,
    device: Option<File>,
    next: Option<Millis>,
    complained: bool,
}

impl Watchdog {
    pub(super) const fn new(path: Option<PathBuf>) -> Self {
        Self { path, device: None, next: None, complained: false }
    }

    /// When it is to be fed next.
    pub(super) const fn next(&self) -> Option<Millis> {
        self.next
    }

    /// Feeds it if it is time to; the first time starts it.
    pub(super) fn feed(&mut self, now: Millis) {
        let Some(path) = &self.path else { return };
        if self.next.is_some_and(|next| now < next) {
            return;
        }
        self.next = Some(now.after(PACE));
        let fed = match &mut self.device {
            Some(device) => device.write_all(b"\0"),
            none => OpenOptions::new().write(true).open(path).and_then(|mut device| {
                device.write_all(b"\0")?;
                *none = Some(device);
                Ok(())
            }),
        };
        if let Err(error) = fed {
            self.complain(&error);
        }
    }

    /// Tells the device, with its magic letter, that nobody will feed it and that this is right.
    pub(super) fn rest(&mut self) {
        self.next = None;
        if let Some(mut device) = self.device.take()
            && let Err(error) = device.write_all(b"V")
        {
            self.complain(&error);
        }
    }

    fn complain(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.complained, true) {
            let device = self.path.as_deref().unwrap_or_else(|| "".as_ref()).display();
            tracing::warn!(%device, %error, "the watchdog device cannot be used; going on without");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_fed_at_its_pace_and_closed_with_the_letter() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("watchdog");
        std::fs::write(&path, "").unwrap();
        let mut watchdog = Watchdog::new(Some(path.clone()));
        watchdog.feed(Millis(5));
        watchdog.feed(Millis(6));
        assert_eq!(watchdog.next(), Some(Millis(1_005)));
        watchdog.feed(Millis(1_005));
        watchdog.rest();
        watchdog.rest();
        assert_eq!(std::fs::read(&path).unwrap(), b"\0\0V");
        assert_eq!(watchdog.next(), None);
    }

    #[test]
    fn without_a_device_it_goes_on() {
        let mut none = Watchdog::new(None);
        none.feed(Millis(1));
        assert_eq!(none.next(), None);
        let mut absent = Watchdog::new(Some("/nonexistent/watchdog".into()));
        absent.feed(Millis(1));
        absent.rest();
        assert!(absent.complained);
    }
}
