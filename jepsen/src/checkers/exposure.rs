//! Exposure: what anybody read is there in the end. Never asks whether it was acknowledged to its writer.

use super::calls::{Call, End};
use super::elements::places;
use super::options::{Exposure, Options};
use super::presence::gone;
use super::verdict::{Anomaly, Finding, Findings};
use super::{Judged, Sentence};

pub(crate) fn check(calls: &[Call<'_>], options: &Options) -> Judged {
    let places = places(calls);
    let looked_at: usize = places.values().map(|all| all.reads.len()).sum();
    if looked_at == 0 {
        return None;
    }
    let (mut findings, mut apart) = (Findings::default(), Findings::default());
    for (place, all) in &places {
        let writers = all.writers();
        for (element, reader, last) in gone(all, options) {
            let writer = writers.get(&element).copied();
            // What nobody wrote is a phantom, and found as one.
            let Some(writer) = writer.filter(|writer| writer.end != End::Fail) else { continue };
            let counted = options.exposure == Exposure::Counted && !writer.ok();
            let to = if counted { &mut apart } else { &mut findings };
            let told = if writer.ok() { "acknowledged" } else { "not acknowledged" };
            let text = format!(
                "{element} in {place}, {told} to client {}, was read by {} and is gone: {} no longer \
                 finds it.",
                writer.process,
                reader.who(),
                last.who()
            );
            to.push(Finding::about(Anomaly::Exposed, text, &[writer, reader, last]));
        }
    }
    Some(Sentence { verdict: findings.verdict(), apart: apart.told(), looked_at })
}

#[cfg(test)]
mod tests {
    use super::super::calls::tests::Script;
    use super::*;
    use crate::history::Op;

    fn all(elements: &[u64]) -> Op {
        Op::All(Some(elements.to_vec()))
    }

    fn exposed() -> Script {
        let mut script = Script::default();
        script.invoke(1, Op::Add(1)).done(2, all(&[1]), "~n3").unknown(1, Op::Add(1));
        script.done(3, all(&[]), "n2/2");
        script
    }

    #[test]
    fn what_was_read_and_is_gone_is_found_also_where_nobody_acknowledged_it() {
        let script = exposed();
        let calls = script.calls();
        let sentence = check(&calls, &Options::default()).unwrap();
        let findings = sentence.verdict.findings();
        assert_eq!(findings.len(), 1);
        assert!(findings[0].text.contains("was read by client 2 on replica n3 at 2.000 s"));
    }

    #[test]
    fn the_profile_that_cancels_counts_it_apart() {
        let script = exposed();
        let calls = script.calls();
        let options = Options { exposure: Exposure::Counted, ..Options::default() };
        let sentence = check(&calls, &options).unwrap();
        assert!(sentence.verdict.is_valid());
        assert_eq!(sentence.apart.len(), 1);
    }

    #[test]
    fn what_is_still_there_or_was_never_read_is_fine() {
        let mut script = Script::default();
        script.invoke(1, Op::Add(1)).done(2, all(&[]), "n1").unknown(1, Op::Add(1));
        script.done(1, Op::Add(2), "n1").done(2, all(&[2]), "n1").done(3, all(&[2]), "n2/2");
        assert!(check(&script.calls(), &Options::default()).unwrap().verdict.is_valid());
    }
}
