//! Another cluster, which this one follows: where its members listen. Never how anybody logs in there.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::units::Address;

/// Another cluster. Whichever of its members accepts writes is streamed from: a failover there is followed without a
/// word from here.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Site {
    /// Where the Postgres of each of its members listens; never empty.
    pub hosts: Vec<Address>,
    /// Which replication slot to use there, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
}

impl Site {
    /// All of its members as one address, for comparing: no server listens on port 0.
    #[must_use]
    pub fn address(&self) -> Address {
        Address { host: self.to_string(), port: 0 }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<String> = self.hosts.iter().map(Address::to_string).collect();
        f.write_str(&hosts.join(","))
    }
}
