//! What follows from what Postgres said of itself. Judges facts; never asks.

use haa_core::parameters::{Parameters, Pending};
use haa_core::settings::Durability;

use crate::config::size::readable;
use crate::postgres::{Ailing, Ails, Broken, Examined, Exception, Held, Slot};

use super::{Finding, Promise, Severity};

/// So much WAL in a slot that nobody reads is a danger to the disk.
const MUCH: u64 = 1 << 30;

/// Of this server.
pub(super) fn findings(said: &Examined, promise: Promise) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    let off = |name: &str| said.parameters.get(name).is_some_and(|value| value == "off");
    if off("fsync") {
        found.push(Finding::problem(
            "fsync is off",
            "a crash loses or corrupts what was acknowledged, and a member that runs so never votes",
            "ALTER SYSTEM RESET fsync, or take it out of the file of postgres.include; then reload",
        ));
    }
    if off("full_page_writes") {
        found.push(Finding::problem(
            "full_page_writes is off",
            "a page that is half written in a crash stays broken, and pg_rewind needs whole pages",
            "ALTER SYSTEM RESET full_page_writes, or take it out of the file of postgres.include; then reload",
        ));
    }
    if off("data_checksums") {
        found.push(Finding::advice(
            "the data have no checksums",
            "a page that the disk returns wrong is believed, and copied to others by a clone",
            "stop all members in order, run pg_checksums --enable on the data of each, start them again",
        ));
    }
    if said.parameters.get("max_slot_wal_keep_size").is_some_and(|value| value == "-1") {
        found.push(Finding::advice(
            "max_slot_wal_keep_size is -1: slots may hold any amount of WAL",
            "a member or a consumer that is away fills the primary's disk, and then nobody can write",
            "set max_slot_wal_keep_size in [postgres.parameters], or leave it out: haad then bounds it",
        ));
    }
    let asked_for = said.slots.iter().any(|slot| slot.kept && slot.logical);
    if said.parameters.get("hot_standby_feedback").is_some_and(|value| value == "on") && !asked_for
    {
        found.push(Finding::advice(
            "hot_standby_feedback is on",
            "a long query on this member keeps vacuum on the primary from removing dead rows",
            "leave it on only where queries on replicas must not be cancelled, and bound them by statement_timeout",
        ));
    }
    found.extend(said.broken.iter().map(|one| broken(one, said.in_recovery)));
    found.extend(carriers(said, promise));
    found.extend(said.slots.iter().filter_map(|one| slot(one, said.in_recovery)));
    found.extend(said.ailing.iter().map(ailing));
    if promise.durability == Some(Durability::Quorum) {
        found.extend(commits(said));
    }
    if !said.in_recovery {
        found.extend(said.superusers.iter().map(|role| {
            Finding::advice(
                format!("the role {}, with which haad replicates or rewinds, is a superuser", shown(role)),
                "whoever reads its password file on any member owns the whole database",
                format!(
                    "ALTER ROLE {} NOSUPERUSER REPLICATION; the rewinding role needs the grants that \
                     docs/operations.md lists",
                    identifier(role)
                ),
            )
        }));
    }
    found
}

/// Too few senders or slots for the members that there are: each other one takes one, and a clone one more.
fn carriers(said: &Examined, promise: Promise) -> Vec<Finding> {
    let few = |name: &str| {
        let value: usize = said.parameters.get(name)?.parse().ok()?;
        (value < promise.members).then(|| {
            Finding::problem(
                format!("{name} is {value}, and the cluster has {} members", promise.members),
                "as primary, this member could not feed them all and be cloned from",
                format!("set {name} in [postgres.parameters] to at least {}", promise.members + 2),
            )
        })
    };
    ["max_wal_senders", "max_replication_slots"].into_iter().filter_map(few).collect()
}

