//! Every mutation is found within a stated number of seeds: a checker that finds nothing proves nothing.

use haa_sim::mutation::Mutation;
use haa_sim::run::{Options, Told, run};
use haa_sim::world::Guard;

/// The first seed at which one of these invariants breaks.
fn found(mutation: Mutation, within: u64, by: &[&str]) -> Option<u64> {
    search(mutation, Guard::On, within, by)
}

fn found_without_guard(mutation: Mutation, within: u64, by: &[&str]) -> Option<u64> {
    search(mutation, Guard::Off, within, by)
}

fn search(mutation: Mutation, guard: Guard, within: u64, by: &[&str]) -> Option<u64> {
    let options = Options { guard, mutation: Some(mutation), told: Told::No };
    (0..within).find(|&seed| {
        let violation = run(seed, options).violation;
        violation.is_some_and(|violation| by.contains(&violation.invariant))
    })
}

#[test]
fn a_reservation_that_is_not_kept_makes_a_timeline_twice() {
    assert!(found(Mutation::ReserveNothing, 200, &["I14"]).is_some());
}

#[test]
fn a_leader_whose_key_hangs_on_no_lease_is_never_replaced() {
    assert!(found(Mutation::LeaderWithoutLease, 20, &["I12"]).is_some());
}

#[test]
fn a_leader_transaction_that_ignores_the_term_turns_it_back() {
    assert!(found(Mutation::LeaderIgnoresTerm, 1_200, &["I3", "I14"]).is_some());
}

#[test]
fn an_agent_that_never_closes_leaves_writes_open_past_its_lease() {
    assert!(found_without_guard(Mutation::NeverClose, 50, &["I1", "I11"]).is_some());
}
