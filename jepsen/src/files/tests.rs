//! What is written can be read again, by us and by Elle's readers.

use super::*;
use crate::checkers::{Anomaly, Isolation, Verdict};
use crate::history::{Op, Phase, Stamp, Step};

fn event(index: u64, phase: Phase, op: Op) -> Event {
    let stamp = (phase == Phase::Ok).then(|| Stamp {
        member: "n1".into(),
        timeline: 2,
        lsn: 0x300_0148,
        replica: false,
    });
    let error = (phase == Phase::Info).then(|| "said \"no\"\nand \\ left".to_owned());
    Event { index, time: index * 1000, process: 0, phase, op, stamp, error }
}

fn txn(list: Option<Vec<u64>>) -> Op {
    Op::Txn(vec![Step::Append { key: 3, value: 1 }, Step::Read { key: 3, list }])
}

fn every_sort() -> Vec<Event> {
    let both = |asked: Op, answer: Op| [(Phase::Invoke, asked), (Phase::Ok, answer)];
    let same = |op: Op| both(op.clone(), op);
    let mut all: Vec<(Phase, Op)> = Vec::new();
    all.extend(both(txn(None), txn(Some(vec![1]))));
    all.extend([(Phase::Invoke, txn(None)), (Phase::Info, txn(None))]);
    all.extend([(Phase::Invoke, Op::Add(7)), (Phase::Fail, Op::Add(7))]);
    all.extend(both(Op::Get { key: 1, value: None }, Op::Get { key: 1, value: Some(-5) }));
    all.extend(same(Op::Put { key: 1, value: 5 }));
    all.extend(same(Op::Cas { key: 1, from: 5, to: 6 }));
    all.extend(same(Op::Transfer { from: 0, to: 1, amount: 10 }));
    all.extend(both(Op::Balances(None), Op::Balances(Some(vec![90, 110]))));
    all.extend(both(Op::All(None), Op::All(Some(vec![7, 8]))));
    (0..).zip(all).map(|(index, (phase, op))| event(index, phase, op)).collect()
}

#[test]
fn json_comes_back_as_it_was() {
    let history = every_sort();
    let mut bytes = Vec::new();
    write_json(&mut bytes, &history).unwrap();
    assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), history.len());
    assert_eq!(read_json(&bytes[..]).unwrap(), history);
    let error = read_json(&b"{}\n"[..]).unwrap_err();
    assert_eq!(error.to_string(), "line 1 is no event");
}

#[test]
fn edn_is_as_jepsen_writes_it() {
    let mut bytes = Vec::new();
    write_edn(&mut bytes, &every_sort()).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[..4],
        [
            "{:type :invoke, :f :txn, :value [[:append 3 1] [:r 3 nil]], :process 0, :time 0, :index 0}",
            "{:type :ok, :f :txn, :value [[:append 3 1] [:r 3 [1]]], :process 0, :time 1000, :index 1, \
             :node \"n1\", :timeline 2, :lsn 50331976, :replica false}",
            "{:type :invoke, :f :txn, :value [[:append 3 1] [:r 3 nil]], :process 0, :time 2000, :index 2}",
            "{:type :info, :f :txn, :value [[:append 3 1] [:r 3 nil]], :process 0, :time 3000, :index 3, \
             :error \"said \\\"no\\\"\\nand \\\\ left\"}",
        ]
    );
    let told = |words: &str| assert!(text.contains(words), "{words} in {text}");
    told(":f :read, :value [1 -5],");
    told(":f :cas, :value [1 [5 6]],");
    told(":f :transfer, :value {:from 0, :to 1, :amount 10},");
    told(":f :read, :value {0 90, 1 110},");
    told(":f :read, :value [7 8],");
}

#[test]
fn transactions_come_back_from_edn_without_their_place() {
    let history: Vec<Event> =
        every_sort().into_iter().filter(|event| matches!(event.op, Op::Txn(_))).collect();
    let mut bytes = Vec::new();
    write_edn(&mut bytes, &history).unwrap();
    let read = read_edn(std::str::from_utf8(&bytes).unwrap()).unwrap();
    let bare = |event: Event| Event { stamp: None, error: None, ..event };
    assert_eq!(read, history.into_iter().map(bare).collect::<Vec<_>>());
    assert!(read_edn("{:type :ok, :f :add, :value 3, :process 0, :index 0}").is_err());
}

