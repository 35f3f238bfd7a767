//! What follows from the reports of all members, one beside the other. Judges facts; never asks.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Finding, Report, Severity};
use crate::postgres::shown_version;

/// Wall clocks that differ by more are told.
const CLOCKS_MS: u64 = 1_000;

/// One member, as it was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its name.
    pub member: String,
    /// What it answered; else why nothing.
    pub report: Result<Report, String>,
    /// How far its wall clock is ahead of ours, in milliseconds, if it answered.
    pub clock: Option<i64>,
}

/// A finding with those whom it is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct About {
    /// How bad.
    pub severity: Severity,
    /// Whom; empty: the cluster as a whole.
    pub members: BTreeSet<String>,
    /// What is so.
    pub what: String,
    /// Why it matters.
    pub why: String,
    /// What to do.
    pub remedy: String,
}

/// Everything that was found: problems first. What several members say is said once.
#[must_use]
pub fn findings(asked: &[Asked]) -> Vec<About> {
    let mut whose: BTreeMap<Finding, BTreeSet<String>> = BTreeMap::new();
    for one in asked {
        let own = match &one.report {
            Ok(report) => report.findings.clone(),
            Err(why) => vec![silent(why)],
        };
        for finding in own {
            whose.entry(finding).or_default().insert(one.member.clone());
        }
    }
    for finding in common(asked) {
        whose.entry(finding).or_default();
    }
    let about = |(finding, members): (Finding, BTreeSet<String>)| About {
        severity: finding.severity,
        members,
        what: finding.what,
        why: finding.why,
        remedy: finding.remedy,
    };
    let mut found: Vec<About> = whose.into_iter().map(about).collect();
    found.sort();
    found
}

fn silent(why: &str) -> Finding {
    Finding::problem(
        format!("could not be examined: {why}"),
        "what only this member knows was not looked at",
        "systemctl status haad on its host; then run haactl doctor again",
    )
}

fn common(asked: &[Asked]) -> Vec<Finding> {
    let reports: Vec<&Report> = asked.iter().filter_map(|one| one.report.as_ref().ok()).collect();
    let mut found = Vec::new();
    let releases = by(&reports, |report| Some(report.version.clone()));
    if releases.len() > 1 {
        found.push(Finding::advice(
            format!("members run different releases of haad: {}", shown(&releases)),
            "that is meant for the time of an upgrade only",
            "install the newest on all, and restart their haad, one after the other, replicas first",
        ));
    }
    let servers = by(&reports, |report| report.server_version.map(shown_version));
    if servers.len() > 1 {
        found.push(Finding::advice(
            format!("members run different releases of PostgreSQL: {}", shown(&servers)),
            "what was mended in the newer one is broken again after a failover to the older one",
            "install the newest on all, then haactl restart --rolling",
        ));
    }
    let leads = |report: &&&Report| !report.nofailover && report.replicatefrom.is_none();
    let may_lead = reports.iter().filter(leads).count();
    let may_vote = reports.iter().filter(|report| !report.never_votes).count();
    let quorum = reports.iter().any(|report| report.quorum);
    let whole = asked.len() > 1 && reports.len() == asked.len();
    let too_few = |count: usize, from: &str, why: &str| {
        let who = if count == 0 { "every member" } else { "every member but one" };
        let remedy = "take these tags away from at least two members, then haactl reload";
        (whole && count < 2)
            .then(|| Finding::problem(format!("{who} is kept from {from}"), why, remedy))
    };
    found.extend(too_few(
        may_lead,
        "leading by its tags (nofailover, nostream, replicatefrom)",
        "when the primary is lost, nobody may lead",
    ));
    if quorum {
        found.extend(too_few(
            may_vote,
            "voting by its tags (nofailover, nosync, nostream, replicatefrom)",
            "in quorum commits wait for another voter, and only a voter may lead",
        ));
    }
    found.extend(upstreams(asked, &reports));
    found.extend(clocks(asked));
    found
}

/// Members that are to stream from one that is not there, or from themselves in the end.
fn upstreams(asked: &[Asked], reports: &[&Report]) -> Vec<Finding> {
    let of = |member: &str| {
        let report = reports.iter().find(|report| report.member == member);
        report.and_then(|report| report.replicatefrom.clone())
    };
    let ail = |report: &&Report| {
        let (name, from) = (&report.member, report.replicatefrom.clone()?);
        let rings = std::iter::successors(Some(from.clone()), |at| of(at))
            .take(reports.len())
            .any(|at| at == *name);
        let what = if rings {
            format!("{name} is to stream from {from}, which is to stream from {name} in the end")
        } else if asked.iter().any(|one| one.member == from) {
            return None;
        } else {
            format!("{name} is to stream from {from}, and there is no member {from}")
        };
        Some(Finding::advice(
            what,
            "it streams from the primary instead",
            "name a member in its tags.replicatefrom that streams from the primary, then haactl reload",
        ))
    };
    reports.iter().filter_map(ail).collect()
}

