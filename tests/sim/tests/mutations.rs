//! Every mutation is found: by the seeded worlds within a stated number of seeds, or by a story that comes out worse.
//! A checker that finds nothing proves nothing.
#![allow(clippy::print_stdout)]

use std::fs;
use std::path::Path;

use clap::ValueEnum as _;
use haa_core::Mechanism;
use haa_core::node::Pools;
use haa_core::settings::Durability;
use haa_sim::mutation::{Broken, Mutation};
use haa_sim::run::{Options, Told, run};
use haa_sim::story::retell_broken;
use haa_sim::world::Guard;

/// Found by one of these invariants, at one of so many seeds from 0 on.
type Seeds = (Broken, Guard, u64, &'static [&'static str]);
/// Found by this story, in which a line comes out that bears this and that the whole core never tells.
type Story = (Broken, &'static str, &'static str);

const fn core(mechanism: Mechanism) -> Broken {
    Broken::Within(mechanism)
}

const fn around(mutation: Mutation) -> Broken {
    Broken::Between(mutation)
}

const SEEDS_OF_THE_CORE: [Seeds; 12] = [
    (core(Mechanism::Margin), Guard::On, 200, &["I11"]),
    (core(Mechanism::Settled), Guard::On, 20, &["I12"]),
    (core(Mechanism::Comparison), Guard::On, 50, &["I10"]),
    (core(Mechanism::FreshErase), Guard::On, 600, &["I8"]),
    (core(Mechanism::Incarnation), Guard::On, 300, &["A2"]),
    (core(Mechanism::List), Guard::On, 100, &["A2"]),
    (core(Mechanism::Mourning), Guard::On, 200, &["I1"]),
    (core(Mechanism::ReleaseAfterStop), Guard::On, 50, &["I11"]),
    (core(Mechanism::Reservation), Guard::On, 100, &["I14"]),
    (core(Mechanism::Detach), Guard::Off, 200, &["A3"]),
    (core(Mechanism::OpenWithoutLeadership), Guard::On, 50, &["A4"]),
    (core(Mechanism::UnreadAtStart), Guard::On, 20, &["I16"]),
];

const SEEDS_AROUND_THE_CORE: [Seeds; 7] = [
    (around(Mutation::ReserveNothing), Guard::On, 200, &["I14"]),
    (around(Mutation::LeaderWithoutLease), Guard::On, 20, &["I12"]),
    (around(Mutation::LeaderIgnoresTerm), Guard::Off, 1_000, &["I3", "I14"]),
    (around(Mutation::CompareNothing), Guard::On, 50, &["I3"]),
    (around(Mutation::NeverClose), Guard::Off, 50, &["I1", "I11"]),
    (around(Mutation::NoGuard), Guard::On, 50, &["I1", "I11"]),
    (around(Mutation::ReleaseIgnoresHolder), Guard::On, 100, &["I1", "I3"]),
];

/// The same in `quorum`.
const SEEDS_OF_QUORUM: [Seeds; 12] = [
    (core(Mechanism::Grants), Guard::On, 1000, &["I2", "I4", "I6"]),
    (core(Mechanism::GrantBinds), Guard::On, 20, &["I12"]),
    (core(Mechanism::Barrier), Guard::On, 1000, &["I6"]),
    (core(Mechanism::OrderOfAdding), Guard::On, 20, &["I6"]),
    (core(Mechanism::OrderOfRemoving), Guard::On, 1000, &["I6"]),
    (core(Mechanism::OrderOfRaising), Guard::On, 60, &["I6"]),
    (core(Mechanism::OrderOfLowering), Guard::On, 1000, &["I6"]),
    (core(Mechanism::OrderOfFounding), Guard::On, 20, &["I6"]),
    (core(Mechanism::OrderOfLeaving), Guard::On, 1000, &["I6"]),
    (core(Mechanism::Door), Guard::On, 20, &["I13"]),
    (core(Mechanism::ConsentBinds), Guard::On, 60, &["I15"]),
    (around(Mutation::ReadsAnyCopy), Guard::On, 1000, &["I17"]),
];

