//! Who led, as the cluster wrote it into etcd, and who said so when it was asked. Judges none of it.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;

use haa_core::records::HistoryRecord;

use crate::checkers::Leadership;
use crate::hosts::Lab;
use crate::hosts::tools::run;
use crate::workloads::Recorder;

/// A member that answered `/primary` with 200: it accepted writes, then or later, in this term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) member: String,
    pub(super) term: u64,
    /// When it was asked first and said so, nanoseconds since the run began.
    pub(super) from: u64,
    /// When it was asked last, nanoseconds since the run began.
    pub(super) at: u64,
}

/// A record of etcd, in the order in which they were written; or what stands for one that there is not.
#[derive(Clone, Debug)]
struct Written {
    term: u64,
    leader: String,
    timeline: Option<u32>,
    /// Since when it accepted writes, nanoseconds since the run began.
    from: u64,
}

const PREFIX: &str = "/haa/jepsen/history/";

/// In the order of their first writes, not of their terms: that these rise is for a judge to say.
pub(super) fn leaderships(
    lab: &Lab,
    recorder: &Recorder,
    seen: &[Seen],
) -> anyhow::Result<Vec<Leadership>> {
    let endpoints: Vec<String> =
        lab.etcds().iter().map(|host| format!("http://{}:2379", host.address)).collect();
    let endpoints = format!("--endpoints={}", endpoints.join(","));
    let order = ["--sort-by=CREATE", "--order=ASCEND"];
    let get = ["env", "ETCDCTL_API=3", "etcdctl", &endpoints, "get", "--prefix", PREFIX];
    let text = run(&[&get[..], &order].concat());
    let text = text.context("the cluster's own record cannot be read from etcd")?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let began = now.saturating_sub(Duration::from_nanos(recorder.now()));
    Ok(until(&read(&text, began)?, seen))
}

/// A key and its value, a line each.
fn read(text: &str, began: Duration) -> anyhow::Result<Vec<Written>> {
    let lines: Vec<&str> = text.lines().collect();
    let mut all = Vec::new();
    for pair in lines.chunks(2) {
        let [key, value] = pair else { anyhow::bail!("a record of etcd has no value: {pair:?}") };
        // What was discarded lies beside it, under other names.
        let Some(term) = key.strip_prefix(PREFIX).and_then(|term| term.parse().ok()) else {
            continue;
        };
        let tell = || format!("the record {key} does not read: {value}");
        let record: HistoryRecord = serde_json::from_str(value).with_context(tell)?;
        let from = Duration::from_millis(record.at_unix_ms).saturating_sub(began);
        all.push(Written {
            term,
            leader: record.leader.to_string(),
            timeline: Some(record.timeline.0),
            from: u64::try_from(from.as_nanos()).unwrap_or(u64::MAX),
        });
    }
    Ok(all)
}

/// Each until the next one began; but if it was seen to accept writes after another one had begun, until then.
fn until(written: &[Written], seen: &[Seen]) -> Vec<Leadership> {
    let all = with_seen(written, seen);
    let told = all.iter().enumerate().map(|(number, one)| {
        let own = seen.iter().filter(|seen| seen.member == one.leader && seen.term == one.term);
        let last = own.map(|seen| seen.at).max().unwrap_or(0);
        let to = all.get(number + 1).map(|next| match next.leader == one.leader {
            true => next.from,
            false => next.from.max(last),
        });
        Leadership {
            term: one.term,
            leader: one.leader.clone(),
            timeline: one.timeline,
            from: one.from,
            to,
        }
    });
    told.collect()
}

