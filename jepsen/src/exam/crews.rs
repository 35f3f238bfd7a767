//! Who is sent out: for each workload of a run clients of every kind, and who asks the routes for all of them. Decides
//! nothing of what they do.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::runtime::Handle;

use crate::hosts::{MEMBERS, places};
use crate::workloads::route::Asking;
use crate::workloads::{AtWork, Crew, Kind, Recorder, Route, Workload};

use super::{Sabotage, Wish};

/// Their pause between two operations, on average.
const PAUSE: Duration = Duration::from_millis(40);

/// The clients of a run.
pub(super) struct Crews {
    /// One for each workload.
    pub(super) all: Vec<Crew>,
    at_work: Vec<AtWork>,
    _asking: Asking,
}

impl Crews {
    /// Sends them out, on their own host's threads.
    pub(super) fn send_out(
        wish: &Wish,
        workloads: Vec<Workload>,
        recorder: &Arc<Recorder>,
        clients: &Handle,
    ) -> Self {
        let _guard = clients.enter();
        let (route, asking) = Route::begin(&places());
        let among = u32::try_from(workloads.len()).unwrap_or(u32::MAX);
        let shares = shared(&by_every_way(wish.clients), workloads.len());
        let mut crews = Self { all: Vec::new(), at_work: Vec::new(), _asking: asking };
        for ((number, workload), mut kinds) in workloads.into_iter().enumerate().zip(shares) {
            let crew = Crew {
                workload: Arc::new(workload),
                number,
                among,
                places: Arc::new(places()),
                route: route.clone(),
                recorder: Arc::clone(recorder),
                pause: PAUSE,
                seed: wish.seed ^ ((number as u64) << 48),
                retries: wish.sabotage.is_some_and(Sabotage::retries),
            };
            kinds.extend(MEMBERS.map(Kind::Pinned));
            kinds.extend(MEMBERS.map(Kind::Reader));
            kinds.extend([Kind::Faithful; 2]);
            crews.at_work.push(crew.begin(&kinds));
            crews.all.push(crew);
        }
        crews
    }

    /// Lets each client end what it does; who they were is still needed for the last reads.
    pub(super) async fn finish(self) -> Vec<Crew> {
        join_all(self.at_work.into_iter().map(AtWork::finish)).await;
        self.all
    }
}

/// Half of them ask `/primary`, a quarter has a list of hosts, a quarter goes by the routers.
fn by_every_way(clients: usize) -> Vec<Kind> {
    let way = |number: usize| match number % 4 {
        2 => Kind::Listed,
        3 => Kind::Relayed,
        _ => Kind::Routed,
    };
    (0..clients).map(way).collect()
}

/// Shared out among so many, one after the other, so that each share comes by several ways.
fn shared(kinds: &[Kind], among: usize) -> Vec<Vec<Kind>> {
    let (mut left, mut shares) = (kinds, Vec::new());
    for number in 0..among {
        let (own, others) = left.split_at(left.len().div_ceil(among - number));
        shares.push(own.to_vec());
        left = others;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_shared_out_and_none_is_left() {
        let kinds = by_every_way(16);
        let counts = |among| shared(&kinds, among).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!((counts(1), counts(4)), (vec![16], vec![4; 4]));
        assert_eq!(counts(5), [4, 3, 3, 3, 3]);
        assert_eq!(shared(&kinds, 5).concat(), kinds);
        assert_eq!(shared(&kinds[..1], 3).iter().map(Vec::len).collect::<Vec<_>>(), [1, 0, 0]);
    }
}
