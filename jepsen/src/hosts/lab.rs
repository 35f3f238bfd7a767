//! All hosts of one run: made, started, killed, frozen, cut, and removed at the end. Decides on none of it.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};

use haa::playground::Process;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::runtime::Handle;

use super::agents::NEXT;
use super::cgroup::Group;
use super::clean;
use super::files::{copied, reachable, secret};
use super::host::Host;
use super::net::{MARK, Net, between};
use super::plan::Plan;
use super::room::{room, within};
use super::tools::{Tools, run, write};
use super::{etcd, fsync};

/// The hosts of a run. Dropping it removes everything.
#[derive(Debug)]
pub struct Lab {
    /// What was wished.
    pub plan: Plan,
    /// The programs of this machine.
    pub tools: Tools,
    /// Its own directory.
    pub directory: PathBuf,
    /// The network and its cuts.
    pub net: Net,
    pub(super) hosts: BTreeMap<&'static str, Host>,
    pub(super) agents: BTreeMap<&'static str, Process>,
    prefix: String,
    pub(super) program: PathBuf,
    /// From which file each member's agent was started last, if not from the first.
    pub(super) moved: BTreeMap<&'static str, PathBuf>,
    pub(super) token: String,
    rng: StdRng,
    /// Locked while we live: `clean` leaves what is locked.
    _owner: File,
}

impl Lab {
    /// Makes hosts, configurations and secrets; starts nothing.
    ///
    /// # Errors
    /// When we are not root, a tool is missing, or the kernel refuses.
    pub fn create(plan: Plan) -> anyhow::Result<Self> {
        let tools = Tools::find()?;
        let prefix = format!("{MARK}{:04x}", rand::random::<u16>());
        let directory = std::env::temp_dir().join(&prefix);
        fs::create_dir(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        let owner = clean::own(&directory)?;
        let made = Self::fill(plan, tools, &prefix, &directory, owner);
        made.inspect_err(|_| {
            // What is half made helps nobody.
            let _ = clean::remove(&prefix);
        })
    }

    fn fill(
        plan: Plan,
        tools: Tools,
        prefix: &str,
        directory: &Path,
        owner: File,
    ) -> anyhow::Result<Self> {
        fs::set_permissions(directory, Permissions::from_mode(0o711))?;
        let addresses = plan.hosts();
        let net = Net::create(prefix, &addresses)?;
        let mut hosts = BTreeMap::new();
        for (name, address) in addresses {
            let home = directory.join(name);
            fs::create_dir(&home)?;
            chown(&home, Some(tools.user.0), Some(tools.user.1))?;
            let ipc = directory.join(format!("ipc-{name}"));
            write(&ipc, "")?;
            run(&["unshare", &format!("--ipc={}", ipc.display()), "true"])?;
            let group = Group::create(&tools.cgroups, prefix, name)?;
            let space = net.name(name);
            hosts.insert(name, Host { name: name.to_owned(), address, space, ipc, group, home });
        }
        let program = reachable(&plan, &tools, directory)?;
        if let Some(upgrade) = &plan.upgrade {
            copied(upgrade, &directory.join(NEXT))?;
        }
        if plan.fsync {
            fsync::build(directory)?;
        }
        let lab = Self {
            rng: StdRng::seed_from_u64(plan.seed),
            plan,
            tools,
            directory: directory.to_owned(),
            net,
            hosts,
            agents: BTreeMap::new(),
            prefix: prefix.to_owned(),
            program,
            moved: BTreeMap::new(),
            token: secret(),
            _owner: owner,
        };
        lab.write_members()?;
        Ok(lab)
    }

    /// A host by its short name.
    ///
    /// # Errors
    /// When there is none.
    pub fn host(&self, name: &str) -> anyhow::Result<&Host> {
        let known = || format!("no host {name}: there are {:?}", self.hosts.keys());
        self.hosts.get(name).with_context(known)
    }

    /// The hosts that etcd is on.
    #[must_use]
    pub fn etcds(&self) -> Vec<&Host> {
        self.hosts.values().filter(|host| host.name.starts_with('e')).collect()
    }

    /// The addresses of these hosts.
    #[must_use]
    pub fn addresses(&self, names: &[&str]) -> Vec<Ipv4Addr> {
        names.iter().filter_map(|name| self.hosts.get(*name)).map(|host| host.address).collect()
    }

    /// Everybody's short name but ours.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        self.hosts.keys().copied().filter(|name| *name != "watch").collect()
    }

