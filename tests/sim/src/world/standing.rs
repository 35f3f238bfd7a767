//! How every member stands, in words for people. Changes nothing.

use crate::world::World;

impl World {
    /// How every member stands, a line each.
    #[must_use]
    pub fn standing(&self) -> Vec<String> {
        let line = |number: usize| {
            let who = &self.members[number];
            let (postgres, agent) = (&who.postgres, &who.agent);
            let wal = postgres.wal().map(|wal| self.wals.position(wal).to_string());
            let role = agent.status.as_ref().map(|status| status.role.clone());
            format!(
                "{} agent {:?} as {}, Postgres {:?} at {}, source {:?} {:?}, job {:?}",
                who.name,
                agent.state,
                role.unwrap_or_else(|| "unknown".to_owned()),
                postgres.process,
                wal.unwrap_or_else(|| "no data".to_owned()),
                postgres.source,
                postgres.stream,
                agent.slot.as_ref().map(|slot| &slot.job),
            )
        };
        let sync = self.etcd.view.sync.as_ref().map(|kept| {
            let sync = &kept.value;
            let (term, primary, k) = (sync.term, &sync.primary, sync.k);
            let lists = self.members.iter().filter(|who| who.postgres.open());
            let lists: Vec<_> = lists.map(|who| (&who.postgres.lists, who.postgres.door)).collect();
            format!(
                "sync: term {term}, primary {primary}, voters {:?}, k {k}; {lists:?}",
                sync.voters
            )
        });
        (0..self.members.len()).map(line).chain(sync).collect()
    }
}
