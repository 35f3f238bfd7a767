//! The tables of what systems cost, with figures that were made up.

use super::super::scale::float;
use super::*;

fn part(member: &str, role: &str, pss_kb: u64, cpu_percent: f64) -> Part {
    let (member, role) = (member.to_owned(), role.to_owned());
    let what = "agent".to_owned();
    Part { member, role, what, rss_kb: 2 * pss_kb, pss_kb, cpu_percent, children_cpu_percent: 0.5 }
}

fn load() -> Load {
    let parts = vec![
        part("n1", "leader", 10_000, 2.0),
        part("n2", "replica", 8_000, 1.0),
        part("n3", "replica", 6_000, 2.0),
    ];
    let requests = [("Range", 0.1), ("LeaseKeepAlive", 0.9)];
    let requests = requests.map(|(name, rate)| (name.to_owned(), rate));
    let etcd = Etcd { requests_per_second: requests.into(), ..Etcd::default() };
    let asked = Asked {
        connections: 16,
        per_second: 20_000.4,
        p50_ms: 0.7,
        p99_ms: 2.0,
        max_ms: 11.0,
        not_200: 0,
        failed: 0,
        opened: 16,
        agent_cpu_percent: 80.0,
    };
    let system = "haa".to_owned();
    let footprints = vec![Footprint { system, seconds: 60, parts, etcd, asked }];
    Load { footprints, scale: None }
}

fn size(clusters: usize) -> Size {
    let (requests, cpu_percent) = (float(clusters as u64) * 2.5, 0.5);
    let requests_per_second = [("Txn".to_owned(), requests)].into();
    let etcd = Etcd { requests_per_second, cpu_percent, ..Etcd::default() };
    let (renewals, renewals_missed, leaderships_lost) = (9, 1, 2);
    let agents = 3 * clusters;
    let size = Size { clusters, agents, etcd, renewals, renewals_missed, ..Size::default() };
    Size { leaderships_lost, ..size }
}

#[test]
fn a_size_is_a_row_and_a_point_of_each_curve() {
    let stopped = Some("there is no more room".to_owned());
    let scale = Scale { sizes: vec![size(1), size(100)], stopped };
    let load = Load { footprints: Vec::new(), scale: Some(scale) };
    let text = load.markdown();
    let rows: Vec<&str> = text.lines().filter(|line| line.ends_with("| 1 of 10 | 2 |")).collect();
    assert_eq!(rows.len(), 2, "{text}");
    assert!(rows[1].starts_with("| 100 | 0.50 % | 0 B | 250 |"), "{text}");
    assert!(text.contains("Left out") && text.contains("no more room"), "{text}");
    let folder = tempfile::tempdir().unwrap();
    load.write(folder.path(), "the command").unwrap();
    let page = fs::read_to_string(folder.path().join(PAGE)).unwrap();
    let curves = page.matches("class=\"dot run s").count();
    assert_eq!(curves, 4, "{page}");
    assert!(page.contains("the command") && page.contains("Left out"), "{page}");
}

#[test]
fn the_tables_have_means_and_rates_by_the_minute() {
    let text = load().markdown();
    for row in [
        "| haa | agent of a leader | 10.2 MB | 20.5 MB | 2.50 % |",
        "| haa | agent of a replica | 7.17 MB | 14.3 MB | 2.00 % |",
        "| haa | all | 60 |",
        "| haa | LeaseKeepAlive | 54 |",
        "| haa | 20000 | 0.7 ms | 2 ms | 11 ms | 0 | 0 | 16 | 80.00 % |",
    ] {
        assert!(text.lines().any(|line| line == row), "no `{row}` in\n{text}");
    }
    assert!(!text.contains("guard"), "{text}");
}

#[test]
fn the_figures_are_read_as_they_are_written() {
    let text = serde_json::to_string(&load()).unwrap();
    assert_eq!(serde_json::from_str::<Load>(&text).unwrap(), load());
}
