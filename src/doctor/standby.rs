//! What follows from what the cluster that ours follows says of itself. Judges facts; never asks.

use haa_core::routes::Follows;
use haa_core::site::Site;

use crate::postgres::{Abroad, Said, SlotThere, shown_version};

use super::Finding;

/// What of our own is compared with theirs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Own {
    /// Our server's `server_version_num`, if it said.
    pub(super) version: Option<u32>,
    /// Whose data ours are, if there are any.
    pub(super) system_id: Option<String>,
}

/// Of a cluster that follows another.
pub(super) fn findings(follows: &Follows, own: &Own, there: &[Abroad]) -> Vec<Finding> {
    let site = &follows.site;
    let answered: Vec<(&Abroad, &Said)> =
        there.iter().filter_map(|one| Some((one, one.said.as_ref().ok()?))).collect();
    let mut found: Vec<Finding> =
        there.iter().filter_map(|one| silent(one, answered.is_empty())).collect();
    let writers: Vec<_> = answered.iter().filter(|(_, said)| !said.in_recovery).collect();
    if writers.is_empty() && !answered.is_empty() {
        found.push(Finding::problem(
            format!("nobody of the cluster at {site}, which this one follows, accepts writes"),
            "a standby cluster streams from whoever does: nothing new comes",
            "haactl status there; name all of its members (haactl demote-cluster --to, given here). If that site \
             is lost: haactl promote-cluster here",
        ));
    }
    if let [(one, _), (other, _), ..] = writers[..] {
        found.push(Finding::problem(
            format!(
                "both {} and {} accept writes, and this cluster follows either",
                one.at, other.at
            ),
            "they are no members of one cluster, or somebody promoted one by hand",
            "name the members of one cluster only: haactl demote-cluster --to, given here",
        ));
    }
    found.extend(answered.iter().filter_map(|(one, said)| other_data(one, said, own)));
    found.extend(writers.first().and_then(|(one, said)| slot(site, one, said.slot)));
    if let Some(name) = &site.slot {
        let lacks = |(one, said): &(&Abroad, &Said)| {
            (said.in_recovery && said.slot.is_none()).then(|| {
                Finding::advice(
                    format!("{} has no slot {name}, which this cluster uses on its primary", one.at),
                    "after a failover to it nothing holds WAL for this cluster until somebody makes the slot",
                    format!("at that site: haactl settings set slots.{name}=physical"),
                )
            })
        };
        found.extend(answered.iter().filter_map(lacks));
    }
    // On its leader.
    if follows.dry_since.is_some() && !writers.is_empty() {
        found.push(Finding::problem(
            format!("nothing comes from the cluster at {site}, though somebody there accepts writes"),
            "the role for replication is refused there, the WAL that comes next is gone there, or a failover there has \
             left behind WAL that is here",
            "the log of this member's Postgres says which: correct the role, its password or postgres.hba there; in \
             the other two cases haactl reinit, with this member's name",
        ));
    }
    found
}

fn silent(Abroad { at, said }: &Abroad, all: bool) -> Option<Finding> {
    let why = said.as_ref().err()?;
    let what = format!("{at} of the cluster that this one follows could not be asked: {why}");
    Some(if all {
        Finding::problem(
            what,
            "nobody of the other cluster answers: nothing new comes, and what it commits may be lost with it",
            "haactl status there, and the network between the sites; if that site is lost for good: haactl \
             promote-cluster here",
        )
    } else {
        Finding::advice(
            what,
            "should it lead there, this cluster could not follow it",
            "start it, or let this member's address and the role for rewinding in there; if it is no member any \
             more: haactl demote-cluster --to, given here, with those that are",
        )
    })
}

fn other_data(one: &Abroad, said: &Said, own: &Own) -> Option<Finding> {
    if own.system_id.as_ref().is_some_and(|own| *own != said.system_id) {
        return Some(Finding::problem(
            format!(
                "{} belongs to the database system {}, and these data do not",
                one.at, said.system_id
            ),
            "a standby follows the cluster that it is a copy of, and no other",
            "name the members of that one: haactl demote-cluster --to, given here",
        ));
    }
    let major = |version: u32| version / 10_000;
    let version = own.version.filter(|own| major(*own) != major(said.version))?;
    Some(Finding::problem(
        format!(
            "{} runs PostgreSQL {}, and this member {}",
            one.at,
            shown_version(said.version),
            shown_version(version)
        ),
        "WAL of one major version cannot be replayed by another",
        "run the same major version at both sites",
    ))
}

