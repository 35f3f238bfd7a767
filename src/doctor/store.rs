//! What follows from what etcd said of itself, and from how quickly. Judges facts; never asks.

use crate::config::size::readable as bytes;
use crate::store::{Examined, Said, may_revoke_early, numbers};

use super::{Finding, Severity, Spread, readable};

/// etcd's database may grow to this unless it is told otherwise (`--quota-backend-bytes`).
const USUAL_QUOTA: u64 = 2 << 30;
/// A read that takes longer eats into the lease.
const SLOW_US: u64 = 100_000;
/// The oldest release that is known to work.
const OLDEST: (u32, u32, u32) = (3, 4, 0);
/// What etcd's own list of releases asks for at least, of 3.5.
const SOUND: (u32, u32, u32) = (3, 5, 6);

/// Of this etcd, as this member reaches it.
pub(super) fn findings(said: &Examined) -> Vec<Finding> {
    let mut found = Vec::new();
    let named = said.endpoints.len();
    match said.members {
        Ok(members @ (1 | 2)) => found.push(Finding::problem(
            format!("etcd has {members} member(s)"),
            "when one of them is lost, nobody can be elected, and settings and commands wait",
            "give etcd three members, on hosts of their own, and name all in etcd.endpoints",
        )),
        Ok(members) if named < members => found.push(Finding::advice(
            format!("etcd has {members} members, and haad.toml names {named}"),
            "if those that are named are down, this member is without etcd, though etcd works",
            "name all of them in etcd.endpoints, and restart this member's haad",
        )),
        Ok(_) => {}
        Err(ref why) => found.push(Finding::unseen(
            "how many members etcd has",
            why,
            "look at etcd: etcdctl member list, as the user of etcd.user",
        )),
    }
    if let Ok(members) = said.members
        && members > 2
        && members % 2 == 0
    {
        found.push(Finding::advice(
            format!("etcd has {members} members"),
            "it bears the loss of no more of them than one member less would",
            "give it an odd number of members",
        ));
    }
    for seen in &said.endpoints {
        match &seen.said {
            Ok(one) => {
                found.extend(release(&one.version));
                found.extend(room(&seen.endpoint, one));
            }
            Err(why) => found.push(Finding::problem(
                format!("{}: {why}", seen.endpoint),
                "as long as the others answer nothing is lost; the next of them may be one too many",
                "start that etcd, or correct etcd.endpoints",
            )),
        }
    }
    if let Err(why) = &said.reads {
        found.push(Finding::unseen(
            "how quickly etcd answers",
            why,
            "haactl status says how it is",
        ));
    }
    let spread = said.reads.as_deref().ok().and_then(Spread::of);
    if let Some(spread) = spread.filter(|spread| spread.p99_us >= SLOW_US) {
        found.push(Finding::advice(
            format!(
                "etcd takes {} for a read (p50), {} (p99)",
                readable(spread.p50_us),
                readable(spread.p99_us)
            ),
            "leases are renewed late, and an election takes as long as its transactions",
            "give etcd a disk with quick fsync and hosts of its own; its own metric is \
             etcd_disk_wal_fsync_duration_seconds",
        ));
    }
    // Each endpoint of the same release says the same.
    found.sort();
    found.dedup();
    found
}

/// What is known of a release. The sources are the issues that are named.
fn release(version: &str) -> Option<Finding> {
    let numbers = numbers(version)?;
    if numbers < OLDEST {
        return Some(Finding::problem(
            format!("etcd is {version}"),
            "haa is made for 3.4 and newer",
            "upgrade etcd, one minor release at a time",
        ));
    }
    if ((3, 5, 0)..(3, 5, 3)).contains(&numbers) {
        return Some(Finding::problem(
            format!("etcd is {version}"),
            "3.5.0 to 3.5.2 can become inconsistent when a member is killed under load: its members then say \
             different things, and so would haa (github.com/etcd-io/etcd/issues/13766)",
            "upgrade etcd to the newest 3.5, one member after the other",
        ));
    }
    if ((3, 5, 3)..SOUND).contains(&numbers) {
        return Some(Finding::advice(
            format!("etcd is {version}"),
            "before 3.5.6, a crash during a defragmentation can leave a member inconsistent \
             (github.com/etcd-io/etcd/pull/14730)",
            "upgrade etcd to the newest 3.5, one member after the other",
        ));
    }
    may_revoke_early(version).then(|| {
        Finding::advice(
            format!("etcd is {version}"),
            "before 3.5.13, an etcd leader that is slow can revoke leases that live \
             (github.com/etcd-io/etcd/issues/15247); haa is ready for it, and replaces a lost primary host one \
             lease later",
            "upgrade etcd to 3.5.13 or newer, one member after the other",
        )
    })
}

fn room(endpoint: &str, said: &Said) -> Vec<Finding> {
    let mut found: Vec<Finding> =
        said.alarms.iter().map(|alarm| alarmed(endpoint, alarm)).collect();
    let quota = said.quota.unwrap_or(USUAL_QUOTA);
    if said.size > quota / 5 * 4 {
        // Releases before 3.6 do not tell: the usual one is a guess then.
        let (severity, guess) = match said.quota {
            Some(_) => (Severity::Problem, ""),
            None => (Severity::Advice, ", if --quota-backend-bytes is not raised"),
        };
        found.push(Finding::new(
            severity,
            format!("{endpoint}: its database has {} of {}{guess}", bytes(said.size), bytes(quota)),
            "when it is full, etcd takes no writes: nobody can be elected",
            "run etcd with --auto-compaction-retention=1h, and defragment it (etcdctl defrag); or raise \
             --quota-backend-bytes",
        ));
    }
    found
}

