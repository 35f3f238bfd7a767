//! `haactl status`: the verdict, in lines that a tired person can act on. Asks one agent; changes nothing.

use std::fmt::Write as _;

use super::at;
use super::error::CtlError;
use super::list::readable;
use super::print::{Output, document, say};
use super::target::Target;
use crate::verdict::standby::Following;
use crate::verdict::{Health, Loss, Outlook, Verdict};
use clap::Args;

/// Say whether the cluster is well, and what would happen if its primary died now
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  haactl status
  haactl status --output json | jq -r .health
  haactl status >/dev/null || echo look after the cluster

Exit codes: 0 healthy, 1 not healthy, 2 wrong usage, 3 no agent could be reached, or none can know,
4 token missing or refused")]
pub(super) struct StatusArgs {
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Runs the verb.
///
/// # Errors
/// When no agent answers, or the cluster is not healthy: that was said then.
pub(super) async fn run(args: &StatusArgs, target: &Target) -> Result<(), CtlError> {
    let verdict: Verdict = target.document("/status").await?;
    say(document(args.output, &verdict)?.unwrap_or_else(|| story(&verdict)))?;
    if verdict.health == Health::Healthy { Ok(()) } else { Err(CtlError::NotHealthy) }
}

fn primary(verdict: &Verdict) -> &str {
    verdict.primary.as_ref().map_or("nobody", |name| name.as_str())
}

/// The first line.
pub(super) fn headline(verdict: &Verdict) -> String {
    let primary = primary(verdict);
    let paused = if verdict.pause { "PAUSED, " } else { "" };
    if let Some(following) = verdict.standby.as_ref().filter(|_| verdict.health != Health::Unknown)
    {
        return format!("{paused}{}", standby(verdict, following));
    }
    let verdict_line = match verdict.health {
        Health::Healthy => format!("HEALTHY: {primary} accepts writes, and every member is well."),
        Health::Degraded => format!("DEGRADED: {primary} accepts writes, but"),
        Health::Down => "DOWN: nobody accepts writes. Of this member:".to_owned(),
        Health::Unknown => "UNKNOWN:".to_owned(),
    };
    format!("{paused}{verdict_line}")
}

/// The same of a cluster that follows another.
fn standby(verdict: &Verdict, Following { site, leader, behind_ms }: &Following) -> String {
    let what = format!("this is a standby of the cluster at {site}");
    let Some(leader) = leader else {
        return format!("DOWN: {what}, and nobody streams from there. Of this member:");
    };
    let behind = behind_ms.map(|ms| format!(", {} behind", seconds(ms / 100))).unwrap_or_default();
    match verdict.health {
        Health::Healthy => {
            format!(
                "HEALTHY: {what}; {leader} streams from there{behind}, and every member is well."
            )
        }
        Health::Degraded | Health::Down | Health::Unknown => {
            format!("DEGRADED: {what}; {leader} leads it{behind}, but")
        }
    }
}

fn story(verdict: &Verdict) -> String {
    let mut text = headline(verdict);
    for ail in &verdict.ails {
        let _ = write!(text, "\n  - {ail}");
    }
    for change in &verdict.pending {
        let _ = write!(text, "\nPending restart: {change}.");
    }
    if let Some(line) = at::line(&verdict.scheduled) {
        let _ = write!(text, "\n{line}");
    }
    if let Some(outlook) = &verdict.outlook {
        let what = if verdict.pause { PAUSED.to_owned() } else { sentence(outlook) };
        match &verdict.standby {
            None => {
                let _ = write!(text, "\nIf {} died now: {what}", primary(verdict));
            }
            Some(following) => text.push_str(&abroad(outlook, following)),
        }
    }
    text
}

/// What would happen in one that follows another.
fn abroad(outlook: &Outlook, following: &Following) -> String {
    let leader = following.leader.as_ref().map_or("its leader", |name| name.as_str());
    let next = match (&outlook.successor, outlook.host_ms) {
        (Some(name), Some(ms)) => {
            format!("{name} would stream from there after about {}.", seconds(ms / 100))
        }
        (_, _) => "nobody would follow before it is back.".to_owned(),
    };
    format!(
        "\nIf {leader} died now: {next}\nNobody here accepts writes before haactl promote-cluster."
    )
}

/// From tenths of one.
fn seconds(tenths: u64) -> String {
    format!("{}.{} s", tenths / 10, tenths % 10)
}

/// What would happen in a cluster that is paused.
const PAUSED: &str = "nobody would take over before haactl resume, or haactl failover.";

fn sentence(outlook: &Outlook) -> String {
    let Some(successor) = &outlook.successor else {
        return "nobody could take over before it is back, or another member is a voter and streams; \
                what was acknowledged is on its disk."
            .to_owned();
    };
    let when = match outlook.host_ms.map(|ms| ms.div_ceil(100)) {
        Some(tenths) => format!(
            "{successor} would lead; if its host were gone, writes would go on after about {}",
            seconds(tenths)
        ),
        None => format!(
            "{successor} would lead; if its host were gone, nobody could write before another voter is \
             back (strict)"
        ),
    };
    match outlook.loss {
        Loss::Nothing => format!("{when}. No acknowledged commit would be lost."),
        Loss::Bytes(bytes) => format!(
            "{when}. Commits of the last moments COULD BE LOST (async): {successor} was last heard to \
             lack {}.",
            readable(bytes)
        ),
        Loss::Unavailable => when,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Planned;

    fn verdict(successor: Option<&str>, loss: Loss) -> Verdict {
        let successor = successor.map(|name| name.parse().expect("a legal name"));
        let host_ms = successor.as_ref().map(|_| 1_200);
        Verdict {
            health: Health::Healthy,
            ails: Vec::new(),
            pending: Vec::new(),
            primary: Some("n1".parse().expect("a legal name")),
            pause: false,
            scheduled: Vec::new(),
            outlook: Some(Outlook { successor, host_ms, loss }),
            standby: None,
        }
    }

    #[test]
    fn a_standby_cluster_says_what_it_follows_and_what_would_come() {
        let leader = Some("n1".parse().expect("a legal name"));
        let following = Following { site: "a:1,b:2".to_owned(), leader, behind_ms: Some(250) };
        let verdict = Verdict {
            primary: None,
            standby: Some(Box::new(following)),
            ..verdict(Some("n2"), Loss::Nothing)
        };
        assert_eq!(
            story(&verdict),
            "HEALTHY: this is a standby of the cluster at a:1,b:2; n1 streams from there, 0.2 s behind, and every \
             member is well.\n\
             If n1 died now: n2 would stream from there after about 1.2 s.\n\
             Nobody here accepts writes before haactl promote-cluster."
        );
    }

    #[test]
    fn the_first_line_says_it_and_the_last_what_would_come() {
        let well = story(&verdict(Some("n2"), Loss::Nothing));
        assert_eq!(
            well,
            "HEALTHY: n1 accepts writes, and every member is well.\n\
             If n1 died now: n2 would lead; if its host were gone, writes would go on after about 1.2 s. \
             No acknowledged commit would be lost."
        );
        let lossy = story(&verdict(Some("n2"), Loss::Bytes(4096)));
        assert!(
            lossy.contains("COULD BE LOST (async): n2 was last heard to lack 4.0 kB"),
            "{lossy}"
        );
        let change = "max_connections is 100 and becomes 200 when Postgres is restarted on n1";
        let pending = vec![change.to_owned()];
        let waits = story(&Verdict { pending, ..verdict(Some("n2"), Loss::Nothing) });
        assert!(waits.contains(&format!("well.\nPending restart: {change}.\nIf n1")), "{waits}");
        let scheduled = vec![Planned::default()];
        let planned = story(&Verdict { scheduled, ..verdict(Some("n2"), Loss::Nothing) });
        assert!(planned.contains("well.\nScheduled: "), "{planned}");
        let paused =
            Verdict { health: Health::Degraded, pause: true, ..verdict(None, Loss::Unavailable) };
        let paused = story(&paused);
        assert!(paused.starts_with("PAUSED, DEGRADED: n1 accepts writes"), "{paused}");
        assert!(paused.contains("nobody would take over before haactl resume"), "{paused}");
        let alone = Verdict {
            health: Health::Degraded,
            ails: vec!["n2 does not stream".to_owned()],
            ..verdict(None, Loss::Unavailable)
        };
        let alone = story(&alone);
        assert!(
            alone.starts_with("DEGRADED: n1 accepts writes, but\n  - n2 does not stream\nIf n1")
        );
        assert!(alone.contains("nobody could take over"), "{alone}");
    }
}