/// Its disk gave back another page than was written.
fn broken(Broken { database, times, last }: &Broken, in_recovery: bool) -> Finding {
    let place = match database {
        Some(database) => format!("the database {}", shown(database)),
        None => "the catalogs that all databases share".to_owned(),
    };
    let often = if *times == 1 { "once".to_owned() } else { format!("{times} times") };
    Finding::problem(
        format!("{place}: what was read did not match its checksum {often}, last at {last}"),
        "whoever reads such a page gets an error, and the disk or the memory of this machine is not to be trusted; \
         each other member has pages of its own, which may be well",
        if in_recovery {
            "look after the disk (its kernel's log, smartctl); then haactl reinit, with this member's name: its data \
             are copied anew"
        } else {
            "haactl switchover to a member without this finding, at once; look after the disk of this one; then haactl \
             reinit, with its name"
        },
    )
}

/// How it stands to its parameters.
pub(super) fn standing(parameters: &Parameters) -> Vec<Finding> {
    let objection = parameters.objection.iter().map(|why| {
        Finding::problem(
            format!("Postgres does not take its configuration: {why}"),
            "it goes by what it had before",
            "mend what is named there; then haactl reload, with the member's name; haactl restart, if it did not start \
             with it",
        )
    });
    objection.chain(parameters.pending.iter().map(pending)).collect()
}

fn pending(pending: &Pending) -> Finding {
    let Pending { name, running, written } = pending;
    let written = written.as_ref().map_or("do not name it".to_owned(), |w| format!("say {w}"));
    Finding::advice(
        format!("{name} waits for a restart: Postgres goes by {running}, and the files {written}"),
        "the next start changes it, also one that nobody planned; on a replica, a few of them (max_connections and \
         its like) must not be lower than on the primary",
        "haactl restart, with the member's name; haactl restart --rolling for all, one after the other",
    )
}

/// What it holds is not kept for long any more.
fn nearly_full(Slot { name, ours, .. }: &Slot, much: &str, left: u64) -> Finding {
    let what = format!(
        "the slot {name} holds {much} of WAL, and loses some of it when {} more are written",
        readable(left)
    );
    if *ours {
        return Finding::problem(
            what,
            "the member then lacks WAL: unless another member or your archive has it, it is cloned anew",
            "bring that member back, or raise max_slot_wal_keep_size while the disk has room; if it is gone for \
             good: haactl remove, with its name",
        );
    }
    Finding::problem(
        what,
        "its consumer can then not go on from where it was",
        "look after whoever reads from it, or raise max_slot_wal_keep_size while the disk has room",
    )
}

/// One of the operator's that is kept.
fn ailing(Ailing { ails, what, remedy }: &Ailing) -> Finding {
    let (severity, why) = match ails {
        Ails::Badly => {
            (Severity::Problem, "its consumer cannot go on, or could not after a failover")
        }
        Ails::NotYet | Ails::NotCopied => {
            (Severity::Advice, "a failover to this member would lose it")
        }
    };
    Finding::new(severity, what, why, remedy)
}

fn slot(slot: &Slot, in_recovery: bool) -> Option<Finding> {
    if slot.lost && !slot.ours && !slot.kept {
        return Some(Finding::problem(
            format!("the slot {} has lost WAL that its consumer has not read", slot.name),
            "its consumer cannot go on from where it was",
            format!(
                "SELECT pg_drop_replication_slot('{}'); its consumer begins anew, with a new slot",
                slot.name
            ),
        ));
    }
    let holds = slot.holds?;
    let (name, much) = (&slot.name, readable(holds));
    if let Some(left) = (Held { bytes: holds, left: slot.left }).tight() {
        return Some(nearly_full(slot, &much, left));
    }
    if slot.kept && (in_recovery || holds < MUCH) {
        return None;
    }
    match (slot.ours, slot.active) {
        (true, true) => None,
        (true, false) => (holds >= MUCH).then(|| {
            Finding::advice(
                format!("the slot {name} holds {much} of WAL for a member that is away"),
                "it is kept until forget_after (24 h), or max_slot_wal_keep_size",
                "bring that member back; if it is gone for good: haactl remove, with its name",
            )
        }),
        (false, false) if slot.kept => Some(Finding::advice(
            format!("the slot {name}, which is kept, holds {much} of WAL, and nobody uses it"),
            "it holds all WAL from there on, on every member that may lead: the disks fill",
            format!("start its consumer; or keep it no more: haactl settings set slots.{name}="),
        )),
        (false, true) => (holds >= MUCH).then(|| {
            Finding::advice(
                format!("the slot {name}, which is not haad's, holds {much} of WAL, and is in use"),
                "its consumer is slower than the primary writes: the disk fills with WAL",
                "look after whoever reads from it; max_slot_wal_keep_size bounds what it may hold",
            )
        }),
        (false, false) => {
            let severity = if holds >= MUCH { Severity::Problem } else { Severity::Advice };
            Some(Finding::new(
                severity,
                format!(
                    "the slot {name}, which is not haad's, holds {much} of WAL, and nobody uses it"
                ),
                "it holds all WAL from there on: the disk fills",
                format!(
                    "start its consumer, or drop it: SELECT pg_drop_replication_slot('{name}')"
                ),
            ))
        }
    }
}

