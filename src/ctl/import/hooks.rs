//! Patroni's callbacks and `pre_promote`: what becomes of each. Runs none.

use super::draft::Draft;
use super::yaml::Node;

/// As Patroni calls them: the event, the role and the cluster come last.
const ARGUMENTS: &str = r#""$HAA_EVENT" "$HAA_ROLE" "$HAA_CLUSTER""#;

/// `postgresql.callbacks`
pub(super) fn callbacks(draft: &mut Draft, section: &Node, full: &str) {
    for (key, at) in section.value.entries() {
        let from = format!("{full}.{key}");
        match key.as_str() {
            "on_role_change" | "on_start" | "on_stop" => {
                let why = "run as Patroni does it, with the event, the role and the cluster as its arguments";
                taken(draft, (at, &from), &format!("hooks.{key}"), (ARGUMENTS, why));
            }
            "on_restart" => {
                draft.lost(at, &from, "a restart is told as hooks.on_stop and hooks.on_start");
            }
            _ => draft.lost(at, &from, "haa has no such event: see docs/operations.md, Hooks"),
        }
    }
}

/// `postgresql.pre_promote`
pub(super) fn pre_promote(draft: &mut Draft, at: &Node, full: &str) {
    let why = "it has hooks.before_promote_timeout, 1 s, to end: every failover waits for it";
    taken(draft, (at, full), "hooks.before_promote", ("", why));
}

/// haad runs no shell by itself, and Patroni only splits words: what means more to a shell is left out.
fn taken(draft: &mut Draft, (at, from): (&Node, &str), to: &str, (arguments, why): (&str, &str)) {
    let said = at.value.text().unwrap_or_default();
    if said.trim().is_empty() || said.contains(means_more) {
        let instead = format!("write it as {to}: the program with its path, and its arguments");
        return draft.lost(at, from, instead);
    }
    let line = format!("exec {} {arguments}", said.trim());
    let words = ["/bin/sh", "-c", line.trim()].map(toml::Value::from);
    draft.put(to, words.to_vec());
    draft.changed(at, from, to, why);
}

/// To a shell.
pub(super) fn means_more(c: char) -> bool {
    c.is_control() || "$`;&|<>()*?[#~!{".contains(c)
}
