//! Power is lost, of one host or of all members' at once, and comes back: what was not synced is gone.

use serde::{Deserialize, Serialize};

use crate::hosts::{Lab, MEMBERS};

use super::{Cure, Wound};

/// Of whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Extent {
    /// The target's host.
    Host,
    /// All members' hosts, in one moment.
    All,
}

impl Extent {
    pub(super) const ALL: [Self; 2] = [Self::Host, Self::All];
}

pub(crate) fn strike(extent: Extent, member: &'static str, lab: &mut Lab) -> anyhow::Result<Wound> {
    let all = match extent {
        Extent::Host => vec![member],
        Extent::All => MEMBERS.to_vec(),
    };
    // Another fault may have taken it already.
    let all: Vec<&'static str> =
        all.into_iter().filter(|name| lab.has_power(name).unwrap_or(false)).collect();
    let name = format!("power of {}", all.join(" "));
    if all.is_empty() {
        return Ok(Wound::new(name, None, Cure::None));
    }
    let proof = lab.cut_power(&all)?;
    Ok(Wound::new(name, Some(proof), Cure::Power(all)))
}

pub(super) fn heal(names: &[&'static str], lab: &mut Lab) -> anyhow::Result<Option<String>> {
    names.iter().try_for_each(|name| lab.restore_power(name)).map(|()| None)
}
