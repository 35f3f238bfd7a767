//! What the protocol takes for granted about Postgres, tried on every supported version whose binaries are here.
//! Never a decision of haa's: only its hands, and Postgres.

mod diverged;
mod newer;
mod timelines;

use std::path::{Path, PathBuf};

use haa::postgres::{find_binaries, server_version};

use crate::postgres::{door, note, probe, sync};
use crate::support::become_postgres;

/// From the system; else as `tests/fetch-servers.sh` laid them down.
pub(crate) fn binaries(major: u32) -> Option<PathBuf> {
    become_postgres();
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("target/postgres/{major}"));
    let fetched = std::fs::read_dir(fetched).into_iter().flatten().flatten();
    let fetched = fetched.map(|entry| entry.path().join("pginstall/bin"));
    let system = PathBuf::from(format!("/usr/lib/postgresql/{major}/bin"));
    let default = find_binaries().ok();
    [system]
        .into_iter()
        .chain(fetched)
        .chain(default)
        .find(|directory| server_version(directory).is_ok_and(|version| version / 10_000 == major))
}

/// What `HAA_POSTGRES=17` asks for in the place of the newest of the system.
pub(crate) fn asked_for() -> Option<PathBuf> {
    let major = std::env::var("HAA_POSTGRES").ok()?;
    let binaries = major.parse().ok().and_then(binaries);
    Some(binaries.unwrap_or_else(|| panic!("HAA_POSTGRES={major}: there are no such binaries")))
}

/// What tests run on that are not about a version.
pub(crate) fn usual() -> PathBuf {
    asked_for().unwrap_or_else(|| find_binaries().expect("Postgres is installed"))
}

macro_rules! trials {
    ($($version:ident = $major:literal),* => $trials:tt) => {
        $(mod $version { $crate::trials::tests!($major, $trials); })*
    };
}

macro_rules! tests {
    ($major:literal, { $($name:ident: $trial:path,)* }) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                match super::binaries($major) {
                    Some(binaries) => $trial(&binaries).await,
                    None => super::note(concat!("not tried: no binaries of PostgreSQL ", $major)),
                }
            }
        )*
    };
}
use tests;

trials!(v13 = 13, v14 = 14, v15 = 15, v16 = 16, v17 = 17, v18 = 18 => {
    nothing_comes_after_detaching: super::timelines::nothing_comes_after_detaching,
    detaching_does_not_wait_for_a_reader: super::timelines::detaching_does_not_wait_for_a_reader,
    a_reserved_number_is_taken: super::timelines::a_reserved_number_is_taken,
    without_stubs_nobody_follows: super::timelines::without_stubs_nobody_follows,
    a_restart_is_a_promotion: super::timelines::a_restart_is_a_promotion,
    connecting_first_acknowledges_too_much: super::diverged::connecting_first,
    comparing_first_acknowledges_what_is_there: super::diverged::comparing_first,
    lists_are_seen: super::sync::lists_are_seen,
    an_override_is_taken_back: super::sync::an_override_is_taken_back,
    a_late_walsender_is_waited_for: super::sync::a_late_walsender_is_waited_for,
    commits_are_seen_waiting: super::sync::commits_are_seen_waiting,
    an_unopened_primary_acknowledges_nothing: super::sync::an_unopened_primary_acknowledges_nothing,
    another_agent_proves_a_list_anew: super::sync::another_agent_proves_it_anew,
    how_long_a_list_takes: super::sync::times,
    nobody_is_left_at_a_promotion: super::door::nobody_is_left_at_a_promotion,
    who_detaches_to_lead_is_ready: super::door::who_detaches_to_lead_is_ready,
    nobody_reads_before_it_follows: super::door::nobody_reads_before_it_follows,
    an_open_door_keeps_readers: super::door::an_open_door_keeps_readers,
    how_long_the_door_takes: super::door::times,
    nothing_is_written_for_nothing: super::probe::nothing_is_written_for_nothing,
    a_hung_flush_is_told: super::probe::a_hung_flush_is_told_while_looks_go_on,
    a_hung_flush_is_told_to_nobody_new: super::probe::a_hung_flush_is_told_where_nobody_gets_in,
});