const STORIES: [Story; 57] = [
    (core(Mechanism::Confirmation), "leader-key-deleted-unseen", "VIOLATION I1 "),
    (core(Mechanism::Settled), "first-start", "n3 no data"),
    (core(Mechanism::Freshness), "blind-primary", "none of 1 writes acknowledged"),
    (core(Mechanism::Comparison), "diverged", "VIOLATION I10 "),
    (core(Mechanism::Rank), "later-timeline-wins", "VIOLATION A1 "),
    (core(Mechanism::Incarnation), "copy-not-listed", "VIOLATION A2 "),
    (core(Mechanism::List), "laggard-after-loss-of-all", "VIOLATION A2 "),
    (core(Mechanism::Mourning), "early-revocation", "VIOLATION I1 "),
    (core(Mechanism::Gathering), "first-back-waits", "5 of 9 acknowledged writes are lost"),
    (
        core(Mechanism::Laggards),
        "laggard-after-loss-of-all",
        "20 of 20 acknowledged writes are lost",
    ),
    (core(Mechanism::LagLimit), "all-lag", "19 of 20 acknowledged writes are lost"),
    (core(Mechanism::ReleaseAfterStop), "switchover", "VIOLATION I11 "),
    (core(Mechanism::Reports), "named-member-lacks-writes", "5 of 9 acknowledged writes are lost"),
    (
        core(Mechanism::ThisAttempt),
        "named-member-lacks-writes",
        "5 of 9 acknowledged writes are lost",
    ),
    (core(Mechanism::Detach), "zombie-during-promotion", "VIOLATION A3 "),
    (core(Mechanism::Namesake), "name-in-use", "VIOLATION A2 "),
    (
        core(Mechanism::Elsewhere),
        "promoted-by-hand-without-leader",
        "5 of 9 acknowledged writes are lost",
    ),
    (core(Mechanism::Foreign), "foreign-data", "VIOLATION I7 "),
    (core(Mechanism::OpenWithoutLeadership), "promoted-by-hand", "VIOLATION A4 "),
    (core(Mechanism::Cover), "switchover-target-cut-off", "3 of 4 acknowledged writes are lost"),
    (core(Mechanism::Remembered), "agent-restarts-without-etcd", "VIOLATION I11 "),
    (core(Mechanism::PromotedAsReserved), "promotion-goes-astray", "VIOLATION I9 "),
    (core(Mechanism::Claim), "etcd-lost", "VIOLATION I8 "),
    (core(Mechanism::Creator), "first-start-of-one-backup", "VIOLATION I10 "),
    (core(Mechanism::BoundElsewhere), "bound-for-nothing", "VIOLATION A3 "),
    (core(Mechanism::WentBack), "etcd-restored-old-list", "20 of 20 acknowledged writes are lost"),
    (around(Mutation::LeaseFromAnswer), "slow-answer", "VIOLATION I11 "),
    (
        around(Mutation::StaleFacts),
        "zombie-during-promotion",
        "n2 promoting -> closing in term 2: Postgres could not be promoted",
    ),
    (
        core(Mechanism::ConsentOfAll),
        "failsafe-one-member-reaches-etcd",
        "every member lets the primary go on",
    ),
    (core(Mechanism::ConsentOfQuestion), "failsafe-not-heard", "VIOLATION I15 "),
    (core(Mechanism::Blindness), "failsafe-one-side", "every member lets the primary go on"),
    (core(Mechanism::DurableConsent), "failsafe-promise-kept", "VIOLATION I15 "),
    (around(Mutation::ClusterIgnoresCluster), "first-start-at-once", "VIOLATION I7 "),
    // In `quorum`.
    (around(Mutation::DrainIgnoresTerm), "drain-while-somebody-stands", "VIOLATION A5 "),
    (core(Mechanism::DurableGrant), "quorum-etcd-restored", "VIOLATION I4 "),
    (core(Mechanism::GrantOfAttempt), "quorum-grant-of-an-earlier-attempt", "VIOLATION I6 "),
    (
        Broken::Both(Mechanism::StandStill, Mechanism::SyncInLeadership),
        "quorum-voter-joins-in-an-election",
        "VIOLATION I6 ",
    ),
    (core(Mechanism::Barrier), "quorum-removal-waits-for-the-other", "VIOLATION I6 "),
    (core(Mechanism::Barrier), "quorum-k-raised-in-the-end", "VIOLATION I6 "),
    (core(Mechanism::Affirmation), "quorum-late-removal", "VIOLATION I6 "),
    (core(Mechanism::SyncInSync), "quorum-late-removal", "VIOLATION I6 "),
    (core(Mechanism::OrderOfRemoving), "quorum-removal-waits-for-the-other", "VIOLATION I6 "),
    (core(Mechanism::OrderOfRaising), "quorum-k-raised-in-the-end", "VIOLATION I6 "),
    (core(Mechanism::OrderOfLowering), "quorum-k-lowered-first", "VIOLATION I6 "),
    (core(Mechanism::OrderOfAlone), "quorum-alone", "VIOLATION I6 "),
    (core(Mechanism::OrderOfLeaving), "quorum-left-in-etcd-first", "VIOLATION I6 "),
    (core(Mechanism::AloneAtLast), "quorum-three-islands", "none of 2 writes acknowledged"),
    (core(Mechanism::Strict), "quorum-strict", "VIOLATION I18 "),
    (core(Mechanism::PreVote), "quorum-one-link-lost", "n3 replica -> candidate"),
    (core(Mechanism::Evidence), "quorum-two-members-link-lost", "n2 replica -> candidate"),
    (core(Mechanism::SignOfLife), "quorum-two-members-link-lost", "n2 replica -> candidate"),
    (core(Mechanism::ReinitOfVoter), "reinit-of-a-voter", "none of 1 writes acknowledged"),
    (core(Mechanism::NoLeadershipInStandby), "standby-cluster", "VIOLATION A6 "),
    (core(Mechanism::LostSlots), "slots-kept", "n2 slot late: made"),
    (core(Mechanism::MayBePromoting), "quorum-elected-agent-dies", "VIOLATION I5 "),
    (core(Mechanism::Upstream), "cascade-diverged", "VIOLATION I10 "),
    (core(Mechanism::FetchBinds), "quorum-voter-lacks-wal", "n1 fetch of WAL: "),
];

