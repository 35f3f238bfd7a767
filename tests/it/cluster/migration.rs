//! A cluster of the real Patroni is taken over as docs/migrating-from-patroni.md says, step by step and while clients
//! write, and given back. Says NOT RUN where there is no Patroni: `make migration` fetches it.

mod patroni;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use haa_core::units::{Address, MemberName};

use super::fixture::{Cluster, LONG, haad, name};
use super::writers::Writers;
use patroni::{PATIENCE, Patroni, found, write_configuration};

/// Who runs the servers; Patroni ends before they do.
struct Site {
    patroni: Patroni,
    cluster: Cluster,
}

/// Whoever does not lead.
const REPLICAS: [&str; 2] = ["n2", "n3"];

impl Site {
    /// Patroni's cluster: n1 leads, the others stream, and clients write.
    async fn of_patroni(programs: PathBuf) -> (Self, Writers) {
        let mut cluster = Cluster::prepare(|options| options);
        cluster.playground.start_etcd().await.expect("etcd starts");
        let mut site = Self { patroni: Patroni::new(programs), cluster };
        for member in site.cluster.playground.names() {
            std::fs::remove_file(site.cluster.playground.config(&member)).expect("it was there");
            write_configuration(&site.cluster, &member);
        }
        site.start_patroni().await;
        site.cluster.execute("CREATE TABLE t (id bigint PRIMARY KEY)").await;
        let mut any = site.cluster.playground.superuser(&site.at("n1")).expect("a password");
        for member in REPLICAS {
            let at = site.at(member);
            any.host(&at.host).port(at.port);
        }
        any.target_session_attrs(tokio_postgres::config::TargetSessionAttrs::ReadWrite);
        any.connect_timeout(Duration::from_secs(2));
        (site, Writers::through(any))
    }

    fn at(&self, member: &str) -> Address {
        self.cluster.playground.postgres(&name(member))
    }

    /// The first of the members first.
    async fn start_patroni(&mut self) {
        self.patroni.start(&self.cluster, &name("n1"));
        let first = self.cluster.playground.wait_for_primary(PATIENCE).await;
        assert_eq!(first.expect("Patroni's cluster has a primary"), name("n1"));
        for member in REPLICAS {
            self.patroni.start(&self.cluster, &name(member));
        }
        self.patroni.all_stream(&self.cluster, REPLICAS.len()).await;
    }

    /// 1. Make the configurations.
    fn import(&self) {
        let home = self.cluster.playground.directory();
        let dynamic = home.join("dynamic.yml");
        let shown = self.patroni.ctl(&self.cluster, &["show-config"]);
        std::fs::write(&dynamic, shown).expect("written");
        for member in self.cluster.playground.names() {
            let own = patroni::home(&self.cluster, &member).join("patroni.yml");
            let config = self.cluster.playground.config(&member);
            let paths = [&own, &dynamic, &home.join("secrets"), &config];
            let [own, dynamic, secrets, config] = paths.map(|path| path.to_str().expect("text"));
            let words =
                ["import", own, "--dynamic", dynamic, "--secrets", secrets, "--write", config];
            let (code, said) = self.cluster.haactl(&words);
            assert_eq!(code, 0, "{said}");
            assert!(!said.contains("LEFT OUT"), "{said}");
            let (code, said) = haad("check", &self.cluster.playground.config(&member));
            println!("{said}");
            let wrong: Vec<_> = said.lines().filter(|line| line.starts_with("wrong")).collect();
            assert_eq!(code, 1, "its ports are in use: {said}");
            assert!(wrong.iter().all(|line| line.contains("in use")), "{said}");
        }
    }

    fn pg_ctl_stop(&self, member: &MemberName) {
        let data = self.cluster.playground.data(member);
        let mut pg_ctl = Command::new(self.cluster.postgres_program("pg_ctl"));
        let ran = pg_ctl.args(["stop", "-m", "fast", "-D"]).arg(data).output().expect("it runs");
        assert!(ran.status.success(), "{ran:?}");
    }

