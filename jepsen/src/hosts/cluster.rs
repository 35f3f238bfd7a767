//! A cluster on its hosts, from nothing to whole: starts what there is, waits, makes the clients' role and tables.
//! Breaks nothing.

use std::time::Duration;

use anyhow::Context as _;
use tokio_postgres::{Client, Config, NoTls};

use haa_core::units::Address;

use super::lab::Lab;
use super::plan::{MEMBERS, POSTGRES};
use super::view::Watch;

/// Longer than a first election, two clones and two voters' return take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// The clients' role, which may look where a server's WAL is.
const ROLE: &str = "CREATE ROLE app LOGIN; GRANT pg_monitor TO app;";
const GRANTS: &str = "GRANT ALL ON ALL TABLES IN SCHEMA public TO app;";

impl Lab {
    /// Who looks at this cluster from outside.
    #[must_use]
    pub fn watch(&self) -> Watch {
        let etcds = self.etcds().into_iter().map(|host| {
            let at = Address { host: host.address.to_string(), port: 2379 };
            (host.name.clone(), at)
        });
        Watch::new(&self.plan, etcds.collect(), self.token())
    }

    /// Starts everything and waits until the cluster is whole; then makes the clients' role and these tables.
    ///
    /// # Errors
    /// With the last words of every server, when it does not come about.
    pub async fn begin(&mut self, schema: &str) -> anyhow::Result<()> {
        let begun = self.try_begin(schema).await;
        begun.with_context(|| format!("the cluster did not begin:\n{}", self.tails()))
    }

    async fn try_begin(&mut self, schema: &str) -> anyhow::Result<()> {
        let watch = self.watch();
        let etcds: Vec<String> = self.etcds().iter().map(|host| host.name.clone()).collect();
        etcds.iter().try_for_each(|name| self.start_etcd(name))?;
        watch.etcd_healthy(Duration::from_secs(60)).await?;
        MEMBERS.into_iter().try_for_each(|name| self.start_member(name))?;
        let leader = watch.whole(PATIENCE).await?;
        let client = self.superuser(leader).await?;
        let text = format!("{ROLE} {schema} {GRANTS}");
        client.batch_execute(&text).await.context("the clients' tables cannot be made")
    }

    /// A session as superuser.
    ///
    /// # Errors
    /// When the member does not let us in.
    pub async fn superuser(&self, member: &str) -> anyhow::Result<Client> {
        let host = self.host(member)?;
        let path = host.home.join("secrets/superuser");
        let password = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let mut config = Config::new();
        config.host(host.address.to_string()).port(POSTGRES).user("postgres").dbname("postgres");
        config.password(password.trim()).connect_timeout(Duration::from_secs(5));
        let (client, connection) =
            config.connect(NoTls).await.with_context(|| format!("cannot log in to {member}"))?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Whether this server has a replication slot for that member.
    ///
    /// # Errors
    /// When it does not let us in or does not answer.
    pub async fn has_slot(&self, server: &str, member: &str) -> anyhow::Result<bool> {
        let client = self.superuser(server).await?;
        let count = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1::text::name";
        let row = client.query_one(count, &[&format!("haa_{member}")]).await?;
        Ok(row.try_get::<_, i64>(0)? == 1)
    }

    /// The last words of every server.
    #[must_use]
    pub fn tails(&self) -> String {
        let one = |name: &str| {
            format!("--- {name}\n{}", self.tail(name, if name.starts_with('e') { 2 } else { 12 }))
        };
        let tails: Vec<String> = self.names().into_iter().map(one).collect();
        tails.join("\n")
    }
}