#[test]
fn a_run_that_was_kept_is_judged_again_by_what_it_promised() {
    let directory = tempfile::tempdir().unwrap();
    let kept = directory.path().join("run");
    let append = |key, value| Op::Txn(vec![Step::Append { key, value }]);
    let read = |key, list| Op::Txn(vec![Step::Read { key, list }]);
    let history = [
        event(0, Phase::Invoke, append(1, 1)),
        event(1, Phase::Ok, append(1, 1)),
        event(2, Phase::Invoke, read(1, None)),
        event(3, Phase::Ok, read(1, Some(vec![]))),
    ];
    let options = Options { isolation: Isolation::ReadCommitted, ..Options::default() };
    save(&kept, &history, &options).unwrap();
    let report = check(&kept.join(HISTORY_JSON)).unwrap();
    assert_eq!(report.verdict.findings().len(), 1, "only lost: {:?}", report.verdict);
    assert_eq!(report.verdict.findings()[0].anomaly, Anomaly::Lost);
    let by_edn = check(&kept.join(HISTORY_EDN)).unwrap();
    assert!(matches!(by_edn.verdict, Verdict::Invalid { .. }));
    std::fs::write(kept.join(OPTIONS_JSON), "{}").unwrap();
    let report = check(&kept.join(HISTORY_JSON)).unwrap();
    assert_eq!(report.verdict.findings().len(), 2, "strict: {:?}", report.verdict);
    assert!(check(&kept.join("nowhere.json")).is_err());
}

#[test]
fn several_workloads_of_a_run_are_kept_apart_and_judged_again_together() {
    let directory = tempfile::tempdir().unwrap();
    let kept = directory.path().join("run");
    let done = |op: Op, answer: Op| [event(0, Phase::Invoke, op), event(1, Phase::Ok, answer)];
    let append = || Op::Txn(vec![Step::Append { key: 1, value: 1 }]);
    let transfer = || Op::Transfer { from: 0, to: 1, amount: 10 };
    let case = |workload: &str, history: [Event; 2]| {
        let workload = workload.to_owned();
        Case { workload, history: history.to_vec(), options: Options::default() }
    };
    let bank = case("bank", done(transfer(), transfer()));
    save_all(&kept, &[case("append", done(append(), append())), bank]).unwrap();
    assert!(!kept.join(HISTORY_JSON).exists());
    let error = check(&kept).unwrap_err().to_string();
    assert!(error.contains("name a history.json"), "{error}");
    let one = |workload: &str| {
        let counts = serde_json::json!({ "ok": 1, "fail": 0, "unknown": 0 });
        serde_json::json!({ "workload": workload, "verdict": "valid", "counts": counts })
    };
    let told = |workloads: &[serde_json::Value]| {
        let zero = 0.0;
        let latency =
            serde_json::json!({ "p50_ms": zero, "p90_ms": zero, "p99_ms": zero, "max_ms": zero });
        let results = serde_json::json!({
            "title": "", "command": "", "verdict": "valid", "checks": [], "duration_ms": 0, "faults": [],
            "counts": { "ok": 2, "fail": 0, "unknown": 0 }, "latency": latency,
            "longest_write_gap_ms": 0, "workloads": workloads,
        });
        std::fs::write(kept.join(RESULTS), results.to_string()).unwrap();
    };
    told(&[one("append"), one("bank")]);
    let report = check(&kept).unwrap();
    let names: Vec<&str> = report.workloads.iter().map(|one| &one.workload[..]).collect();
    assert_eq!(names, ["append", "bank"]);
    assert_eq!(report.counts.ok, 2);
    let alone = check(&kept.join("append").join(HISTORY_EDN)).unwrap();
    assert_eq!((alone.counts.ok, alone.workloads.len()), (1, 0));
    // A run of one workload into the same directory.
    save_all(&kept, &[case("append", done(append(), append()))]).unwrap();
    told(&[]);
    assert_eq!(check(&kept).unwrap().counts.ok, 1);
}

#[test]
fn what_lies_in_the_past_is_kept_from_elle() {
    let directory = tempfile::tempdir().unwrap();
    let kept = directory.path().join("run");
    let append = Op::Txn(vec![Step::Append { key: 1, value: 1 }]);
    let read = |list| Op::Txn(vec![Step::Read { key: 1, list }]);
    let mut history = vec![
        event(0, Phase::Invoke, append.clone()),
        event(1, Phase::Ok, append),
        event(2, Phase::Invoke, read(None)),
        event(3, Phase::Ok, read(Some(vec![]))),
        event(4, Phase::Invoke, read(None)),
        event(5, Phase::Ok, read(Some(vec![1]))),
    ];
    history[3].stamp.as_mut().unwrap().replica = true;
    save(&kept, &history, &Options::default()).unwrap();
    assert_eq!(load(&kept.join(HISTORY_JSON)).unwrap(), history);
    let of_elle = load(&kept.join(HISTORY_EDN)).unwrap();
    assert_eq!(of_elle.iter().map(|event| event.index).collect::<Vec<_>>(), [0, 1, 4, 5]);
    for name in [HISTORY_JSON, HISTORY_EDN] {
        assert_eq!(check(&kept.join(name)).unwrap().verdict, Verdict::Valid, "{name}");
    }
}