const LOSES: &str = "such a commit waits for no replica: in quorum, a failover may lose it though it was acknowledged";

/// In `quorum`, whatever commits with less than `on` is outside of what is promised.
fn commits(said: &Examined) -> Vec<Finding> {
    let below = |value: &str| !matches!(value, "on" | "remote_apply" | "true" | "yes" | "1");
    let own = said.parameters.get("synchronous_commit").filter(|value| below(value)).map(|value| {
        Finding::problem(
            format!("synchronous_commit is {value}"),
            LOSES,
            "ALTER SYSTEM RESET synchronous_commit, and take it out of [postgres.parameters] and the file of \
             postgres.include; then reload",
        )
    });
    // Roles and databases are the same everywhere: who has them first-hand tells.
    let exceptions = said.commits.iter().filter(|_| !said.in_recovery);
    own.into_iter()
        .chain(exceptions.filter(|exception| below(&exception.value)).map(exception))
        .collect()
}

fn exception(exception: &Exception) -> Finding {
    let Exception { role, database, value } = exception;
    let (whose, of) = match (role, database) {
        (Some(role), None) => {
            (format!("role {}", shown(role)), format!("ROLE {}", identifier(role)))
        }
        (Some(role), Some(database)) => (
            format!("role {} in database {}", shown(role), shown(database)),
            format!("ROLE {} IN DATABASE {}", identifier(role), identifier(database)),
        ),
        (None, Some(database)) => {
            (format!("database {}", shown(database)), format!("DATABASE {}", identifier(database)))
        }
        (None, None) => ("every role".to_owned(), "ROLE ALL".to_owned()),
    };
    let remedy = format!("ALTER {of} RESET synchronous_commit");
    Finding::problem(format!("synchronous_commit is {value} for {whose}"), LOSES, remedy)
}

/// In a sentence: no name moves the cursor of a terminal.
fn shown(name: &str) -> String {
    name.escape_debug().to_string()
}

