//! `[guard]`: whether there is one, and its watchdog. Never starts it.

use std::path::Path;

use super::Guard;
use super::check::Checker;
use super::error::At;
use super::file::File;
use super::server::SOCKET_PATH_MAX;

impl Checker<'_> {
    /// `[guard]`
    pub(super) fn guard(&mut self, file: &File, state: Option<&Path>) -> Option<Guard> {
        let said = &file.guard;
        let enabled = said.enabled.as_ref().is_none_or(|said| *said.value());
        let watchdog = match &said.watchdog {
            None => None,
            Some(said) => Some(self.path("guard.watchdog", said)?),
        };
        // Else Postgres' socket is below it as well, with a longer name, and was measured.
        let elsewhere = file.postgres.as_ref()?.value().socket_directory.is_some();
        if enabled
            && elsewhere
            && let Some(state) = state
        {
            self.socket_of_guard_fits(file, state)?;
        }
        Some(Guard { enabled, watchdog })
    }

    fn socket_of_guard_fits(&mut self, file: &File, state: &Path) -> Option<()> {
        let socket = crate::guard::socket(state);
        let length = socket.as_os_str().len();
        if length <= SOCKET_PATH_MAX {
            return Some(());
        }
        let at = file.state_directory.as_ref().map_or(At::File, |said| self.source.of(said));
        let says = format!(
            "state_directory: {}, the guard's socket, is {length} bytes long, a Unix socket's path \
             may have {SOCKET_PATH_MAX}: write a shorter one, such as /var/lib/haa",
            socket.display()
        );
        self.refuse(at, says)
    }
}