/// Who has which value.
fn by(
    reports: &[&Report],
    value: impl Fn(&Report) -> Option<String>,
) -> BTreeMap<String, Vec<String>> {
    let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for report in reports {
        if let Some(value) = value(report) {
            values.entry(value).or_default().push(report.member.clone());
        }
    }
    values
}

fn shown(values: &BTreeMap<String, Vec<String>>) -> String {
    let one =
        |(value, members): (&String, &Vec<String>)| format!("{value} ({})", members.join(", "));
    values.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn clocks(asked: &[Asked]) -> Option<Finding> {
    let clocks = || asked.iter().filter_map(|one| Some((one.clock?, &one.member)));
    let ((least, behind), (most, ahead)) = (clocks().min()?, clocks().max()?);
    let apart = most.abs_diff(least);
    (apart > CLOCKS_MS).then(|| {
        Finding::advice(
            format!(
                "the wall clock of {ahead} is {}.{} s ahead of that of {behind}",
                apart / 1_000,
                apart % 1_000 / 100,
            ),
            "haa compares no wall clocks; logs, now() and certificates of the members do",
            "run an NTP client on every member, such as chrony",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(member: &str) -> Report {
        Report {
            member: member.to_owned(),
            version: "0.1.0".to_owned(),
            server_version: Some(150_004),
            ..Report::default()
        }
    }

    fn asked(report: Report) -> Asked {
        Asked { member: report.member.clone(), report: Ok(report), clock: Some(0) }
    }

    fn says(asked: &[Asked]) -> Vec<String> {
        findings(asked).into_iter().map(|about| about.what).collect()
    }

    #[test]
    fn members_that_are_alike_have_nothing() {
        assert_eq!(says(&["n1", "n2", "n3"].map(report).map(asked)), Vec::<String>::new());
    }

    #[test]
    fn what_differs_is_told_with_who_has_what() {
        let older = Report { version: "0.0.9".to_owned(), ..report("n2") };
        let server = Report { server_version: Some(150_003), ..report("n3") };
        assert_eq!(
            says(&[report("n1"), older, server].map(asked)),
            [
                "members run different releases of PostgreSQL: 15.3 (n3), 15.4 (n1, n2)",
                "members run different releases of haad: 0.0.9 (n2), 0.1.0 (n1, n3)",
            ]
        );
    }

    #[test]
    fn clocks_that_differ_by_more_than_the_way_explains_are_told() {
        let with = |clock| Asked { clock: Some(clock), ..asked(report("n2")) };
        assert_eq!(says(&[asked(report("n1")), with(900)]), Vec::<String>::new());
        assert_eq!(
            says(&[asked(report("n1")), with(-2_500)]),
            ["the wall clock of n1 is 2.5 s ahead of that of n2"]
        );
    }

    #[test]
    fn nobody_who_may_lead_is_a_problem_once_all_have_spoken() {
        let barred = |name| Report { nofailover: true, ..report(name) };
        assert_eq!(
            says(&[report("n1"), barred("n2")].map(asked)),
            [
                "every member but one is kept from leading by its tags (nofailover, nostream, replicatefrom)"
            ]
        );
        assert_eq!(
            says(&[barred("n1"), barred("n2")].map(asked)),
            ["every member is kept from leading by its tags (nofailover, nostream, replicatefrom)"]
        );
        let mute = |name| Report { never_votes: true, quorum: true, ..report(name) };
        assert_eq!(
            says(&[report("n1"), mute("n2")].map(asked)),
            [
                "every member but one is kept from voting by its tags (nofailover, nosync, nostream, replicatefrom)"
            ]
        );
        assert!(says(&[report("n1"), mute("n2"), report("n3")].map(asked)).is_empty());
        let from =
            |name, from: &str| Report { replicatefrom: Some(from.to_owned()), ..report(name) };
        assert_eq!(
            says(
                &[report("n1"), report("n5"), from("n2", "n3"), from("n3", "n2"), from("n4", "n1")]
                    .map(asked)
            ),
            [
                "n2 is to stream from n3, which is to stream from n2 in the end",
                "n3 is to stream from n2, which is to stream from n3 in the end",
            ]
        );
        assert_eq!(
            says(&[report("n1"), report("n5"), from("n2", "n9")].map(asked)),
            ["n2 is to stream from n9, and there is no member n9"]
        );
        let idle = Report { quorum: false, ..mute("n2") };
        assert!(says(&[report("n1"), idle].map(asked)).is_empty());
        let lost = Asked { report: Err("refused".to_owned()), ..asked(report("n2")) };
        assert_eq!(says(&[asked(barred("n1")), lost]), ["could not be examined: refused"]);
    }

    #[test]
    fn what_several_find_is_said_once_and_problems_first() {
        let ill = |name: &str| Report {
            findings: vec![Finding::advice("a", "", ""), Finding::problem("z", "", "")],
            ..report(name)
        };
        let found = findings(&["n1", "n2"].map(ill).map(asked));
        let told: Vec<(&str, usize)> =
            found.iter().map(|about| (about.what.as_str(), about.members.len())).collect();
        assert_eq!(told, [("z", 2), ("a", 2)]);
    }
}
