//! Seeds with PgBouncers that are held in a hand-over: whatever breaks, nobody stays held. Judges nothing itself.

use haa_core::node::Pools;
use haa_sim::run::{Options, Told, run};
use haa_sim::sometimes::Sometimes;
use haa_sim::world::Guard;

#[test]
fn pgbouncers_are_never_left_held() {
    let pools = Pools::Known;
    let options = Options { guard: Guard::On, broken: None, only: None, told: Told::No, pools };
    let mut sometimes = Sometimes::default();
    for seed in 0..150 {
        let report = run(seed, options);
        assert!(
            report.violation.is_none(),
            "haa-sim --pools --seed {seed}: {:?}",
            report.violation
        );
        sometimes.add(&report.sometimes);
    }
    for what in ["hold", "hold failed", "PgBouncers let their clients through"] {
        assert!(sometimes.of(what) > 0, "never in any seed: {what}");
    }
}
