//! What happens in a playground: the live view of any cluster on a terminal, else one line for each change. Looks only.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::ctl::list::Overview;
use crate::ctl::target::Target;
use crate::ctl::watch::show;

use super::{Playground, PlaygroundError};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);

/// Shows the playground until `end` comes, or on a terminal a key that ends it.
///
/// # Errors
/// When it cannot be written.
pub async fn watch(
    playground: &Playground,
    end: impl Future<Output = ()>,
) -> Result<(), PlaygroundError> {
    let names = playground.names();
    let target = Target::of(names.iter().map(|name| playground.api(name)).collect(), None);
    if io::stdout().is_terminal() && io::stdin().is_terminal() {
        return show(&target, end).await.map_err(PlaygroundError::Write);
    }
    let mut view = View::new();
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut end = std::pin::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => return Ok(()),
            _ = ticks.tick() => {}
        }
        let seen = tokio::select! {
            () = &mut end => return Ok(()),
            seen = Overview::fetch(&target) => seen,
        };
        let fresh = match seen {
            Ok(overview) => view.see(&overview),
            Err(error) => view.silence(&error.to_string()),
        };
        tell(&fresh).map_err(PlaygroundError::Write)?;
    }
}

fn tell(fresh: &[String]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    fresh.iter().try_for_each(|event| writeln!(out, "{event}"))?;
    out.flush()
}

/// What was seen last.
struct View {
    began: Instant,
    silent: bool,
    known: BTreeMap<String, String>,
}

impl View {
    fn new() -> Self {
        Self { began: Instant::now(), silent: false, known: BTreeMap::new() }
    }

    /// Takes a new look; answers what changed, one line each.
    fn see(&mut self, now: &Overview) -> Vec<String> {
        let mut facts: BTreeMap<String, String> = now
            .members
            .iter()
            .map(|member| {
                let timeline =
                    member.timeline.map_or("unknown".to_owned(), |number| number.to_string());
                let fact =
                    format!("{} {}, timeline {timeline}", member.role_word(), member.shown_state());
                (member.name.clone(), fact)
            })
            .collect();
        for name in self.known.keys() {
            facts.entry(name.clone()).or_insert_with(|| "gone from the store".to_owned());
        }
        let writes = now.writable.as_deref().unwrap_or("nobody");
        let term = now.term.map_or(String::new(), |term| format!(" in term {term}"));
        facts.insert("writes go to".to_owned(), format!("{writes}{term}"));
        let changed = facts.iter().filter(|(name, fact)| self.known.get(*name) != Some(fact));
        let lines = changed.map(|(name, fact)| format!("{name}: {fact}")).collect();
        (self.known, self.silent) = (facts, false);
        self.note(lines)
    }

    /// Nobody answers.
    fn silence(&mut self, why: &str) -> Vec<String> {
        let known = std::mem::replace(&mut self.silent, true);
        self.note(if known { Vec::new() } else { vec![why.to_owned()] })
    }

    fn note(&self, lines: Vec<String>) -> Vec<String> {
        let at = self.began.elapsed().as_secs_f64();
        lines.into_iter().map(|line| format!("{at:7.1} s  {line}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::documents::MemberView;

    fn overview(role: &str) -> Overview {
        let member =
            MemberView { name: "n1".to_owned(), role: role.to_owned(), ..MemberView::default() };
        Overview { members: vec![member], ..Overview::default() }
    }

    #[test]
    fn only_what_changed_is_an_event() {
        let mut view = View::new();
        assert_eq!(view.see(&overview("replica")).len(), 2);
        assert!(view.see(&overview("replica")).is_empty());
        let events = view.see(&overview("leader"));
        assert_eq!(events.len(), 1);
        assert!(events[0].contains("n1: primary"), "{events:?}");
        let events = view.see(&Overview::default());
        assert!(events[0].contains("n1: gone from the store"), "{events:?}");
    }

    #[test]
    fn silence_is_told_once() {
        let mut view = View::new();
        assert_eq!(view.silence("no agent").len(), 1);
        assert!(view.silence("no agent").is_empty());
    }
}
