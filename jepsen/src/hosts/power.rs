//! Power of hosts: what their file systems had not been told to keep is gone with it, and everything that runs. Decides
//! on no fault.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};

use anyhow::{Context as _, ensure};

use super::host::Host;
use super::lab::Lab;
use super::tools::run;

/// `EXT4_IOC_SHUTDOWN` with `EXT4_GOING_FLAGS_NOLOGFLUSH`: nothing more reaches the disk. By perl, which every Debian
/// has, because the kernel takes it by no other way than an ioctl.
const SHUTDOWN: &str = r#"open(my $f, "<", $ARGV[0]) or die "open: $!\n";
my $flags = pack("L", 2); ioctl($f, 0x8004587D, $flags) or die "ioctl: $!\n";"#;

impl Lab {
    /// These hosts lose their power in one moment; answers what shows it.
    ///
    /// # Errors
    /// When a file system cannot be shut down, or somebody outlives it.
    pub fn cut_power(&mut self, names: &[&'static str]) -> anyhow::Result<String> {
        for name in names {
            self.unplug(name)?;
            self.host(name)?.group.freeze()?;
        }
        let mut shown = Vec::new();
        for name in names {
            let disk = self.disk(name);
            let place = disk.to_string_lossy().into_owned();
            run(&["perl", "-e", SHUTDOWN, &place])?;
            let refused = fs::write(disk.join("after"), "").err();
            let refused = refused.with_context(|| format!("{place} still takes files"))?;
            shown.push(format!("{name}: {refused}"));
        }
        for name in names {
            let place = self.disk(name).to_string_lossy().into_owned();
            // Another fault may have it hang, and who waits for it cannot die.
            let _ = run(&["fsfreeze", "--unfreeze", &place]);
            self.host(name)?.group.kill()?;
            run(&["umount", &place])?;
        }
        Ok(shown.join("; "))
    }

    /// Power is back: the disk is mounted as it was left, the cable plugged, the agent started.
    ///
    /// # Errors
    /// When it cannot be done.
    pub fn restore_power(&mut self, name: &'static str) -> anyhow::Result<()> {
        if !self.has_power(name)? {
            let host = self.host(name)?.clone();
            self.attach(&host)?;
            self.plug(name)?;
        }
        self.start_member(name)
    }

    /// Whether its disk is there.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn has_power(&self, name: &str) -> anyhow::Result<bool> {
        let place = self.disk(name).to_string_lossy().into_owned();
        let mounts = fs::read_to_string("/proc/mounts").context("cannot read /proc/mounts")?;
        Ok(mounts.lines().any(|line| line.split(' ').nth(1) == Some(place.as_str())))
    }

    /// Gives a member's data a new file system of their own, if that was wished.
    pub(super) fn mount(&self, host: &Host) -> anyhow::Result<()> {
        let Some(size) = self.plan.disk_mb else { return Ok(()) };
        let (image, place) = (self.image(host), host.home.join("disk"));
        run(&["truncate", &format!("--size={size}M"), &image])?;
        run(&["mkfs.ext4", "-q", "-m", "0", &image])?;
        self.attach(host)?;
        let (uid, gid) = self.tools.user;
        chown(&place, Some(uid), Some(gid))?;
        Ok(fs::set_permissions(&place, Permissions::from_mode(0o700))?)
    }

    fn attach(&self, host: &Host) -> anyhow::Result<()> {
        ensure!(self.plan.disk_mb.is_some(), "{} has no disk of its own", host.name);
        let place = host.home.join("disk").to_string_lossy().into_owned();
        run(&["mount", "-o", "loop", &self.image(host), &place]).map(drop)
    }

    fn image(&self, host: &Host) -> String {
        self.directory.join(format!("{}.ext4", host.name)).to_string_lossy().into_owned()
    }
}