/// Only the alarm for room is one that may be put out: with any other, who does so lets a member on that is not sound.
fn alarmed(endpoint: &str, alarm: &str) -> Finding {
    let what = format!("{endpoint} raises an alarm: {alarm}");
    if alarm.contains("NOSPACE") {
        return Finding::problem(
            what,
            "with NOSPACE etcd takes no writes: nobody can be elected",
            "make room (etcdctl compact, etcdctl defrag), then etcdctl alarm disarm",
        );
    }
    if alarm.contains("CORRUPT") {
        return Finding::problem(
            what,
            "etcd's members do not hold the same: what haa reads depends on whom it asks",
            "do not disarm it: find the member that differs (etcdctl endpoint hashkv --cluster), take it out \
             (etcdctl member remove), empty its data directory, and add it anew (etcdctl member add); disarm \
             when all hold the same",
        );
    }
    Finding::problem(
        what,
        "haa does not know this alarm: it may mean that etcd takes no writes",
        "look it up in the documentation of your etcd",
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::doctor::Severity::{Advice, Problem};
    use crate::store::Seen;

    fn seen(number: u8, said: Result<Said, String>) -> Seen {
        Seen { endpoint: format!("http://10.0.0.{number}:2379"), said }
    }

    fn three(said: &Said) -> Examined {
        let endpoints = (1..=3).map(|number| seen(number, Ok(said.clone()))).collect();
        let reads = Ok(vec![Duration::from_millis(2); 20]);
        Examined { endpoints, members: Ok(3), reads }
    }

    fn of(version: &str) -> Said {
        Said { version: version.to_owned(), size: 1 << 20, ..Said::default() }
    }

    #[test]
    fn three_sound_members_that_answer_have_nothing() {
        assert_eq!(findings(&three(&of("3.5.21"))), []);
        assert_eq!(findings(&three(&of("3.6.0"))), []);
    }

    #[test]
    fn releases_are_known_by_what_ails_them() {
        for (version, severity, says) in [
            ("3.3.25", Problem, "3.4 and newer"),
            ("3.4.23", Advice, "15247"),
            ("3.5.0", Problem, "13766"),
            ("3.5.2", Problem, "13766"),
            ("3.5.4", Advice, "14730"),
            ("3.5.12+debian", Advice, "15247"),
        ] {
            let found = findings(&three(&of(version)));
            assert_eq!(found.len(), 1, "once for all three: {found:?}");
            assert_eq!(found[0].severity, severity, "{version}");
            assert!(found[0].why.contains(says), "{found:?}");
        }
    }

    #[test]
    fn members_room_and_pace_are_judged() {
        let well = three(&of("3.5.21"));
        let sound = || Ok(of("3.5.21"));
        let alarmed = Said { alarms: vec!["alarm:NOSPACE".to_owned()], ..of("3.5.21") };
        let one = Examined { members: Ok(1), endpoints: vec![seen(1, sound())], ..well.clone() };
        let unnamed = Examined { endpoints: vec![seen(1, sound())], ..well.clone() };
        let four = Examined {
            members: Ok(4),
            endpoints: (1..=4).map(|number| seen(number, sound())).collect(),
            ..well.clone()
        };
        let silent = {
            let mut silent = well.clone();
            silent.endpoints[2] = seen(3, Err("connection refused".to_owned()));
            silent
        };
        let refused = Examined { members: Err("denied".to_owned()), ..well.clone() };
        let mute = Examined { reads: Err("gone".to_owned()), ..well.clone() };
        let slow = Examined { reads: Ok(vec![Duration::from_millis(150); 20]), ..well.clone() };
        let full = three(&Said { size: 1_900 << 20, ..of("3.5.21") });
        let told = three(&Said { size: 1_900 << 20, quota: Some(2 << 30), ..of("3.6.0") });
        let roomy = three(&Said { size: 1_900 << 20, quota: Some(8 << 30), ..of("3.6.0") });
        for (said, expected, says) in [
            (refused, Some(Problem), "how many members etcd has was not looked at: denied"),
            (mute, Some(Problem), "how quickly etcd answers was not looked at: gone"),
            (one, Some(Problem), "etcd has 1 member(s)"),
            (unnamed, Some(Advice), "haad.toml names 1"),
            (four, Some(Advice), "etcd has 4 members"),
            (silent, Some(Problem), "http://10.0.0.3:2379: connection refused"),
            (slow, Some(Advice), "150.0 ms (p99)"),
            (full, Some(Advice), "has 1.8 GB of 2.0 GB, if --quota-backend-bytes is not raised"),
            (told, Some(Problem), "has 1.8 GB of 2.0 GB"),
            (three(&alarmed), Some(Problem), "NOSPACE"),
            (roomy, None, ""),
        ] {
            let found = findings(&said);
            assert_eq!(found.first().map(|finding| finding.severity), expected, "{found:?}");
            assert!(found.iter().all(|finding| finding.what.contains(says)), "{found:?}");
        }
    }

    #[test]
    fn only_an_alarm_for_room_may_be_put_out() {
        let remedy = |alarm: &str| {
            let said = Said { alarms: vec![format!("memberID:1 alarm:{alarm}")], ..of("3.5.21") };
            findings(&three(&said)).remove(0).remedy
        };
        assert!(remedy("NOSPACE").contains("then etcdctl alarm disarm"));
        assert!(remedy("CORRUPT").starts_with("do not disarm it"), "{}", remedy("CORRUPT"));
        assert!(!remedy("ODD").contains("etcdctl"), "{}", remedy("ODD"));
    }
}
