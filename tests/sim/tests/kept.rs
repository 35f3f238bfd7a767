//! Seeds that once showed a fault of the core, as long as they are drawn as they were then.

use haa_core::node::Pools;
use haa_core::settings::Durability;
use haa_sim::run::{Options, Told, run};
use haa_sim::world::Guard;

/// 92445: whoever was elected without knowing it, its answer lost and etcd cut off, bore a Postgres that somebody had
/// promoted by hand (A4).
/// 239: two voters, bound for the timeline of a leader whose WAL they lacked, wanted to take over and could not, rather
/// than be cloned (I12).
/// 22580: restarted in place while it waited for a second copy, a `strict` primary acknowledged alone for a moment
/// (I18).
const KEPT: [(u64, Durability); 3] =
    [(92_445, Durability::Quorum), (239, Durability::Quorum), (22_580, Durability::Quorum)];

#[test]
fn what_once_failed_holds() {
    for (seed, durability) in KEPT {
        let options = Options {
            guard: Guard::On,
            broken: None,
            only: Some(durability),
            told: Told::No,
            pools: Pools::None,
        };
        let violation = run(seed, options).violation;
        assert!(violation.is_none(), "{seed}: {violation:?}");
    }
}