/// What another mechanism always covers, and which. docs/testing.md has the arguments in full.
const REDUNDANT: [(Broken, &str); 4] = [
    (
        around(Mutation::LeaderIgnoresLeader),
        "whoever makes `leader` moves `term` in the same transaction, and the leader transaction compares `term`",
    ),
    (
        core(Mechanism::StandStill),
        "a voter that joined in an open election changed `sync`, and the leader transaction compares that",
    ),
    (
        core(Mechanism::SyncInLeadership),
        "the candidate read `sync` together with its own attempt, and whoever sees that changes no voters",
    ),
    (
        core(Mechanism::TermInSync),
        "a write that comes late into an election is answered by a view that shows it: nothing follows from it",
    ),
];

fn by_seeds(cases: &[Seeds], only: Durability) {
    for &(broken, guard, within, by) in cases {
        let pools = Pools::None;
        let options =
            Options { guard, broken: Some(broken), only: Some(only), told: Told::No, pools };
        let found = (0..within).find_map(|seed| {
            let violation = run(seed, options).violation?;
            by.contains(&violation.invariant).then_some((seed, violation.invariant))
        });
        let (seed, invariant) =
            found.unwrap_or_else(|| panic!("{broken} is not found within {within} seeds"));
        println!("{broken}: {invariant} at seed {seed}");
    }
}

#[test]
fn a_mechanism_that_is_off_is_found_by_the_seeds() {
    by_seeds(&SEEDS_OF_THE_CORE, Durability::Async);
}

#[test]
fn a_mechanism_of_quorum_that_is_off_is_found_by_the_seeds() {
    by_seeds(&SEEDS_OF_QUORUM, Durability::Quorum);
}

#[test]
fn what_is_broken_around_the_core_is_found_by_the_seeds() {
    by_seeds(&SEEDS_AROUND_THE_CORE, Durability::Async);
}

#[test]
fn a_story_told_without_its_mechanism_comes_out_worse() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    for (broken, story, worse) in STORIES {
        let written = fs::read_to_string(folder.join(story).with_extension("txt"));
        let written = written.unwrap_or_else(|why| panic!("{story}: {why}"));
        assert!(!written.contains(worse), "{story} says '{worse}' without any mutation");
        let told = retell_broken(&written, Some(broken));
        let told = told.unwrap_or_else(|why| panic!("{broken} in {story}: {why}"));
        let line = told.lines().find(|line| line.contains(worse));
        let line = line.unwrap_or_else(|| panic!("{broken} is not found by {story}:\n{told}"));
        println!("{broken}: {story}: {line}");
    }
}

#[test]
fn nothing_can_be_broken_without_being_looked_for() {
    let within = Mechanism::ALL.into_iter().map(core);
    let between = Mutation::value_variants().iter().copied().map(around);
    let seeds = SEEDS_OF_THE_CORE.iter().chain(&SEEDS_AROUND_THE_CORE).chain(&SEEDS_OF_QUORUM);
    let seeds = seeds.map(|case| case.0);
    let looked_for: Vec<Broken> = seeds.chain(STORIES.iter().map(|case| case.0)).collect();
    for broken in within.chain(between) {
        let covered = REDUNDANT.iter().find(|(redundant, _)| *redundant == broken);
        match (looked_for.contains(&broken), covered) {
            (true, None) => {}
            (false, Some((_, why))) => println!("{broken} changes nothing: {why}"),
            (true, Some(_)) => panic!("{broken} is found and said to be redundant"),
            (false, None) => panic!("no test looks for {broken}"),
        }
    }
}
