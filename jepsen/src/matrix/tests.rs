//! Which runs there are, with which seeds, and what the table says of them.

use super::*;

fn wish(nemesis: &[Kind], out: &Path) -> Wish {
    let workloads = Sort::value_variants().to_vec();
    let out = out.to_owned();
    let nemesis = nemesis.iter().copied().map(Some).chain([None]).collect();
    let (together, more) = (false, Vec::new());
    Wish { nemesis, workloads, together, seconds: 90, seed: 7, more, out }
}

#[test]
fn every_fault_meets_every_workload_and_a_shorter_list_keeps_the_seeds() {
    let all = wish(Kind::value_variants(), Path::new("out")).cells();
    assert_eq!(all.len(), (Kind::value_variants().len() + 1) * 5 - 1);
    let few = wish(&[Kind::Wal, Kind::AcceptLoss], Path::new("out")).cells();
    assert_eq!(few.len(), 14);
    let clean = few.iter().find(|cell| cell.nemesis.is_none()).unwrap();
    let words = clean.arguments(&wish(&[], Path::new("out")), Path::new("one"));
    assert!(!words.contains(&"--nemesis".to_owned()), "{words:?}");
    assert_eq!((clean.seed, clean.name().as_str()), (7_901, "nothing-set"));
    assert!(few.iter().all(|cell| all.contains(cell)));
    let names: std::collections::BTreeSet<String> = all.iter().map(Cell::name).collect();
    assert_eq!(names.len(), all.len());
}

#[test]
fn a_run_that_was_not_made_and_one_that_failed_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let wish = wish(&[Kind::Kill], folder.path());
    let cell = &wish.cells()[0];
    let out = wish.out.join(cell.name());
    assert!(row(cell, &out, &[]).contains("not run"));
    fs::create_dir(&out).unwrap();
    let ended = Ended { command: String::new(), code: Some(2) };
    fs::write(out.join(ENDED), serde_json::to_string(&ended).unwrap()).unwrap();
    assert!(row(cell, &out, &[]).contains("FAILED"));
    assert_eq!(table(&wish, &wish.cells()).lines().count(), 12);
}

#[test]
fn together_is_one_run_for_each_fault_and_a_column_for_each_workload() {
    let folder = tempfile::tempdir().unwrap();
    let nemesis = [Kind::Kill, Kind::AcceptLoss];
    let all = Wish { together: true, ..wish(&nemesis, folder.path()) };
    let cells = all.cells();
    let named: Vec<String> = cells.iter().map(Cell::name).collect();
    assert_eq!(named, ["kill-all", "accept-loss-all", "nothing-all"]);
    assert_eq!((cells[0].seed, cells[2].seed), (7_001, 7_901));
    let said = cells[0].arguments(&all, Path::new("one")).join(" ");
    let wanted = "run --workload set,append,register,bank --nemesis kill --seconds 90 --seed 7001 \
                  --isolation serializable,read-committed";
    assert!(said.starts_with(wanted), "{said}");
    let said = cells[1].arguments(&all, Path::new("one")).join(" ");
    assert!(said.starts_with("run --workload set,append,bank --nemesis accept-loss"), "{said}");
    let some = Wish { workloads: vec![Sort::Bank, Sort::Set], ..all.clone() };
    assert_eq!(some.cells()[0].name(), "kill-set-bank");
    assert_eq!(some.cells()[0].seed, 7_001);

    let results = serde_json::json!({
        "title": "", "command": "", "verdict": "unknown", "reason": "", "checks": [], "counts":
        { "ok": 5, "fail": 0, "unknown": 0 }, "duration_ms": 0, "latency": { "p50_ms": 0.0,
        "p90_ms": 0.0, "p99_ms": 0.0, "max_ms": 0.0 }, "longest_write_gap_ms": 9, "faults": [],
        "workloads": [{ "workload": "append-read-committed", "verdict": "unknown",
        "counts": { "ok": 5, "fail": 0, "unknown": 0 } }],
    });
    let out = all.out.join("kill-all");
    fs::create_dir(&out).unwrap();
    fs::write(out.join(RESULTS), results.to_string()).unwrap();
    fs::write(out.join(ENDED), r#"{"command":"","code":1}"#).unwrap();
    let table = table(&all, &cells);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].contains("| verdict | set | append-serializable | append-read-committed |"));
    assert_eq!(
        lines[2],
        "| kill | all | 7001 | unknown |  |  | unknown |  |  | 0 | 5 | 0 | 0 | 9 ms |"
    );
    let widths = lines.iter().map(|line| line.matches('|').count());
    assert!(widths.clone().all(|width| width == 15), "{table}");
}