/// What holds the WAL that we have not received yet, where we stream from.
fn slot(site: &Site, one: &Abroad, there: Option<SlotThere>) -> Option<Finding> {
    let Some(name) = &site.slot else {
        return Some(Finding::advice(
            format!("no slot holds WAL for this cluster at {site}"),
            "once this site was away for longer than the other one keeps WAL, it has to be copied anew",
            format!(
                "at that site: haactl settings set slots.NAME=physical; then here: haactl demote-cluster --to {site} \
                 --slot NAME"
            ),
        ));
    };
    let make = format!("at that site: haactl settings set slots.{name}=physical");
    let (what, why, remedy) = match there {
        None => ("is not there", "Postgres gives nothing to who asks for a slot that is not there", make),
        Some(SlotThere { logical: true, .. }) => {
            ("is a logical one", "WAL is streamed through physical slots only", format!("{make}, by another name"))
        }
        Some(SlotThere { lost: true, .. }) => (
            "has lost WAL that this cluster has not received",
            "this cluster cannot go on from where it is",
            "haactl reinit of this cluster's leader, which copies the other one anew; and raise max_slot_wal_keep_size \
             there"
                .to_owned(),
        ),
        Some(SlotThere { .. }) => return None,
    };
    Some(Finding::problem(
        format!("the slot {name} on {}, which this cluster uses, {what}", one.at),
        why,
        remedy,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity::{self, Advice, Problem};

    fn follows(slot: Option<&str>) -> Follows {
        let hosts = ["a1:5432", "a2:5432"].map(|at| at.parse().expect("an address")).to_vec();
        let site = Site { hosts, slot: slot.map(str::to_owned) };
        Follows { site, until: None, dry_since: None }
    }

    fn said(in_recovery: bool) -> Said {
        let slot = Some(SlotThere::default());
        Said { version: 150_018, in_recovery, system_id: "7".to_owned(), slot }
    }

    fn there(said: [Result<Said, String>; 2]) -> Vec<Abroad> {
        let hosts = follows(None).site.hosts.into_iter();
        hosts.zip(said).map(|(at, said)| Abroad { at, said }).collect()
    }

    fn own() -> Own {
        Own { version: Some(150_001), system_id: Some("7".to_owned()) }
    }

    fn found(follows: &Follows, said: [Result<Said, String>; 2]) -> Vec<(Severity, String)> {
        let found = findings(follows, &own(), &there(said)).into_iter();
        found.map(|one| (one.severity, one.what)).collect()
    }

    #[test]
    fn a_cluster_that_is_followed_as_it_should_be_has_nothing() {
        assert_eq!(found(&follows(Some("b")), [Ok(said(false)), Ok(said(true))]), []);
    }

    #[test]
    fn each_fault_of_the_other_site_has_its_finding() {
        let silent = || Err("it is away".to_owned());
        let without = |in_recovery| Ok(Said { slot: None, ..said(in_recovery) });
        let with = |slot| Ok(Said { slot: Some(slot), ..said(false) });
        let lost = SlotThere { lost: true, logical: false };
        let logical = SlotThere { lost: false, logical: true };
        for (answers, severity, says) in [
            (
                [Ok(said(false)), silent()],
                Advice,
                "a2:5432 of the cluster that this one follows could not be asked",
            ),
            ([Ok(said(true)), Ok(said(true))], Problem, "nobody of the cluster at a1:5432,a2:5432"),
            ([Ok(said(false)), Ok(said(false))], Problem, "both a1:5432 and a2:5432 accept writes"),
            (
                [without(false), Ok(said(true))],
                Problem,
                "the slot b on a1:5432, which this cluster uses, is not there",
            ),
            ([with(lost), Ok(said(true))], Problem, "has lost WAL"),
            ([with(logical), Ok(said(true))], Problem, "is a logical one"),
            ([Ok(said(false)), without(true)], Advice, "a2:5432 has no slot b"),
            (
                [Ok(Said { version: 160_000, ..said(false) }), Ok(said(true))],
                Problem,
                "a1:5432 runs PostgreSQL 16.0, and this member 15.1",
            ),
            (
                [Ok(Said { system_id: "8".to_owned(), ..said(false) }), Ok(said(true))],
                Problem,
                "a1:5432 belongs to the database system 8",
            ),
        ] {
            let all = found(&follows(Some("b")), answers);
            assert_eq!(all.len(), 1, "{says}: {all:?}");
            assert!(all[0].0 == severity && all[0].1.contains(says), "{says}: {all:?}");
        }
        let all = found(&follows(Some("b")), [silent(), silent()]);
        assert!(all.len() == 2 && all.iter().all(|one| one.0 == Problem), "{all:?}");
        let all = found(&follows(None), [Ok(said(false)), Ok(said(true))]);
        assert!(
            all.len() == 1 && all[0].0 == Advice && all[0].1.contains("no slot holds WAL"),
            "{all:?}"
        );
        let dry = Follows { dry_since: Some(haa_core::units::Millis(1)), ..follows(Some("b")) };
        let all = found(&dry, [Ok(said(false)), Ok(said(true))]);
        assert!(
            all.len() == 1 && all[0].0 == Problem && all[0].1.contains("nothing comes"),
            "{all:?}"
        );
    }
}
