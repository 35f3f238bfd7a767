//! What follows from a member's machine and its haad.toml. Judges facts; never looks.

use std::path::PathBuf;

use crate::api::document::rfc3339;
use crate::config::size::readable as bytes;
use crate::guard::Standing;
use crate::hooks::Trouble;

use super::{Finding, Spread, readable};

/// A disk that flushes more slowly is the first thing that writers wait for.
const SLOW_P50_US: u64 = 10_000;
/// As above, for the slowest.
const SLOW_P99_US: u64 = 100_000;
/// What the router needs beside its connections, as docs/operations.md has it.
const SPARE_FILES: u64 = 1_024;

/// What was looked up on the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// The file systems that matter, with what is free there and how large they are.
    pub(super) rooms: Vec<Room>,
    /// How long a page takes to be flushed beside the data.
    pub(super) flush: Option<Spread>,
    /// The guard; `None` where there is to be none.
    pub(super) guard: Option<Standing>,
    /// Whether it feeds a watchdog.
    pub(super) watchdog: Option<PathBuf>,
    /// Why that one cannot be opened, as far as can be known without doing so: that would arm it.
    pub(super) watchdog_ails: Option<String>,
    /// Files that haad may have open at a time, if that is bounded.
    pub(super) files: Option<u64>,
    /// Clients that the router takes on all its ports.
    pub(super) clients: u64,
    /// Where the agent listens, if others than this machine can come there without TLS.
    pub(super) plain_listen: Option<String>,
    /// What is wrong with the certificate.
    pub(super) certificate: Option<Paper>,
    /// Which secrets have the same content, by their keys in haad.toml.
    pub(super) shared_secrets: Vec<String>,
}

/// A file system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Room {
    /// What lies there.
    pub(super) what: &'static str,
    /// Where.
    pub(super) path: PathBuf,
    pub(super) free: u64,
    pub(super) size: u64,
}

/// What is wrong with a certificate, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Paper {
    /// Nobody believes it.
    Refused(String),
    /// Nobody will believe it within 30 days.
    Expires(String),
}

/// Of this machine.
pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut found: Vec<Finding> = facts.rooms.iter().filter_map(room).collect();
    if facts.rooms.is_empty() {
        found.push(Finding::unseen(
            "the disk of the data",
            "it does not answer",
            "look at the kernel's log (dmesg) and at what is mounted there",
        ));
    }
    match facts.flush {
        Some(spread) => found.extend(flush(spread)),
        None => found.push(Finding::advice(
            "how long the disk of the data takes for an fsync was not looked at: neither the state directory nor \
             the one above the data is on it, or nothing can be written there",
            "each commit waits for it",
            "time it with pg_test_fsync",
        )),
    }
    match (&facts.guard, &facts.watchdog) {
        (None, _) => found.push(Finding::problem(
            "guard.enabled is false",
            "when haad is frozen or killed nobody closes its Postgres, while another member is elected: two \
             primaries",
            "take enabled = false out of [guard], and restart haad",
        )),
        (Some(Standing::Nobody), _) => found.push(Finding::problem(
            "no guard answers this member's haad",
            "it is not promoted without one, and a frozen haad would close nothing",
            "look at its log: why none can be started; memory, processes, the state directory's permissions",
        )),
        (Some(Standing::There | Standing::Until(_)), None) => found.push(Finding::advice(
            "the guard feeds no watchdog",
            "if haad and its guard are killed in the same instant, nobody closes Postgres",
            "modprobe softdog soft_margin=6, and watchdog = \"/dev/watchdog\" under [guard]",
        )),
        (Some(Standing::There | Standing::Until(_)), Some(device)) => {
            found.extend(facts.watchdog_ails.as_ref().map(|why| {
                Finding::problem(
                    format!("the watchdog {} cannot be used: {why}", device.display()),
                    "the guard goes on without: if haad and its guard are killed in the same instant, nobody closes \
                     Postgres",
                    "load its driver, and let the user of haad write to it (a udev rule)",
                )
            }));
        }
    }
    let needed = facts.clients * 2 + SPARE_FILES;
    if let Some(files) = facts.files.filter(|files| facts.clients > 0 && *files < needed) {
        found.push(Finding::problem(
            format!("haad may have {files} files open, and its router takes {} clients", facts.clients),
            "a client takes two: the last ones are not let in, and haad may have no file left for itself",
            format!("LimitNOFILE={needed} in haad's unit (systemctl edit haad), or a smaller router.max_connections"),
        ));
    }
    if let Some(listen) = &facts.plain_listen {
        found.push(Finding::advice(
            format!("the agent's port {listen} speaks without TLS"),
            "whoever is on that network reads the token, and can command with it",
            "set api.cert_file, api.key_file and api.ca_file (docs/operations.md, TLS), or keep the port in a \
             network that you trust",
        ));
    }
    found.extend(facts.certificate.as_ref().map(certificate));
    found.extend(facts.shared_secrets.iter().map(|pair| {
        Finding::advice(
            format!("{pair} have the same content"),
            "whoever learns the one has the other",
            "make one of them anew (openssl rand -hex 24), on every member and, for a role, by ALTER ROLE",
        )
    }));
    found
}

