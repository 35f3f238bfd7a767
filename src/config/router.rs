//! `[router]`: its ports, limits and spans. Never opens a port.

use std::time::Duration;

use haa_core::units::Address;

use super::Router;
use super::check::Checker;
use super::error::At;
use super::file::{RouterFile, Said, Text};

/// An agent that is asked to stop has 45 s for everything.
const LONGEST_DRAIN: Duration = Duration::from_secs(30);
const LONGEST_HOLD: Duration = Duration::from_secs(3600);

impl Checker<'_> {
    /// `[router]`; `Some(None)`: there is none. `taken`: the ports of others, with their keys.
    #[allow(clippy::option_option, reason = "the outer one is 'refused', as everywhere in Checker")]
    pub(super) fn router(
        &mut self,
        section: Option<&Said<RouterFile>>,
        taken: &[(&'static str, u16)],
    ) -> Option<Option<Router>> {
        let Some(section) = section else { return Some(None) };
        let (at, file) = (self.source.of(section), section.value());
        let mut taken = taken.to_vec();
        let before = self.problems.len();
        let read_write =
            self.router_port("router.read_write", file.read_write.as_ref(), &mut taken);
        let read_only = self.router_port("router.read_only", file.read_only.as_ref(), &mut taken);
        let max_connections =
            self.router_number("router.max_connections", file.max_connections.as_ref(), 1_000);
        let max_held = self.router_number("router.max_held", file.max_held.as_ref(), 1_000);
        let hold = self.router_span("router.hold", file.hold.as_ref(), (10, LONGEST_HOLD));
        let drain = self.router_span("router.drain", file.drain.as_ref(), (5, LONGEST_DRAIN));
        if self.problems.len() > before {
            return None;
        }
        if read_write.is_none() && read_only.is_none() {
            return self.without_port(file, at);
        }
        Some(Some(Router {
            read_write,
            read_only,
            max_connections: max_connections?,
            max_held: max_held?,
            hold: hold?,
            drain: drain?,
        }))
    }

    /// An empty section is as good as none; limits for nothing are a mistake.
    #[allow(clippy::option_option, reason = "the outer one is 'refused', as everywhere in Checker")]
    fn without_port(&mut self, file: &RouterFile, at: At) -> Option<Option<Router>> {
        let spans = [&file.hold, &file.drain].into_iter().any(Option::is_some);
        if !spans && file.max_connections.is_none() && file.max_held.is_none() {
            return Some(None);
        }
        let says = "router has limits, but no port: under [router] write \
                    read_write = \"0.0.0.0:5000\", or remove the section";
        self.refuse(at, says.to_owned())
    }

    fn router_port(
        &mut self,
        key: &'static str,
        said: Option<&Text>,
        taken: &mut Vec<(&'static str, u16)>,
    ) -> Option<Address> {
        let said = said?;
        let address = self.address(key, said)?;
        if address.host == "*" {
            let says = format!("{key}: '*' is not an address: write 0.0.0.0 or [::]");
            return self.refuse_said(said, says);
        }
        let port = address.port;
        if let Some((other, _)) = taken.iter().find(|(_, known)| *known == port) {
            let says = format!("{key}: port {port} is that of {other}: give one of them another");
            return self.refuse_said(said, says);
        }
        taken.push((key, port));
        Some(address)
    }

    fn router_number(&mut self, key: &str, said: Option<&Said<u32>>, usual: u64) -> Option<u64> {
        match said.map(|said| (said, *said.value())) {
            None => Some(usual),
            Some((said, 0)) => {
                self.refuse_said(said, format!("{key}: 0 lets nobody in: write 1 or more"))
            }
            Some((_, number)) => Some(u64::from(number)),
        }
    }

    fn router_span(
        &mut self,
        key: &str,
        said: Option<&Text>,
        (usual, longest): (u64, Duration),
    ) -> Option<Duration> {
        let Some(said) = said else { return Some(Duration::from_secs(usual)) };
        let span = self.span(key, said)?;
        if span <= longest {
            return Some(span);
        }
        let longest = humantime::format_duration(longest);
        let says = format!("{key}: '{}' is too long: at most {longest}", said.value());
        self.refuse_said(said, says)
    }
}
