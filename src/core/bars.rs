//! What would come to nothing, or to half of what was asked for: any member can say so before anything is written down.
//! Whatever passes here is decided by the leader all the same.

use crate::routes::Status;
use crate::units::MemberName;

/// Whoever is out of use does not lead.
pub(crate) fn undrain_first(name: &MemberName) -> String {
    format!("{name} is drained: haactl undrain {name} comes first")
}

impl Status {
    /// Why a failover that names this member would come to nothing, in a sentence.
    #[must_use]
    pub fn bars_failover(&self, to: &MemberName) -> Option<String> {
        self.drained.contains(to).then(|| undrain_first(to))
    }

    /// Why a clone of this member would come to nothing, in a sentence.
    #[must_use]
    pub fn bars_reinit(&self, member: &MemberName) -> Option<String> {
        let why =
            format!("nobody leads, so there is nobody to clone {member} from: see haactl status");
        self.leader.is_none().then_some(why)
    }

    /// Why this one can never be who is copied for that member, in a sentence; nor at a time.
    #[must_use]
    pub fn bars_source(&self, member: &MemberName, from: &MemberName) -> Option<String> {
        if from == member {
            return Some(format!("{member} cannot be cloned from itself; name another"));
        }
        let why = "in a standby cluster each member is cloned from its leader, and that one from the other cluster";
        self.follows.is_some().then(|| why.to_owned())
    }

    /// Why everybody's restart at a time would end half-way, in a sentence: a standby cluster's leader is refused when
    /// its turn comes, for the switchover at the end stops nothing there; and no standby starts with less than its
    /// primary had.
    #[must_use]
    pub fn bars_rolling_plan(&self) -> Option<String> {
        if self.follows.is_some() {
            let why =
                "in a standby cluster not at a time; haactl restart --rolling does it at once";
            return Some(why.to_owned());
        }
        let (leader, _) = self.leader.as_ref()?;
        let own = self.postgres.as_ref().filter(|_| *leader == self.me);
        let heard = self.members.get(leader).and_then(|member| member.heard.as_ref());
        let heard = heard.map(|(_, beat)| &beat.parameters);
        let lower = &own.map(|facts| &facts.parameters).or(heard)?.lower().next()?.name;
        Some(format!(
            "{lower} is to be lower, which begins with the primary, and a rolling restart at a time ends with it: \
             haactl restart {leader} --in-place --at ..., and the rolling one once that is done"
        ))
    }
}
