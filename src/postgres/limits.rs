//! Parameters of which a standby may not have less than its primary had: what the data ask for. Never writes them.

use std::path::Path;

use haa_core::parameters::LIMITS;

use super::control::Control;
use super::error::JobError;
use super::site::Site;
use super::tool::Tool;

/// What the data ask for of this one.
pub(super) fn of(control: &Control, name: &str) -> Option<u32> {
    LIMITS.into_iter().zip(control.limits).find(|(one, _)| *one == name).map(|(_, least)| least)
}

/// One of [`LIMITS`] that is set lower than the data ask for.
pub(super) struct Low {
    pub(super) name: &'static str,
    pub(super) set: u32,
    pub(super) least: u32,
}

/// Those that this configuration sets lower than the data ask for, with what they ask for. Said in the log.
pub(super) async fn too_low(
    site: &Site,
    control: &Control,
    config_file: &Path,
) -> Result<Vec<(&'static str, u32)>, JobError> {
    let low = below(site, control, config_file).await?;
    for Low { name, set, least } in &low {
        tracing::warn!(
            "{name} is {set}, but the data were last run with {least}, and a standby does not start with less: it is \
             run with {least}"
        );
    }
    Ok(low.into_iter().map(|low| (low.name, low.least)).collect())
}

/// The same, and nothing is said.
pub(super) async fn below(
    site: &Site,
    control: &Control,
    config_file: &Path,
) -> Result<Vec<Low>, JobError> {
    let mut low = Vec::new();
    for (name, least) in LIMITS.into_iter().zip(control.limits) {
        let said = Tool::new(site, "postgres")
            .path("-D", site.data())
            .path("-cconfig_file=", config_file)
            .arg("-C")
            .arg(name)
            .run(|_| ())
            .await?;
        let set = said.lines().find_map(|line| line.trim().parse::<u32>().ok());
        low.extend(set.filter(|set| *set < least).map(|set| Low { name, set, least }));
    }
    Ok(low)
}
