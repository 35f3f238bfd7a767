//! Parameters of which a standby may not have less than its primary had: what the data ask for. Only ever raises them.

use std::path::Path;

use super::control::Control;
use super::error::JobError;
use super::site::Site;
use super::tool::Tool;

/// In the order of `pg_control`. A hot standby does not start with less than what is there:
/// <https://www.postgresql.org/docs/current/hot-standby.html#HOT-STANDBY-ADMIN>.
pub(super) const LIMITS: [&str; 5] = [
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
];

/// Those that this configuration sets lower than the data ask for, with what they ask for.
pub(super) async fn too_low(
    site: &Site,
    control: &Control,
    config_file: &Path,
) -> Result<Vec<(&'static str, u32)>, JobError> {
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
        if let Some(set) = set.filter(|set| *set < least) {
            tracing::warn!(
                "{name} is {set}, but the data were last run with {least}, and a standby does not start with less: it \
                 is run with {least}"
            );
            low.push((name, least));
        }
    }
    Ok(low)
}
