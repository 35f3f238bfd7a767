//! The model check: small worlds hold to their last state, their number of states is known, and what is broken on
//! purpose is found by the shortest way. A checker that finds nothing proves nothing.

use haa_core::Mechanism;
use haa_sim::model::action::Kind;
use haa_sim::model::explore::explore;
use haa_sim::model::scope::{Pace, Scope};
use haa_sim::model::worlds::WORLDS;
use haa_sim::mutation::{Broken, Mutation};

fn holds(name: &str) {
    let world = WORLDS.into_iter().find(|world| world.name == name).expect("a world of that name");
    let report = explore(&world.scope);
    assert!(report.violation.is_none(), "{report}");
    for what in world.sometimes {
        assert!(report.of(*what) > 0, "{what:?} never happened in {name}");
    }
    assert_eq!(
        report.states, world.states,
        "the number of states of {name}: if the core or the world changed on purpose, write it \
         into src/model/worlds.rs"
    );
}

#[test]
fn a_switchover() {
    holds("switchover");
}

#[test]
fn one_fault_of_five_kinds() {
    holds("one-fault");
}

#[test]
fn one_way_to_etcd_that_is_cut() {
    holds("one-cut");
}

#[test]
fn a_crash_with_a_write() {
    holds("crash-with-write");
}

#[test]
fn two_faults_of_any_kind() {
    holds("two-faults");
}

#[test]
fn three_members() {
    holds("three-members");
}

const SMALL: Scope = Scope {
    members: 2,
    faults: 2,
    kinds: &[Kind::Crash],
    writes: 0,
    wishes: 0,
    steps: 4,
    pace: Pace::Usual,
    depth: Some(10),
    broken: None,
};

const CRASHES: Scope = Scope { faults: 1, writes: 1, ..SMALL };
const TWO_LOST: Scope = Scope { kinds: &[Kind::Crash, Kind::EndAgent], ..SMALL };
const STRAY: Scope = Scope { kinds: &[Kind::Crash, Kind::Stray], ..SMALL };
const LATE: Scope = Scope { kinds: &[Kind::Crash, Kind::Delay], ..SMALL };
const AGENTS_DIE: Scope = Scope { kinds: &[Kind::EndAgent], ..SMALL };
const SWITCHOVER: Scope = Scope { faults: 0, wishes: 1, ..SMALL };
const THREE: Scope = Scope { members: 3, faults: 1, writes: 1, steps: 2, ..SMALL };

/// What is broken, where it is looked for, which invariant breaks, and after how many choices.
const FOUND: [(Broken, Scope, &str, usize); 9] = [
    (Broken::Within(Mechanism::Settled), SMALL, "I12", 0),
    (Broken::Between(Mutation::LeaderWithoutLease), SMALL, "I12", 0),
    (Broken::Within(Mechanism::ReleaseAfterStop), SWITCHOVER, "I11", 4),
    (Broken::Within(Mechanism::Comparison), CRASHES, "I10", 8),
    (Broken::Within(Mechanism::Margin), AGENTS_DIE, "I11", 7),
    (Broken::Within(Mechanism::Reports), THREE, "A1", 6),
    (Broken::Within(Mechanism::Reservation), TWO_LOST, "I14", 8),
    (Broken::Between(Mutation::ReserveNothing), TWO_LOST, "I14", 8),
    (Broken::Between(Mutation::CompareNothing), STRAY, "I3", 5),
];

#[test]
fn what_is_broken_is_found_by_the_shortest_way() {
    for (broken, scope, invariant, choices) in FOUND {
        let report = explore(&Scope { broken: Some(broken), ..scope });
        let Some((violation, story)) = &report.violation else {
            panic!("{broken} is not found: {report}");
        };
        let lines = story.len();
        println!(
            "{broken}: {violation}; {choices} choices, {lines} lines, {} states",
            report.states
        );
        assert_eq!((violation.invariant, report.choices), (invariant, choices), "{broken}");
    }
}

/// The same worlds hold when nothing is broken, as deep as the longest way above.
#[test]
fn the_same_worlds_hold_when_nothing_is_broken() {
    for scope in [CRASHES, TWO_LOST, LATE, STRAY, AGENTS_DIE, SWITCHOVER, THREE] {
        let report =
            explore(&Scope { depth: Some(if scope.members == 2 { 9 } else { 6 }), ..scope });
        assert!(report.violation.is_none(), "{report}");
    }
}
