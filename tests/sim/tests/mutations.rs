//! Every mutation is found: by the seeded worlds within a stated number of seeds, or by a story that comes out worse.
//! A checker that finds nothing proves nothing.

use haa_core::Mechanism;
use haa_sim::mutation::{Broken, Mutation};
use haa_sim::run::{Options, Told, run};
use haa_sim::world::Guard;

/// The first seed at which one of these invariants breaks.
fn found(broken: Broken, guard: Guard, within: u64, by: &[&str]) -> Option<u64> {
    let options = Options { guard, broken: Some(broken), told: Told::No };
    (0..within).find(|&seed| {
        let violation = run(seed, options).violation;
        violation.is_some_and(|violation| by.contains(&violation.invariant))
    })
}

/// Between the node and the world.
#[test]
fn what_is_broken_around_the_core_is_found() {
    let cases: [(Mutation, Guard, u64, &[&str]); 4] = [
        (Mutation::ReserveNothing, Guard::On, 200, &["I14"]),
        (Mutation::LeaderWithoutLease, Guard::On, 20, &["I12"]),
        (Mutation::LeaderIgnoresTerm, Guard::On, 1_200, &["I3", "I14"]),
        (Mutation::NeverClose, Guard::Off, 50, &["I1", "I11"]),
    ];
    for (mutation, guard, within, by) in cases {
        let seed = found(Broken::Between(mutation), guard, within, by);
        println!("{mutation:?}: seed {seed:?}");
        assert!(seed.is_some(), "{mutation:?} is not found within {within} seeds");
    }
}

/// Mechanisms of the core whose loss the seeds find.
const BY_SEEDS: [(Mechanism, Guard, u64, &[&str]); 8] = [
    (Mechanism::Margin, Guard::On, 200, &["I11"]),
    (Mechanism::Settled, Guard::On, 20, &["I12"]),
    (Mechanism::Comparison, Guard::On, 20, &["I10"]),
    (Mechanism::List, Guard::On, 1_000, &["I1"]),
    (Mechanism::Mourning, Guard::On, 300, &["I1"]),
    (Mechanism::ReleaseAfterStop, Guard::On, 50, &["I11"]),
    (Mechanism::Reports, Guard::On, 300, &["A1"]),
    (Mechanism::Reservation, Guard::On, 100, &["I14"]),
];

#[test]
fn a_mechanism_that_is_off_is_found_by_the_seeds() {
    for (mechanism, guard, within, by) in BY_SEEDS {
        let seed = found(Broken::Within(mechanism), guard, within, by);
        println!("{mechanism:?}: seed {seed:?}");
        assert!(seed.is_some(), "{mechanism:?} is not found within {within} seeds");
    }
}

/// Without a guard, a restarted agent's memory is all that ends an old leadership's open Postgres.
#[test]
fn an_open_postgres_that_is_borne_for_ever_is_found() {
    let broken = Broken::Within(Mechanism::Remembered);
    assert!(found(broken, Guard::Off, 300, &["I11"]).is_some());
}
