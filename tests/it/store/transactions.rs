//! Transactions, requests and history: what is written, refused, shown.

use std::collections::BTreeMap;
use std::time::Instant;

use haa::store::StoreError;
use haa_core::input::Outcome;
use haa_core::reason::Reason;
use haa_core::records::{Ask, HistoryRecord, Key, Phases, Record, RequestRecord, RequestState};
use haa_core::units::{Revision, Term, Timeline};

use super::{Bench, at, etcd, leader, leader_of, plain};

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_answered_with_what_it_left() {
    let (etcd, _directory) = etcd();
    let mut bench = Bench::new(&at(vec![etcd.endpoint()]));
    let absent = vec![(Key::Leader, Revision::ABSENT)];

    let (outcome, view) = bench.txn(absent.clone(), vec![(leader("n1", 1), None)], vec![]).await;
    assert_eq!(outcome, Outcome::Committed);
    assert_eq!(leader_of(&view), Some("n1"));
    let kept = view.leader.expect("the leader");
    assert_eq!((kept.revision, kept.lease), (view.revision, None));

    let (outcome, view) = bench.txn(absent, vec![(leader("n2", 2), None)], vec![]).await;
    assert_eq!(outcome, Outcome::Refused);
    assert_eq!(leader_of(&view), Some("n1"), "a refusal shows why");

    let exact = vec![(Key::Leader, kept.revision), (Key::Term, Revision::ABSENT)];
    let (outcome, view) = bench.txn(exact.clone(), vec![(leader("n2", 2), None)], vec![]).await;
    assert_eq!((outcome, leader_of(&view)), (Outcome::Committed, Some("n2")));
    let (outcome, _) = bench.txn(exact, vec![], vec![Key::Leader]).await;
    assert_eq!(outcome, Outcome::Refused, "the revision has moved");

    let current = vec![(Key::Leader, view.leader.expect("the leader").revision)];
    let (outcome, view) = bench.txn(current, vec![], vec![Key::Leader]).await;
    assert_eq!((outcome, leader_of(&view)), (Outcome::Committed, None));
    bench.store.shutdown().await;
}

fn history(term: u64, at_unix_ms: u64) -> Record {
    let record = HistoryRecord {
        leader: "n1".parse().expect("a legal name"),
        timeline: Timeline(1),
        fork: None,
        reason: Reason::Bootstrap,
        at_unix_ms,
        took_ms: 5,
        phases: Phases::default(),
        candidates: BTreeMap::new(),
    };
    Record::History(Term(term), record)
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_stamped_sorted_and_apart() {
    let (etcd, _directory) = etcd();
    let mut bench = Bench::new(&at(vec![etcd.endpoint()]));
    let before = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_millis();
    let records = vec![(history(10, 0), None), (history(9, 77), None)];
    let view = bench.write(records).await;
    assert!(view.requests.is_empty() && view.members.is_empty());
    plain(&etcd).await.put("/haa/shop/history/8", "no JSON", None).await.expect("a put");

    let all = bench.store.history().await.expect("the history");
    let terms: Vec<Term> = all.iter().map(|(term, _)| *term).collect();
    assert_eq!(terms, [Term(9), Term(10)], "by number, without what cannot be read");
    assert_eq!(all[0].1.record.at_unix_ms, 77, "a time that is there is kept");
    assert!(u128::from(all[1].1.record.at_unix_ms) >= before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_taken_once() {
    let (etcd, _directory) = etcd();
    let mut bench = Bench::new(&at(vec![etcd.endpoint()]));
    let record = RequestRecord {
        ask: Ask::Switchover { to: None },
        by: "test".to_owned(),
        asked_unix_ms: 1,
        due: None,
        ended_unix_ms: None,
        state: RequestState::Pending,
    };
    bench.store.ask("7f".to_owned(), record.clone()).await.expect("it is taken");
    let (view, _) = bench.until_view(|view, _| !view.requests.is_empty()).await;
    assert_eq!(view.requests["7f"].value, record);
    let again = bench.store.ask("7f".to_owned(), record.clone()).await;
    assert!(matches!(again, Err(StoreError::AlreadyThere { .. })), "{again:?}");

    // What nobody acts on is taken back once, and told as an event; what somebody acts on is not.
    let why = || "nobody acted on it".to_owned();
    let take_back = |id: &str| bench.store.withdraw(id.to_owned(), why());
    assert!(take_back("7f").await.expect("etcd answers"));
    assert!(!take_back("7f").await.expect("etcd answers"), "it has come to its end");
    assert!(!take_back("80").await.expect("etcd answers"), "there is none");
    let events = bench.store.events().await.expect("etcd answers");
    let refused = RequestRecord { state: RequestState::Refused { why: why() }, ..record.clone() };
    let ended_unix_ms = events.first().and_then(|(_, event)| event.ended_unix_ms);
    assert!(ended_unix_ms.is_some(), "when it ended is told: {events:?}");
    assert_eq!(events, [("7f".to_owned(), RequestRecord { ended_unix_ms, ..refused })]);
    let accepted =
        RequestRecord { state: RequestState::Accepted { term: Term(3) }, ..record.clone() };
    bench.store.ask("81".to_owned(), accepted).await.expect("it is taken");
    assert!(!take_back("81").await.expect("etcd answers"));

    // Of what may not have come yet the name is taken; what has come is taken back as ever, and only once.
    let forestall = |id: &str| bench.store.forestall(id.to_owned(), record.clone(), why());
    assert!(forestall("82").await.expect("etcd answers"));
    let late = bench.store.ask("82".to_owned(), record.clone()).await;
    assert!(matches!(late, Err(StoreError::AlreadyThere { .. })), "{late:?}");
    bench.store.ask("83".to_owned(), record.clone()).await.expect("it is taken");
    for (id, taken) in [("83", true), ("83", false), ("82", false), ("81", false)] {
        assert_eq!(forestall(id).await.expect("etcd answers"), taken, "{id}");
    }
    let events = bench.store.events().await.expect("etcd answers");
    let mut told: Vec<&str> = events.iter().map(|(id, _)| id.as_str()).collect();
    told.sort_unstable();
    assert_eq!(told, ["7f", "82", "83"], "{events:?}");
}

/// Says how long it took; asserts nothing about it.
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_transactions_are_measured() {
    let (etcd, _directory) = etcd();
    let mut bench = Bench::new(&at(vec![etcd.endpoint()]));
    let mut other = Bench::new(&at(vec![etcd.endpoint()]));
    let (mut took, mut told) = (Vec::new(), Vec::new());
    let (mut revision, mut last) = (Revision::ABSENT, Outcome::Committed);
    for term in 0.. {
        let began = Instant::now();
        let compare = vec![(Key::Leader, revision)];
        let (outcome, view) = bench.txn(compare, vec![(leader("n1", term), None)], vec![]).await;
        // One whose answer came too late may have been done after it was looked for.
        let late = last == Outcome::Unknown;
        assert!(outcome != Outcome::Refused || late, "nobody else writes");
        last = outcome;
        revision = view.leader.as_ref().map_or(Revision::ABSENT, |kept| kept.revision);
        if outcome != Outcome::Committed {
            continue;
        }
        took.push(began.elapsed());
        other.until_view(|shown, _| shown.revision >= view.revision).await;
        told.push(began.elapsed());
        if told.len() == 200 {
            break;
        }
    }
    for (what, mut spans) in [("answered", took), ("told by another's watch", told)] {
        spans.sort();
        println!(
            "200 transactions {what}: p50 {:?} p99 {:?} max {:?}",
            spans[100], spans[198], spans[199]
        );
    }
}