/// With those who were seen to accept writes in a term that is not on record: it is written once a member leads, with
/// one try, and who is lost before that has led all the same. Each stands where it was seen first.
fn with_seen(written: &[Written], seen: &[Seen]) -> Vec<Written> {
    let mut all = written.to_vec();
    let recorded =
        |seen: &Seen| written.iter().any(|one| one.leader == seen.member && one.term == seen.term);
    for one in seen.iter().filter(|seen| !recorded(seen)) {
        let place = all.iter().position(|other| other.from > one.from).unwrap_or(all.len());
        let (term, leader, from) = (one.term, one.member.clone(), one.from);
        all.insert(place, Written { term, leader, timeline: None, from });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::{Anomaly, Checker, Options, Verdict, judge};
    use crate::history::Event;

    const SECOND: u64 = 1_000_000_000;

    fn line(term: u64, leader: &str, timeline: u32, second: u64) -> String {
        let at = second * 1_000;
        let record = serde_json::json!({
            "leader": leader, "timeline": timeline, "fork": null, "reason": "bootstrap",
            "at_unix_ms": at, "took_ms": 7,
        });
        format!("{PREFIX}{term}\n{record}\n")
    }

    fn seen(member: &str, term: u64, second: u64) -> Seen {
        Seen { member: member.to_owned(), term, from: second * SECOND, at: second * SECOND }
    }

    /// What the judge of the record says of these lines; nobody acknowledged anything.
    fn judged(text: &str, seen: &[Seen]) -> Verdict {
        let leaderships = until(&read(text, Duration::ZERO).unwrap(), seen);
        let options =
            Options { leaderships, demanded: vec![Checker::Record], ..Options::default() };
        let history: Vec<Event> = Vec::new();
        judge(&history, &options).verdict
    }

    fn found(verdict: &Verdict) -> Vec<&str> {
        assert!(verdict.findings().iter().all(|finding| finding.anomaly == Anomaly::Record));
        verdict.findings().iter().map(|finding| finding.text.as_str()).collect()
    }

    #[test]
    fn a_record_in_order_holds_nothing_against_anybody() {
        let text = line(1, "n1", 1, 1) + &line(4, "n2", 2, 9) + &line(5, "n2", 2, 20);
        let seen = [seen("n1", 1, 8), seen("n2", 4, 21)];
        assert!(found(&judged(&text, &seen)).is_empty());
    }

    #[test]
    fn terms_that_fall_in_the_order_of_writing_are_found() {
        let text = line(4, "n1", 1, 1) + &line(3, "n2", 2, 9);
        assert_eq!(found(&judged(&text, &[])), ["Term 3 of n2 follows term 4 of n1."]);
    }

    #[test]
    fn one_who_accepts_writes_after_the_next_one_began_is_found() {
        let text = line(1, "n1", 1, 1) + &line(2, "n2", 2, 9);
        let verdict = judged(&text, &[seen("n1", 1, 11)]);
        let said = found(&verdict);
        assert_eq!(said.len(), 1);
        assert!(said[0].starts_with("n1's term 1 ended at 11.000 s, after n2's"), "{}", said[0]);
    }

    #[test]
    fn one_who_accepts_writes_in_a_term_that_is_not_on_record_is_judged_too() {
        let text = line(1, "n1", 1, 1) + &line(3, "n3", 3, 20);
        assert!(found(&judged(&text, &[seen("n2", 2, 9)])).is_empty(), "it led in between");
        let late = judged(&text, &[seen("n2", 2, 25)]);
        assert_eq!(found(&late), ["Term 2 of n2 follows term 3 of n3."]);
        let both = [seen("n1", 1, 15), seen("n2", 2, 9)];
        let verdict = judged(&text, &both);
        let said = found(&verdict);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with("n1's term 1 ended at 15.000 s, after n2's"), "{}", said[0]);
    }

    #[test]
    fn no_record_is_not_known_and_one_that_does_not_read_is_an_error() {
        let Verdict::Unknown { reason } = judged("", &[]) else { panic!("an empty record") };
        assert!(reason.contains(Checker::Record.title()), "{reason}");
        let error = read(&format!("{PREFIX}1\n{{}}\n"), Duration::ZERO).unwrap_err();
        assert!(error.to_string().contains("history/1 does not read"), "{error}");
        assert!(read(&format!("{PREFIX}discarded/1\n{{}}\n"), Duration::ZERO).unwrap().is_empty());
    }
}
