//! A judgement as a terminal shows it. Never leaves out why a run is not valid.

use std::collections::BTreeMap;
use std::fmt;

use super::{Anomaly, Report, Verdict};

/// How many findings of one sort are told.
const SHOWN: usize = 3;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.counts;
        writeln!(
            f,
            "{}: {} operations acknowledged, {} failed, {} unknown",
            self.verdict.word(),
            counts.ok,
            counts.fail,
            counts.unknown
        )?;
        for check in &self.checks {
            let (word, title) = (check.verdict.word(), check.checker.title());
            let of = check.workload.as_ref().map_or_else(String::new, |name| format!("{name}, "));
            writeln!(f, "  {word:7} {of}{title} ({} operations)", check.looked_at)?;
            tell(f, &check.verdict)?;
            for finding in check.apart.iter().take(SHOWN) {
                writeln!(f, "          no failure: {}", finding.text)?;
            }
        }
        // What no single judge says: nothing happened, or one that was demanded had nothing to judge by.
        let said =
            |reason: &str| self.checks.iter().any(|check| reason_of(&check.verdict) == reason);
        match reason_of(&self.verdict) {
            "" => Ok(()),
            reason if said(reason) => Ok(()),
            reason => writeln!(f, "  {reason}"),
        }
    }
}

fn reason_of(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::Unknown { reason } => reason,
        Verdict::Valid | Verdict::Invalid { .. } => "",
    }
}

fn tell(f: &mut fmt::Formatter<'_>, verdict: &Verdict) -> fmt::Result {
    match verdict {
        Verdict::Valid => Ok(()),
        Verdict::Unknown { reason } => writeln!(f, "          {reason}"),
        Verdict::Invalid { findings, more } => {
            let mut told: BTreeMap<Anomaly, usize> = BTreeMap::new();
            let mut untold = *more;
            for finding in findings {
                let alike = told.entry(finding.anomaly).or_default();
                *alike += 1;
                if *alike <= SHOWN {
                    writeln!(f, "          {}", finding.text)?;
                } else {
                    untold += 1;
                }
            }
            if untold > 0 {
                writeln!(f, "          and {untold} more")?;
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::calls::tests::Script;
    use super::super::{Options, judge};
    use crate::history::Op;

    #[test]
    fn a_judgement_is_told_with_its_reasons() {
        let mut script = Script::default();
        for element in 0..5 {
            script.done(1, Op::Add(element), "n1");
        }
        script.done(2, Op::All(Some(vec![4])), "n2/2");
        let told = judge(&script.events, &Options::default()).to_string();
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines[0], "invalid: 6 operations acknowledged, 0 failed, 0 unknown");
        assert!(lines[1].starts_with("  invalid set: every acknowledged element"), "{told}");
        assert!(lines[2].starts_with("          0 in the set was acknowledged to client 1"));
        assert_eq!(lines[5], "          and 1 more");
        assert!(lines[6].starts_with("  valid   one writer"), "{told}");
        let told = judge(&[], &Options::default()).to_string();
        assert!(told.ends_with(
            "Nothing was acknowledged: a run in which nothing happens proves nothing.\n"
        ));
    }
}
