//! For `haad check`: what the server's program says against parameters, while there are no data yet. Never touches
//! anything.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use super::tool::withheld;
use super::vet::in_short;

/// Why Postgres would not start with this parameter, in its own words; `None` if it would, as far as its program knows:
/// what extensions have, and files that a parameter names, are not looked at.
///
/// # Errors
/// The program cannot be run.
pub fn refused(bin_directory: &Path, name: &str, value: &str) -> io::Result<Option<String>> {
    if name.contains('.') {
        return Ok(None);
    }
    let mut command = Command::new(bin_directory.join("postgres"));
    for key in withheld("PG_OOM_ADJUST_") {
        command.env_remove(key);
    }
    // With no data and no file, it says what it makes of the arguments, and ends.
    command.args(["-C", name, "-D", "/dev/null", "-c", "config_file=/dev/null"]);
    command.arg("-c").arg(format!("{name}={value}")).env("LC_ALL", "C").stdin(Stdio::null());
    let ended = command.output()?;
    if ended.status.success() {
        return Ok(None);
    }
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    Ok(Some(in_short(&said.lines().collect::<Vec<_>>().join(" | "))))
}
