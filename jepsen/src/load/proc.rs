//! What a process costs, as the kernel counts it: memory and time on a core. Only reads.

use std::fs;
use std::time::Instant;

use anyhow::Context as _;

/// Memory of a process, in kB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// Resident.
    pub(super) rss_kb: u64,
    /// The same, but what it shares with others counts in parts.
    pub(super) pss_kb: u64,
}

/// Time on a core since a process began, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Worked {
    /// Its own threads.
    pub(super) own: f64,
    /// Children that have ended, and that it waited for.
    pub(super) children: f64,
}

/// A process at one instant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    at: Instant,
    worked: Worked,
    pub(super) memory: Memory,
}

impl Look {
    /// Looks.
    ///
    /// # Errors
    /// When the process is gone.
    pub(super) fn at(pid: i32) -> anyhow::Result<Self> {
        let read = |file: &str| {
            let path = format!("/proc/{pid}/{file}");
            fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
        };
        let worked = worked(&read("stat")?, rustix::param::clock_ticks_per_second())?;
        Ok(Self { at: Instant::now(), worked, memory: memory(&read("smaps_rollup")?)? })
    }

    /// Percent of one core since an earlier look: its own, and its children's.
    pub(super) fn since(&self, earlier: &Self) -> (f64, f64) {
        let seconds = self.at.duration_since(earlier.at).as_secs_f64();
        let percent = |now: f64, then: f64| 100.0 * (now - then) / seconds.max(0.001);
        let own = percent(self.worked.own, earlier.worked.own);
        (own, percent(self.worked.children, earlier.worked.children))
    }
}

/// Of `/proc/PID/smaps_rollup`.
fn memory(text: &str) -> anyhow::Result<Memory> {
    let kb = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let amount = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        amount.with_context(|| format!("smaps_rollup has no line {name}"))
    };
    Ok(Memory { rss_kb: kb("Rss:")?, pss_kb: kb("Pss:")? })
}

/// Of `/proc/PID/stat`. A program's name may have spaces and brackets in it: what follows the last one counts.
fn worked(text: &str, ticks: u64) -> anyhow::Result<Worked> {
    let (_, rest) = text.rsplit_once(')').context("a stat without a name")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let seconds = |at: usize| -> anyhow::Result<f64> {
        let field = fields.get(at).context("a stat that is too short")?;
        let ticked: u32 =
            field.parse().with_context(|| format!("{field} is no number of ticks"))?;
        let ticks = u32::try_from(ticks).context("a second has too many ticks")?;
        Ok(f64::from(ticked) / f64::from(ticks.max(1)))
    };
    Ok(Worked { own: seconds(11)? + seconds(12)?, children: seconds(13)? + seconds(14)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn memory_is_read_by_name() {
        let text = "55d-7ff ---p 00000000 00:00 0 [rollup]\nRss:               12340 kB\n\
                    Pss:                8000 kB\nPss_Dirty:          10 kB\nShared_Clean:  1 kB\n";
        assert_eq!(memory(text).unwrap(), Memory { rss_kb: 12_340, pss_kb: 8_000 });
        assert!(memory("Rss: 1 kB\n").is_err());
    }

    #[test]
    fn time_is_found_behind_a_name_with_brackets() {
        let text = "42 (a (b) c) S 1 42 42 0 -1 4194560 900 0 3 0 150 50 7 3 20 0 9 0 100 1 2";
        assert_eq!(worked(text, 100).unwrap(), Worked { own: 2.0, children: 0.1 });
        assert!(worked("42 (a) S 1", 100).is_err());
    }

    #[test]
    fn a_share_of_a_core_is_time_by_time() {
        let now = Instant::now();
        let memory = Memory::default();
        let worked = Worked { own: 1.0, children: 0.0 };
        let before = Look { at: now, worked, memory };
        let worked = Worked { own: 1.5, children: 0.1 };
        let after = Look { at: now + Duration::from_secs(10), worked, memory };
        let (own, children) = after.since(&before);
        assert!((own - 5.0).abs() < 1e-6 && (children - 1.0).abs() < 1e-6, "{own} {children}");
    }

    #[test]
    fn we_can_look_at_ourselves() {
        let look = Look::at(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(look.memory.rss_kb >= look.memory.pss_kb && look.memory.pss_kb > 0);
    }
}