    /// A number that follows from the run's seed, another one each time.
    pub fn draw(&mut self) -> u64 {
        self.rng.random()
    }

    /// The token for commands.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Starts the etcd of this host, on the data that it had.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_etcd(&self, name: &str) -> anyhow::Result<()> {
        let host = self.host(name)?;
        if !host.group.members().is_empty() {
            return Ok(());
        }
        host.start(&etcd::launch(&self.tools, host, &self.etcds())).map(drop)
    }

    /// Does the work: what it awaits lives on the host that no fault touches, and what it sends out by the handle, on
    /// that of the clients. Given up when somebody interrupts us.
    ///
    /// # Errors
    /// Those of the work, or there are no threads to be had.
    pub fn work<T: Send>(
        &mut self,
        work: impl AsyncFnOnce(&mut Self, &Handle) -> anyhow::Result<T> + Send,
    ) -> anyhow::Result<T> {
        let (ours, theirs) = (room(self.host("watch")?, 2)?, room(self.host("clients")?, 2)?);
        let clients = theirs.handle().clone();
        let watch = self.host("watch")?.clone();
        let done = within(&watch, || {
            ours.block_on(async {
                tokio::select! {
                    done = work(self, &clients) => done,
                    () = haa::playground::interrupted() => Err(anyhow!("it was interrupted")),
                }
            })
        });
        theirs.shutdown_background();
        done?
    }

    /// Makes hosts, does the work there, and removes them. The logs of work that failed go to `keep`.
    ///
    /// # Errors
    /// As [`Self::create`] and [`Self::work`], and saying where the logs are.
    pub fn once<T: Send>(
        plan: &Plan,
        keep: &Path,
        work: impl AsyncFnOnce(&mut Self, &Handle) -> anyhow::Result<T> + Send,
    ) -> anyhow::Result<T> {
        let mut lab = Self::create(plan.clone())?;
        let done = lab.work(work).map_err(|error| match lab.keep_logs(keep) {
            Ok(()) => error.context(format!("the logs are in {}", keep.display())),
            Err(worse) => error.context(format!("{worse:#}")),
        });
        lab.remove()?;
        done
    }

    /// The file that says how wrong the member's wall clock is.
    #[must_use]
    pub fn clock(&self, name: &str) -> PathBuf {
        self.directory.join(name).join("clock")
    }

    /// Where the member's disk is mounted.
    #[must_use]
    pub fn disk(&self, name: &str) -> PathBuf {
        self.directory.join(name).join("disk")
    }

    /// The member's data directory.
    #[must_use]
    pub fn data(&self, name: &str) -> PathBuf {
        self.directory.join(name).join("disk/data")
    }

    /// Cuts a host off from everybody but us.
    ///
    /// # Errors
    /// When the filter cannot be changed.
    pub fn unplug(&mut self, name: &str) -> anyhow::Result<()> {
        let ways = between(&self.addresses(&[name]), &self.addresses(&self.names()));
        self.net.cut(&ways)
    }

    /// Ends that.
    ///
    /// # Errors
    /// When the filter cannot be changed.
    pub fn plug(&mut self, name: &str) -> anyhow::Result<()> {
        let ways = between(&self.addresses(&[name]), &self.addresses(&self.names()));
        self.net.mend(&ways)
    }

    /// Ends the servers and removes the hosts and all their files.
    ///
    /// # Errors
    /// When something stays; `clean` may be asked again.
    pub fn remove(self) -> anyhow::Result<()> {
        let prefix = self.prefix.clone();
        drop(self);
        clean::gone(&prefix)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // `clean` can be asked for what stays.
        let _ = clean::remove(&self.prefix);
    }
}