/// Of a program whose last run came to nothing.
pub(super) fn hook(trouble: &Trouble) -> Finding {
    Finding::problem(
        format!("{} (at {})", trouble.why, rfc3339(trouble.at_unix_ms)),
        "what it is there for was not done; unless before_promote ends with 0, this member does not lead",
        "its log has all that the program said; mend it, and the next run that succeeds ends this",
    )
}

fn room(room: &Room) -> Option<Finding> {
    let (what, path) = (room.what, room.path.display());
    let says = format!("{what} ({path}): {} free of {}", bytes(room.free), bytes(room.size));
    let why = "a primary whose disk fills stops, and another one leads; a replica whose disk fills is lost to it";
    let remedy = "make room or a larger file system; look for slots that hold WAL, and for data kept aside by a \
                  rewind or a clone";
    if room.free < room.size / 20 {
        Some(Finding::problem(says, why, remedy))
    } else if room.free < room.size / 100 * 15 {
        Some(Finding::advice(says, why, remedy))
    } else {
        None
    }
}

fn flush(spread: Spread) -> Option<Finding> {
    (spread.p50_us >= SLOW_P50_US || spread.p99_us >= SLOW_P99_US).then(|| {
        Finding::advice(
            format!(
                "the disk of the data takes {} for an fsync (p50), {} (p99)",
                readable(spread.p50_us),
                readable(spread.p99_us)
            ),
            "each commit waits for it, in quorum also for that of a replica; one of several seconds counts as ill",
            "give Postgres a disk whose cache survives a loss of power, and nobody else who writes to it",
        )
    })
}

fn certificate(paper: &Paper) -> Finding {
    let remedy = "put a new certificate into the files of api.cert_file and api.key_file; no restart is needed";
    match paper {
        Paper::Refused(why) => Finding::problem(
            format!("this member's certificate is not believed: {why}"),
            "the other members and haactl do not speak to it",
            remedy,
        ),
        Paper::Expires(why) => Finding::advice(
            format!("this member's certificate ends within 30 days: {why}"),
            "then the other members and haactl do not speak to it any more",
            remedy,
        ),
    }
}

#[cfg(test)]
mod tests {
    use haa_core::units::Millis;

    use super::*;
    use crate::doctor::Severity::{Advice, Problem};

    fn well() -> Facts {
        let room = |what| Room { what, path: "/data".into(), free: 60 << 30, size: 100 << 30 };
        Facts {
            rooms: vec![room("the data"), room("the state directory")],
            flush: Some(Spread { p50_us: 900, p99_us: 5_000 }),
            guard: Some(Standing::Until(Millis(1))),
            watchdog: Some("/dev/watchdog".into()),
            files: Some(65_536),
            clients: 2_000,
            ..Facts::default()
        }
    }

    #[test]
    fn a_machine_that_is_well_has_nothing() {
        assert_eq!(findings(&well()), []);
        assert_eq!(findings(&Facts { files: Some(64), clients: 0, ..well() }), [], "no router");
        assert_eq!(findings(&Facts { files: None, ..well() }), [], "no bound");
    }

    #[test]
    fn each_fact_has_its_finding() {
        let room =
            |free| vec![Room { what: "the data", path: "/data".into(), free, size: 100 << 30 }];
        let flush = |p50_us, p99_us| Some(Spread { p50_us, p99_us });
        for (facts, severity, says) in [
            (Facts { rooms: room(4 << 30), ..well() }, Problem, "4.0 GB free of 100.0 GB"),
            (Facts { rooms: room(14 << 30), ..well() }, Advice, "14.0 GB free of 100.0 GB"),
            (Facts { flush: flush(12_000, 20_000), ..well() }, Advice, "12.0 ms for an fsync"),
            (Facts { flush: flush(1_000, 200_000), ..well() }, Advice, "200.0 ms (p99)"),
            (Facts { rooms: Vec::new(), ..well() }, Problem, "was not looked at: it does not"),
            (Facts { flush: None, ..well() }, Advice, "fsync was not looked at"),
            (
                Facts { watchdog_ails: Some("no such device".to_owned()), ..well() },
                Problem,
                "/dev/watchdog cannot be used: no such device",
            ),
            (Facts { guard: None, ..well() }, Problem, "guard.enabled is false"),
            (Facts { guard: Some(Standing::Nobody), ..well() }, Problem, "no guard answers"),
            (Facts { watchdog: None, ..well() }, Advice, "feeds no watchdog"),
            (Facts { files: Some(1_024), ..well() }, Problem, "1024 files open"),
            (
                Facts { plain_listen: Some("0.0.0.0:8008".to_owned()), ..well() },
                Advice,
                "without TLS",
            ),
            (
                Facts { certificate: Some(Paper::Refused("expired".to_owned())), ..well() },
                Problem,
                "not believed: expired",
            ),
            (
                Facts { certificate: Some(Paper::Expires("expired".to_owned())), ..well() },
                Advice,
                "within 30 days",
            ),
            (
                Facts { shared_secrets: vec!["a and b".to_owned()], ..well() },
                Advice,
                "a and b have the same content",
            ),
        ] {
            let found = findings(&facts);
            assert_eq!(found.len(), 1, "{says}: {found:?}");
            assert_eq!(found[0].severity, severity, "{says}");
            assert!(found[0].what.contains(says), "{found:?}");
        }
        let needs = findings(&Facts { files: Some(1_024), ..well() });
        assert!(needs[0].remedy.contains("LimitNOFILE=5024"), "{needs:?}");
    }
}
