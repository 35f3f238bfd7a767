//! Whether a run can be made on this machine: tries what its hosts rest on, on names of its own that it removes again.
//! Starts no server.

use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use anyhow::Context as _;

use super::cgroup::Group;
use super::clean;
use super::net::{MARK, Net, between};
use super::tools::Tools;

/// Tries it.
///
/// # Errors
/// Says what this machine lacks: root, a program, or something that its kernel or container does not allow.
pub fn able() -> anyhow::Result<()> {
    let tools = Tools::find()?;
    let prefix = format!("{MARK}{:04x}", rand::random::<u16>());
    let tried = hosts_are_joined_and_cut(&prefix)
        .context("network namespaces with a bridge that filters are not to be had here")
        .and_then(|()| {
            let tell = "processes cannot be frozen and killed by their control group here";
            groups_freeze_and_kill(&tools, &prefix).context(tell)
        });
    let removed = clean::remove(&prefix);
    tried.and(removed)
}

fn hosts_are_joined_and_cut(prefix: &str) -> anyhow::Result<()> {
    let (one, other) = (Ipv4Addr::new(10, 99, 0, 1), Ipv4Addr::new(10, 99, 0, 2));
    let mut net = Net::create(prefix, &[("one", one), ("other", other)])?;
    net.cut(&between(&[one], &[other]))?;
    net.swallowed().map(drop)
}

fn groups_freeze_and_kill(tools: &Tools, prefix: &str) -> anyhow::Result<()> {
    let group = Group::create(&tools.cgroups, prefix, "one")?;
    let mut command = Command::new("sh");
    command.args(["-c", r#"echo $$ >"$0" && echo && exec sleep 60"#]).arg(group.door());
    let mut child = command.stdout(Stdio::piped()).spawn().context("sh does not start")?;
    // Its line says that it is in the group; it ends without one if the group does not take it.
    let mut line = [0; 1];
    let stdout = child.stdout.as_mut().context("sh has an output")?;
    let entered = std::io::Read::read_exact(stdout, &mut line);
    let done = entered
        .context("the group takes no process")
        .and_then(|()| group.freeze())
        .and_then(|()| group.kill());
    let _ = child.kill();
    child.wait().context("sh does not end")?;
    done
}