/// In a command that is pasted: quoted, and what cannot be seen by its number.
fn identifier(name: &str) -> String {
    if !name.contains(char::is_control) {
        return format!("\"{}\"", name.replace('"', "\"\""));
    }
    let letter = |c: char| match c {
        '"' => "\"\"".to_owned(),
        '\\' => r"\\".to_owned(),
        c if c.is_control() => format!("\\{:04X}", u32::from(c)),
        c => c.to_string(),
    };
    format!("U&\"{}\"", name.chars().map(letter).collect::<String>())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::doctor::Severity::{Advice, Problem};

    const THREE: Promise = Promise { durability: Some(Durability::Quorum), members: 3 };

    /// As haad sets a server up.
    fn well() -> Examined {
        let parameters = [
            ("data_checksums", "on"),
            ("fsync", "on"),
            ("full_page_writes", "on"),
            ("hot_standby_feedback", "off"),
            ("max_replication_slots", "10"),
            ("max_slot_wal_keep_size", "20480"),
            ("max_wal_senders", "10"),
            ("synchronous_commit", "on"),
        ];
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let ours = Slot {
            name: "haa_n2".to_owned(),
            ours: true,
            active: true,
            holds: Some(MUCH),
            ..Slot::default()
        };
        Examined {
            version: 150_004,
            parameters: parameters.into_iter().map(own).collect::<BTreeMap<_, _>>(),
            slots: vec![ours],
            ..Examined::default()
        }
    }

    #[test]
    fn a_server_as_haad_makes_it_has_nothing() {
        assert_eq!(findings(&well(), THREE), []);
    }

    #[test]
    fn each_parameter_has_its_finding() {
        for (name, value, severity, says) in [
            ("fsync", "off", Problem, "fsync is off"),
            ("full_page_writes", "off", Problem, "full_page_writes is off"),
            ("data_checksums", "off", Advice, "no checksums"),
            ("max_slot_wal_keep_size", "-1", Advice, "any amount of WAL"),
            ("hot_standby_feedback", "on", Advice, "hot_standby_feedback is on"),
            (
                "max_wal_senders",
                "2",
                Problem,
                "max_wal_senders is 2, and the cluster has 3 members",
            ),
            ("max_replication_slots", "2", Problem, "max_replication_slots is 2"),
            ("synchronous_commit", "local", Problem, "synchronous_commit is local"),
            ("synchronous_commit", "remote_write", Problem, "synchronous_commit is remote_write"),
        ] {
            let mut said = well();
            said.parameters.insert(name.to_owned(), value.to_owned());
            let found = findings(&said, THREE);
            assert_eq!(found.len(), 1, "{name}: {found:?}");
            assert_eq!(found[0].severity, severity, "{name}");
            assert!(found[0].what.contains(says), "{found:?}");
        }
    }

    #[test]
    fn a_broken_page_is_told_with_a_way_out_for_who_has_it() {
        let broken = |database: Option<&str>| Broken {
            database: database.map(str::to_owned),
            times: 2,
            last: "2027-01-31 12:00:00 UTC".to_owned(),
        };
        let mut said = well();
        said.broken = vec![broken(Some("shop")), broken(None)];
        let found = findings(&said, THREE);
        let what: Vec<&str> = found.iter().map(|one| one.what.as_str()).collect();
        let says =
            "what was read did not match its checksum 2 times, last at 2027-01-31 12:00:00 UTC";
        let common = "the catalogs that all databases share";
        assert_eq!(what, [format!("the database shop: {says}"), format!("{common}: {says}")]);
        assert!(found.iter().all(|one| one.severity == Problem), "{found:?}");
        assert!(found[0].remedy.contains("haactl switchover"), "{found:?}");
        said.in_recovery = true;
        assert!(findings(&said, THREE)[0].remedy.contains("then haactl reinit"));
    }

    #[test]
    fn a_commit_that_waits_for_nobody_is_told_in_quorum_by_the_primary() {
        let exception = |role: Option<&str>, database: Option<&str>, value: &str| Exception {
            role: role.map(str::to_owned),
            database: database.map(str::to_owned),
            value: value.to_owned(),
        };
        let commits = vec![
            exception(Some("app"), None, "off"),
            exception(None, Some("shop"), "local"),
            exception(Some("app"), Some("shop"), "remote_write"),
            exception(None, None, "off"),
            exception(Some("slow"), None, "remote_apply"),
        ];
        let said = Examined { commits, ..well() };
        let remedies: Vec<String> =
            findings(&said, THREE).into_iter().map(|finding| finding.remedy).collect();
        assert_eq!(
            remedies,
            [
                "ALTER ROLE \"app\" RESET synchronous_commit",
                "ALTER DATABASE \"shop\" RESET synchronous_commit",
                "ALTER ROLE \"app\" IN DATABASE \"shop\" RESET synchronous_commit",
                "ALTER ROLE ALL RESET synchronous_commit",
            ]
        );
        let asynchronous = Promise { durability: Some(Durability::Async), members: 3 };
        assert_eq!(findings(&said, asynchronous), []);
        assert_eq!(findings(&Examined { in_recovery: true, ..said }, THREE), []);
    }

    #[test]
    fn a_slot_is_judged_by_whose_it_is_and_what_it_holds() {
        let left = Some(MUCH / 3);
        let name = "s".to_owned();
        let slot = |ours, active, holds| Slot {
            name: name.clone(),
            ours,
            active,
            holds,
            left,
            ..Slot::default()
        };
        let kept = |active, holds| Slot { kept: true, ..slot(false, active, Some(holds)) };
        let lost = |ours| Slot { lost: true, ..slot(ours, false, None) };
        let nearly = |slot| Slot { left: Some(MUCH / 3 - 1), ..slot };
        for (one, expected) in [
            (slot(true, true, Some(MUCH)), None),
            (slot(true, false, Some(MUCH - 1)), None),
            (slot(true, false, Some(MUCH)), Some(Advice)),
            (slot(false, true, Some(MUCH - 1)), None),
            (slot(false, true, Some(MUCH)), Some(Advice)),
            (slot(false, false, Some(1)), Some(Advice)),
            (slot(false, false, Some(MUCH)), Some(Problem)),
            (slot(false, false, None), None),
            (nearly(slot(true, true, Some(MUCH))), Some(Problem)),
            (nearly(slot(true, false, Some(MUCH))), Some(Problem)),
            (nearly(slot(false, true, Some(MUCH))), Some(Problem)),
            (nearly(slot(true, false, Some(0))), None),
            (kept(false, MUCH - 1), None),
            (kept(false, MUCH), Some(Advice)),
            (kept(true, MUCH), Some(Advice)),
            (nearly(kept(true, MUCH)), Some(Problem)),
            (lost(false), Some(Problem)),
            (lost(true), None),
        ] {
            let said = Examined { slots: vec![one.clone()], ..well() };
            let found = findings(&said, THREE);
            assert_eq!(found.first().map(|finding| finding.severity), expected, "{one:?}");
        }
    }

    #[test]
    fn what_ails_a_slot_that_is_kept_is_told_and_what_it_needs_is_not() {
        let ailing = |ails| Ailing { ails, what: "w".to_owned(), remedy: "r".to_owned() };
        let cdc = Slot { name: "cdc".to_owned(), kept: true, logical: true, ..Slot::default() };
        let mut said = Examined { slots: vec![cdc], ..well() };
        said.parameters.insert("hot_standby_feedback".to_owned(), "on".to_owned());
        assert_eq!(findings(&said, THREE), []);
        said.ailing = vec![ailing(Ails::Badly), ailing(Ails::NotYet)];
        let found = findings(&said, THREE);
        let severities: Vec<Severity> = found.iter().map(|finding| finding.severity).collect();
        assert_eq!(severities, [Problem, Advice]);
        // On a replica they hold WAL for the consumer of another server.
        let much = Slot { name: "s".to_owned(), kept: true, holds: Some(MUCH), ..Slot::default() };
        let said = Examined { slots: vec![much], in_recovery: true, ..well() };
        assert_eq!(findings(&said, THREE), []);
    }

    #[test]
    fn what_waits_for_a_restart_is_told_with_both_values() {
        let pending = |written: Option<&str>| Pending {
            name: "max_connections".to_owned(),
            running: "100".to_owned(),
            written: written.map(str::to_owned),
        };
        for (written, says) in
            [(Some("200"), "the files say 200"), (None, "the files do not name it")]
        {
            let pending = vec![pending(written)];
            let found = standing(&Parameters { pending, ..Parameters::default() });
            assert!(found[0].what.contains("goes by 100") && found[0].what.contains(says));
        }
    }

    #[test]
    fn a_superuser_that_replicates_is_told() {
        let said = Examined { superusers: vec!["repl".to_owned()], ..well() };
        let found = findings(&said, THREE);
        assert!(found[0].what.contains("the role repl"), "{found:?}");
    }

    #[test]
    fn a_name_of_any_letters_can_be_pasted() {
        for (name, expected) in [
            ("My App", r#""My App""#),
            (r#"a"b\c"#, r#""a""b\c""#),
            ("a\n\"b\\", r#"U&"a\000A""b\\""#),
        ] {
            assert_eq!(identifier(name), expected);
        }
    }
}