    /// *Going back*, before step 5.
    async fn start_stopped(&mut self) {
        self.patroni.start(&self.cluster, &name("n1"));
        let began = Instant::now();
        while !self.patroni.ctl(&self.cluster, &["list"]).contains("stopped") {
            assert!(began.elapsed() < PATIENCE, "Patroni does not show the member");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        self.patroni.ctl(&self.cluster, &["resume"]);
        let first = self.cluster.playground.wait_for_primary(PATIENCE).await;
        assert_eq!(first.expect("it leads again"), name("n1"));
        for member in REPLICAS {
            self.patroni.start(&self.cluster, &name(member));
        }
        self.patroni.all_stream(&self.cluster, REPLICAS.len()).await;
    }

    /// 3. Take over, steps 1 to 3: nothing runs any more.
    async fn stop_all(&mut self, writers: &Writers) {
        self.patroni.ctl(&self.cluster, &["pause", "--wait"]);
        for member in REPLICAS.map(name) {
            self.patroni.stop(&member);
            self.pg_ctl_stop(&member);
        }
        writers.go_on(1).await;
        self.patroni.stop(&name("n1"));
        self.pg_ctl_stop(&name("n1"));
    }

    /// Step 4: postgresql.conf is whose it was before Patroni. Or, `back`, as Patroni has it.
    fn swap_files(&self, names: [(&str, &str); 2]) {
        for member in self.cluster.playground.names() {
            let data = self.cluster.playground.data(&member);
            for (from, to) in names {
                std::fs::rename(data.join(from), data.join(to)).expect("it is there");
            }
        }
    }

    /// The names of the slots on the primary.
    async fn slots(&self) -> Vec<String> {
        let client = self.cluster.connect(&self.at("n1")).await.expect("it accepts");
        let question = "SELECT slot_name::text FROM pg_replication_slots ORDER BY 1";
        let rows = client.query(question, &[]).await.expect("it answers");
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Waits until every member has as many rows as the primary.
    async fn all_have_all(&self) {
        let client = self.cluster.connect(&self.at("n1")).await.expect("it accepts");
        let row = client.query_one("SELECT count(*) FROM t", &[]).await.expect("it answers");
        for member in self.cluster.playground.names() {
            self.cluster.has_rows(&member, row.get(0)).await;
        }
    }

    /// etcdctl del --prefix
    async fn forget(&self, prefix: &str) {
        let endpoint = self.cluster.playground.etcd_endpoint();
        let mut etcd = etcd_client::Client::connect([endpoint], None).await.expect("etcd answers");
        let all = etcd_client::DeleteOptions::new().with_prefix();
        let gone = etcd.delete(prefix, Some(all)).await.expect("etcd answers").deleted();
        assert!(gone > 0, "there was nothing below {prefix}");
    }

    /// Steps 5 and 6: haad adopts the primary's data; of the replicas, one has its own still.
    async fn start_haad(&mut self, writers: &Writers) {
        let playground = &mut self.cluster.playground;
        playground.start_member(&name("n1")).expect("it starts");
        assert_eq!(self.cluster.primary().await, name("n1"));
        writers.go_on(1).await;
        let (_, said) = self.cluster.haactl(&["settings", "set", "timing.gather_timeout="]);
        assert!(said.contains("gather_timeout"), "{said}");
        let data = self.cluster.playground.data(&name("n3"));
        std::fs::rename(&data, data.with_extension("patroni")).expect("moved");
        for member in REPLICAS.map(name) {
            self.cluster.playground.start_member(&member).expect("it starts");
            self.cluster.playground.wait_member_streams(&member, LONG).await.expect("it streams");
        }
        for (member, clones) in [("n2", false), ("n3", true)] {
            let log = self.cluster.log(&name(member));
            assert_eq!(log.contains("Clone"), clones, "{member}: {log}");
        }
    }

    /// Step 7: of the slots, those of Patroni's members go.
    async fn drop_slots(&self) {
        assert_eq!(self.slots().await, ["haa_n2", "haa_n3", "n2", "n3", "tape"]);
        let (code, said) = self.cluster.haactl(&["settings", "show"]);
        assert!(code == 0 && said.contains("slots.tape.type"), "{said}");
        self.cluster
            .execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
                 WHERE slot_name IN ('n1', 'n2', 'n3') AND NOT active",
            )
            .await;
        assert_eq!(self.slots().await, ["haa_n2", "haa_n3", "tape"]);
    }

    /// Step 8, without its clean-up.
    async fn is_healthy(&self) {
        self.cluster.all_vote().await;
        let began = Instant::now();
        loop {
            let (code, said) = self.cluster.haactl(&["status"]);
            if code == 0 && said.starts_with("HEALTHY") {
                return;
            }
            assert!(began.elapsed() < LONG, "{said}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// *Going back*, later.
    async fn give_back(&mut self) {
        self.cluster.all_go_by(self.cluster.haactl(&["pause"])).await;
        for member in ["n2", "n3", "n1"].map(name) {
            self.cluster.playground.terminate_agent(&member).expect("it runs");
            self.cluster.agent_is_gone(&member).await;
        }
        let data = self.cluster.playground.data(&name("n1"));
        // Of a primary that was stopped in order it is gone already.
        let _ = std::fs::remove_file(data.join("standby.signal"));
        std::fs::remove_file(data.join("patroni.dynamic.json")).expect("it is there");
        let data = self.cluster.playground.data(&name("n3"));
        std::fs::rename(&data, data.with_extension("haad")).expect("moved");
        self.start_patroni().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_of_patroni_is_taken_over_and_given_back() {
    let programs = match found() {
        Ok(programs) => programs,
        Err(why) => return println!("NOT RUN: there is no Patroni here: {why}"),
    };
    let (mut site, writers) = Site::of_patroni(programs).await;
    writers.go_on(20).await;
    site.import();
    site.cluster.edit(&name("n1"), |text| {
        // It is alone, so that there is nobody to wait for.
        let alone = toml::toml! { settings.timing.gather_timeout = "2s" };
        let mut table: toml::Table = text.parse().expect("TOML");
        let timing = table["settings"]["timing"].as_table_mut().expect("ttl is in it");
        timing.extend(alone["settings"]["timing"].as_table().cloned().expect("a table"));
        table.to_string()
    });

    // Before the fifth step all of it can be taken back.
    site.stop_all(&writers).await;
    let theirs = ("postgresql.conf", "postgresql.patroni.conf");
    let ours = ("postgresql.base.conf", "postgresql.conf");
    site.swap_files([theirs, ours]);
    site.swap_files([(ours.1, ours.0), (theirs.1, theirs.0)]);
    site.start_stopped().await;
    writers.go_on(20).await;

    let began = Instant::now();
    site.stop_all(&writers).await;
    site.swap_files([theirs, ours]);
    site.start_haad(&writers).await;
    println!("without writes for {:?} while haad takes over", writers.outage_since(began).0);
    site.drop_slots().await;
    site.is_healthy().await;
    site.forget("/service/playground/").await;
    let (code, said) = site.cluster.haactl(&["switchover", "--yes"]);
    assert_eq!(code, 0, "{said}");
    site.cluster.all_vote().await;
    let (code, said) = site.cluster.haactl(&["switchover", "--to", "n1", "--yes"]);
    assert_eq!(code, 0, "{said}");
    site.cluster.all_stream().await;
    writers.go_on(20).await;

    let began = Instant::now();
    site.give_back().await;
    writers.go_on(20).await;
    println!("without writes for {:?} while Patroni takes it back", writers.outage_since(began).0);
    site.cluster
        .execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
             WHERE slot_name LIKE 'haa\\_%' AND NOT active",
        )
        .await;
    let slots = site.slots().await;
    assert!(!slots.iter().any(|slot| slot.starts_with("haa_")), "{slots:?}");
    site.forget("/haa/playground/").await;
    writers.end(&site.cluster).await;
    site.all_have_all().await;
}
