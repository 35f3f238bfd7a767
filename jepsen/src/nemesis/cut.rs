//! Links are cut in the bridge: established connections fall silent, and nobody is told.

use std::net::Ipv4Addr;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::hosts::net::{Net, Way, between};
use crate::hosts::{Lab, MEMBERS};

use super::kill::serde_word;
use super::{Cure, Wound};

/// Which links of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// To everybody.
    All,
    /// To everybody but its clients: it can be written to, and tell nobody.
    AllButClients,
    /// To etcd.
    Etcd,
    /// To the other members.
    Members,
    /// To the clients.
    Clients,
    /// What it sends to etcd and members is lost; what they send arrives.
    Outward,
    /// What etcd and members send to it is lost; what it sends arrives.
    Inward,
    /// It and one etcd on one side, the others on the other.
    Halves,
    /// A ring: it hears one neighbour and is heard by another.
    Ring,
}

impl Shape {
    pub(super) const ALL: [Self; 9] = [
        Self::All,
        Self::AllButClients,
        Self::Etcd,
        Self::Members,
        Self::Clients,
        Self::Outward,
        Self::Inward,
        Self::Halves,
        Self::Ring,
    ];
}

pub(super) fn strike(shape: Shape, member: &'static str, lab: &mut Lab) -> anyhow::Result<Wound> {
    let ways = ways(shape, member, lab)?;
    let before = lab.net.swallowed()?;
    lab.net.cut(&ways)?;
    let name = format!("cut {} of {member}", serde_word(&shape));
    Ok(Wound::new(name, None, Cure::Mend(ways, before)))
}

pub(super) fn ways(shape: Shape, member: &str, lab: &Lab) -> anyhow::Result<Vec<Way>> {
    let own = lab.addresses(&[member]);
    let names = lab.names();
    let where_ = |wanted: &dyn Fn(&str) -> bool| -> Vec<Ipv4Addr> {
        let names: Vec<&str> = names.iter().copied().filter(|name| wanted(name)).collect();
        lab.addresses(&names)
    };
    let is_etcd = |name: &str| name.starts_with('e');
    let is_other = |name: &str| name != member && MEMBERS.contains(&name);
    let me = *own.first().with_context(|| format!("no member {member}"))?;
    Ok(match shape {
        Shape::All => between(&own, &where_(&|_| true)),
        Shape::AllButClients => between(&own, &where_(&|name| name != "clients")),
        Shape::Etcd => between(&own, &where_(&is_etcd)),
        Shape::Members => between(&own, &where_(&is_other)),
        Shape::Clients => between(&own, &where_(&|name| name == "clients")),
        Shape::Outward | Shape::Inward => {
            let others = where_(&|name| is_etcd(name) || is_other(name));
            let way = |other| if shape == Shape::Outward { (me, other) } else { (other, me) };
            others.into_iter().map(way).collect()
        }
        Shape::Halves => {
            let with = where_(&|name| name == member || name == "e1");
            let rest = where_(&|name| is_other(name) || (is_etcd(name) && name != "e1"));
            Net::between_sides(&[with, rest])
        }
        Shape::Ring => {
            // a -> b -> c -> a pass; the other way round nothing does.
            let others = where_(&is_other);
            let [one, other] = others[..] else { anyhow::bail!("a ring needs three members") };
            vec![(one, me), (other, one), (me, other)]
        }
    })
}

pub(super) fn mend(ways: &[Way], before: u64, lab: &mut Lab) -> anyhow::Result<Option<String>> {
    let swallowed = lab.net.swallowed()?.saturating_sub(before);
    lab.net.mend(ways)?;
    Ok((swallowed > 0).then(|| format!("{swallowed} packets swallowed")))
}
