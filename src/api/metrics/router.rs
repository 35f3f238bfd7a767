//! What the router counts, by port. Decides nothing.

use super::sheet::{Labels, Sheet, by};
use crate::router::{Shown, ShownPort as Port};

/// A number of a port: its name, its help, where it is.
type Column = (&'static str, &'static str, fn(&Port) -> u64);

const NOW: [Column; 2] = [
    ("haa_router_clients", "Clients now, those that are held among them", |port| port.clients),
    ("haa_router_held", "Clients held now", |port| port.held),
];

const EVER: [Column; 11] = [
    ("haa_router_accepted", "Connections of clients", |port| port.accepted),
    ("haa_router_held_ever", "Clients that were held for some time", |port| port.held_ever),
    ("haa_router_hold_expired", "Clients refused when their hold was over", |port| {
        port.hold_expired
    }),
    ("haa_router_sent_on", "Clients sent on to a server", |port| port.sent_on),
    ("haa_router_cut", "Clients cut because their server leads no more", |port| port.cut),
    ("haa_router_over_limit", "Clients refused because there were too many", |port| {
        port.over_limit
    }),
    ("haa_router_unreadable", "First packets that were none", |port| port.unreadable),
    ("haa_router_silent", "Clients closed before a whole first packet", |port| port.silent),
    ("haa_router_cancels", "Requests to cancel", |port| port.cancels),
    ("haa_router_bytes_to_server", "Bytes from clients to servers", |port| port.bytes_to_server),
    ("haa_router_bytes_to_client", "Bytes from servers to clients", |port| port.bytes_to_client),
];

pub(super) fn ports(sheet: &mut Sheet, shown: &Shown) {
    let ports = [("read_write", &shown.read_write), ("read_only", &shown.read_only)];
    let each = |value: fn(&Port) -> u64| ports.map(|(name, port)| (by("port", name), value(port)));
    for (name, help, value) in NOW {
        sheet.each(name, help, each(value));
    }
    for (name, help, value) in EVER {
        sheet.counted(name, help, each(value));
    }
    let servers = ports.into_iter().flat_map(|(name, port)| {
        port.servers.iter().map(move |(member, now)| -> (Labels, u64) {
            (vec![("port", name.to_owned()), ("member", member.to_string())], *now)
        })
    });
    sheet.each("haa_router_connections", "Connections to each server now", servers);
}
