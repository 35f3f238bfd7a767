//! The network: one namespace a host, joined by a bridge in a namespace of its own, and cuts between addresses.
//! Makes no device and no rule in the machine's own namespace.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use anyhow::Context as _;

use super::tools::run;

/// Names of namespaces begin so; `clean` looks for nothing else.
pub const MARK: &str = "haaj";

/// One direction between two addresses.
pub type Way = (Ipv4Addr, Ipv4Addr);

/// The network of one run. Dropping it removes nothing: `clean` does.
#[derive(Debug)]
pub struct Net {
    prefix: String,
    /// How many cuts each direction is part of.
    cut: BTreeMap<Way, u32>,
}

impl Net {
    /// Makes the bridge and a namespace for each of these hosts.
    ///
    /// # Errors
    /// When the kernel or `ip` does not do it.
    pub fn create(prefix: &str, hosts: &[(&str, Ipv4Addr)]) -> anyhow::Result<Self> {
        let net = Self { prefix: prefix.to_owned(), cut: BTreeMap::new() };
        let bridge = net.name("bridge");
        run(&["ip", "netns", "add", &bridge])?;
        run(&["ip", "-n", &bridge, "link", "add", "br0", "type", "bridge", "stp_state", "0"])?;
        run(&["ip", "-n", &bridge, "link", "set", "br0", "up"])?;
        run(&["ip", "netns", "exec", &bridge, "nft", RULES])?;
        for (host, address) in hosts {
            net.plug(host, *address).with_context(|| format!("host {host} cannot be made"))?;
        }
        Ok(net)
    }

    /// The namespace of a host.
    #[must_use]
    pub fn name(&self, host: &str) -> String {
        format!("{}-{host}", self.prefix)
    }

    fn plug(&self, host: &str, address: Ipv4Addr) -> anyhow::Result<()> {
        let (space, bridge) = (self.name(host), self.name("bridge"));
        let port = format!("p-{host}");
        run(&["ip", "netns", "add", &space])?;
        let pair = ["link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &space];
        run(&[&["ip", "-n", &bridge][..], &pair].concat())?;
        run(&["ip", "-n", &bridge, "link", "set", &port, "master", "br0", "up"])?;
        run(&["ip", "-n", &space, "address", "add", &format!("{address}/24"), "dev", "eth0"])?;
        run(&["ip", "-n", &space, "link", "set", "eth0", "up"])?;
        run(&["ip", "-n", &space, "link", "set", "lo", "up"]).map(drop)
    }

    /// Lets no packet pass in these directions.
    ///
    /// # Errors
    /// When the filter cannot be changed.
    pub fn cut(&mut self, ways: &[Way]) -> anyhow::Result<()> {
        let whole = |way: &&Way| !self.cut.contains_key(*way);
        let new: Vec<Way> = ways.iter().filter(whole).copied().collect();
        self.elements("add", &new)?;
        for way in ways {
            *self.cut.entry(*way).or_default() += 1;
        }
        Ok(())
    }

    /// Takes back one cut of these directions; packets pass where no other is left.
    ///
    /// # Errors
    /// When the filter cannot be changed.
    pub fn mend(&mut self, ways: &[Way]) -> anyhow::Result<()> {
        let last = |way: &&Way| self.cut.get(*way) == Some(&1);
        let whole: Vec<Way> = ways.iter().filter(last).copied().collect();
        self.elements("delete", &whole)?;
        for way in ways {
            if let Some(count) = self.cut.get_mut(way) {
                *count = count.saturating_sub(1);
            }
        }
        self.cut.retain(|_, count| *count > 0);
        Ok(())
    }

    /// Takes back all cuts.
    ///
    /// # Errors
    /// When the filter cannot be changed.
    pub fn mend_all(&mut self) -> anyhow::Result<()> {
        self.cut.clear();
        let flush = ["nft", "flush", "set", "bridge", "haaj", "cut"];
        run(&[&["ip", "netns", "exec", &self.name("bridge")][..], &flush].concat()).map(drop)
    }

    /// How many packets the cuts have swallowed since the beginning: the proof that they act.
    ///
    /// # Errors
    /// When the filter cannot be read.
    pub fn swallowed(&self) -> anyhow::Result<u64> {
        let list = ["nft", "-j", "list", "counter", "bridge", "haaj", "swallowed"];
        let text = run(&[&["ip", "netns", "exec", &self.name("bridge")][..], &list].concat())?;
        let document: serde_json::Value =
            serde_json::from_str(&text).context("nft's JSON does not read")?;
        let parts = document["nftables"].as_array().into_iter().flatten();
        let mut counters = parts.filter_map(|part| part["counter"]["packets"].as_u64());
        counters.next().context("nft names no counter")
    }

    /// Every direction between all of these, but for the ones that share a side.
    #[must_use]
    pub fn between_sides(sides: &[Vec<Ipv4Addr>]) -> Vec<Way> {
        let pairs = sides.iter().enumerate().flat_map(|(number, one)| {
            sides[number + 1..].iter().flat_map(move |other| between(one, other))
        });
        pairs.collect()
    }

    fn elements(&self, verb: &str, ways: &[Way]) -> anyhow::Result<()> {
        if ways.is_empty() {
            return Ok(());
        }
        let all: Vec<String> = ways.iter().map(|(from, to)| format!("{from} . {to}")).collect();
        let rule = format!("{verb} element bridge haaj cut {{ {} }}", all.join(", "));
        run(&["ip", "netns", "exec", &self.name("bridge"), "nft", &rule]).map(drop)
    }
}

/// What is in the set passes the bridge in no way; everything else does.
const RULES: &str = "\
add table bridge haaj; \
add counter bridge haaj swallowed; \
add set bridge haaj cut { type ipv4_addr . ipv4_addr; }; \
add chain bridge haaj forward { type filter hook forward priority 0; policy accept; }; \
add rule bridge haaj forward ip saddr . ip daddr @cut counter name swallowed drop";

/// Both directions between each of the one and each of the other.
#[must_use]
pub fn between(one: &[Ipv4Addr], other: &[Ipv4Addr]) -> Vec<Way> {
    let pairs = one.iter().flat_map(|a| other.iter().map(move |b| (*a, *b)));
    pairs.filter(|(a, b)| a != b).flat_map(|(a, b)| [(a, b), (b, a)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_go_both_directions_and_never_home() {
        let address = |last| Ipv4Addr::new(10, 0, 0, last);
        let ways = between(&[address(1)], &[address(1), address(2)]);
        assert_eq!(ways, [(address(1), address(2)), (address(2), address(1))]);
    }
}
