//! What a run's hosts are to be, and where clients find them. Only wishes and addresses; nothing is made here.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use haa_core::units::Address;

/// What keeps the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum System {
    /// haa: the given haad, unchanged
    Haa,
    /// Patroni, from a virtual environment
    Patroni,
}

/// What is to be made.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who keeps the cluster.
    pub system: System,
    /// How many etcd: 1 or 3.
    pub etcds: u8,
    /// Where haad is, or Patroni's virtual environment.
    pub program: PathBuf,
    /// What a new cluster begins with: `[settings]` of haad.toml, or Patroni's `bootstrap.dcs`.
    pub settings: toml::Table,
    /// The size of a file system of its own for each member's data, if disks are to be broken.
    pub disk_mb: Option<u64>,
    /// Members read their wall clock through libfaketime.
    pub faketime: Option<PathBuf>,
    /// A shim stands before the members' fsync.
    pub fsync: bool,
    /// What an agent promised lies on the disk that its member's data are on, and loses power with it.
    pub state_on_disk: bool,
    /// Another haad, or the same one, that agents can be started from instead.
    pub upgrade: Option<PathBuf>,
    /// What chance decides of faults while they act follows from it: which packet is lost.
    pub seed: u64,
    /// Agents have a router, for clients that come by it.
    pub router: bool,
    /// The guard stands beside the agent; without it nobody closes writes when the agent is frozen or dead.
    pub guard: bool,
}

/// Members, always three.
pub const MEMBERS: [&str; 3] = ["n1", "n2", "n3"];
/// Where the network is. The bridge has no way out, so that nobody else's network matters.
const NET: [u8; 3] = [10, 99, 0];
/// Every member's Postgres.
pub(super) const POSTGRES: u16 = 5432;
/// Every member's agent.
pub(super) const API: u16 = 8008;
/// Every member's router, to whoever leads.
pub(super) const ROUTER: u16 = 5000;

/// The address of the host with this number.
#[must_use]
pub(super) fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(NET[0], NET[1], NET[2], last)
}

impl Plan {
    /// The hosts by name: members, etcd, clients, and the one we look from, which no fault touches.
    #[must_use]
    pub fn hosts(&self) -> Vec<(&'static str, Ipv4Addr)> {
        let etcds = ["e1", "e2", "e3"].into_iter().take(usize::from(self.etcds));
        let members = MEMBERS.into_iter().zip(11..).map(|(name, last)| (name, address(last)));
        let etcds = etcds.zip(21..).map(|(name, last)| (name, address(last)));
        let ours = [("clients", address(31)), ("watch", address(41))];
        members.chain(etcds).chain(ours).collect()
    }

    /// Postgres' parameters in the settings.
    #[must_use]
    pub(super) fn common_parameters(&self) -> Option<&toml::Table> {
        self.settings.get("postgres")?.get("parameters")?.as_table()
    }
}

/// Where one member is, for clients and for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The member.
    pub member: &'static str,
    /// Its Postgres.
    pub postgres: Address,
    /// Its agent.
    pub api: Address,
    /// Its router, if agents have one.
    pub router: Address,
}

/// The places of all members.
#[must_use]
pub fn places() -> Vec<Place> {
    let of = |(member, last): (&'static str, u8)| {
        let host = address(last).to_string();
        let postgres = Address { host: host.clone(), port: POSTGRES };
        let router = Address { host: host.clone(), port: ROUTER };
        Place { member, postgres, api: Address { host, port: API }, router }
    };
    MEMBERS.into_iter().zip(11..).map(of).collect()
}
