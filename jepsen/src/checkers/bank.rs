//! The bank: all balances of one snapshot are together what they always were, and the transfers explain how
//! they moved. Never asks in which order.

use super::calls::{Call, End, seconds};
use super::options::Options;
use super::verdict::{Anomaly, Finding, Findings};
use super::{Judged, Sentence};
use crate::history::Op;

pub(crate) fn check(calls: &[Call<'_>], options: &Options) -> Judged {
    let reads: Vec<(&Call<'_>, &[i64])> = calls
        .iter()
        .filter_map(|call| match call.op {
            Op::Balances(Some(balances)) if call.ok() => Some((call, balances.as_slice())),
            _ => None,
        })
        .collect();
    let transfers = calls.iter().filter(|call| matches!(call.op, Op::Transfer { .. })).count();
    if reads.is_empty() && transfers == 0 {
        return None;
    }
    let mut findings = Findings::default();
    let first = reads.first().map(|(_, balances)| sum(balances));
    let total = options.bank_total.map_or(first, |total| Some(i128::from(total)));
    for (call, balances) in &reads {
        let together = sum(balances);
        if let Some(total) = total.filter(|total| *total != together) {
            let who = call.who();
            let text =
                format!("{who} read {together} in the bank as a whole, which holds {total}.");
            findings.push(Finding::about(Anomaly::Total, text, &[call]));
        }
    }
    explained(calls, &reads, options, &mut findings);
    let reason = reads.is_empty().then(|| "The balances of the bank were never read.".to_owned());
    Sentence::plain(findings.verdict_unless(reason), reads.len() + transfers)
}

fn sum(balances: &[i64]) -> i128 {
    balances.iter().copied().map(i128::from).sum()
}

/// Between a read before all transfers and one after all acknowledged ones, each account moved by what was
/// acknowledged and at most by what is unknown.
fn explained(
    calls: &[Call<'_>],
    reads: &[(&Call<'_>, &[i64])],
    options: &Options,
    findings: &mut Findings,
) {
    let from = options.final_reads_from.unwrap_or(0);
    let on_primary = |read: &&(&Call<'_>, &[i64])| !read.0.on_replica();
    let Some((first, before)) = reads.iter().find(on_primary) else { return };
    let final_read = |read: &&(&Call<'_>, &[i64])| on_primary(read) && read.0.began_at >= from;
    let Some((last, after)) = reads.iter().rev().find(final_read) else { return };
    let transfers = || calls.iter().filter(|call| matches!(call.op, Op::Transfer { .. }));
    let apart = transfers()
        .all(|call| first.before(call) && (call.before(last) || call.end == End::Unknown));
    if !apart {
        return;
    }
    for (account, (before, after)) in before.iter().zip(*after).enumerate() {
        let moved = i128::from(*after) - i128::from(*before);
        let bounds = bounds(transfers(), account);
        if moved < bounds.0 || bounds.1 < moved {
            findings.push(lost(account, moved, bounds, (first, last)));
        }
    }
}

/// The least and the most that the transfers may have moved an account.
fn bounds<'c, 'h: 'c>(
    transfers: impl Iterator<Item = &'c Call<'h>>,
    account: usize,
) -> (i128, i128) {
    let (mut least, mut most) = (0, 0);
    for call in transfers {
        let Op::Transfer { from, to, amount } = call.op else { continue };
        let is = |number: &u32| usize::try_from(*number).is_ok_and(|number| number == account);
        let amount = i128::from(*amount);
        let moves = if is(to) { amount } else { 0 } - if is(from) { amount } else { 0 };
        match call.end {
            End::Ok => (least, most) = (least + moves, most + moves),
            End::Unknown => (least, most) = (least + moves.min(0), most + moves.max(0)),
            End::Fail => {}
        }
    }
    (least, most)
}

fn lost(
    account: usize,
    moved: i128,
    bounds: (i128, i128),
    reads: (&Call<'_>, &Call<'_>),
) -> Finding {
    let (least, most) = bounds;
    let due = if least == most { format!("{least}") } else { format!("{least} to {most}") };
    let text = format!(
        "Account {account} moved by {moved} between {} and {}, and by {due} if every acknowledged transfer \
         took place, and no other: one was lost, or made twice.",
        seconds(reads.0.ended_at),
        seconds(reads.1.ended_at)
    );
    Finding::about(Anomaly::Lost, text, &[reads.0, reads.1])
}

#[cfg(test)]
mod tests {
    use super::super::calls::tests::Script;
    use super::*;

    fn balances(all: &[i64]) -> Op {
        Op::Balances(Some(all.to_vec()))
    }

    fn pay(amount: i64) -> Op {
        Op::Transfer { from: 0, to: 1, amount }
    }

    fn found(script: &Script, options: &Options) -> Vec<Anomaly> {
        let verdict = check(&script.calls(), options).unwrap().verdict;
        verdict.findings().iter().map(|finding| finding.anomaly).collect()
    }

    #[test]
    fn transfers_that_took_place_or_may_have_are_valid() {
        let mut script = Script::default();
        script.done(1, balances(&[10, 10]), "n1").done(1, pay(3), "n1").invoke(2, pay(2));
        script.unknown(2, pay(2)).invoke(3, pay(5)).fail(3, pay(5));
        script.done(4, balances(&[10, 10]), "~n2").done(1, balances(&[5, 15]), "n1");
        assert_eq!(found(&script, &Options::default()), []);
        script.done(1, balances(&[7, 13]), "n1");
        assert_eq!(found(&script, &Options::default()), []);
    }

    #[test]
    fn a_total_that_changes_is_found_on_replicas_too() {
        let mut script = Script::default();
        script.done(1, balances(&[10, 10]), "n1").done(2, balances(&[7, 10]), "~n2");
        script.done(1, balances(&[10, 10]), "n1");
        assert_eq!(found(&script, &Options::default()), [Anomaly::Total]);
        let options = Options { bank_total: Some(17), ..Options::default() };
        assert_eq!(found(&script, &options), [Anomaly::Total, Anomaly::Total]);
    }

    #[test]
    fn a_transfer_that_is_lost_or_made_twice_is_found() {
        for last in [[10, 10], [4, 16]] {
            let mut script = Script::default();
            script.done(1, balances(&[10, 10]), "n1").done(1, pay(3), "n1");
            script.done(1, balances(&last), "n2/2");
            assert_eq!(found(&script, &Options::default()), [Anomaly::Lost, Anomaly::Lost]);
        }
    }
}
