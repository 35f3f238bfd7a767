//! The rules for metrics: each is documented, and what alerts and pages name is there. Never judges values.

use std::collections::BTreeSet;

use super::none;
use super::tree::{files, rust_under};

/// Where metrics get their names.
const NAMED_IN: [&str; 4] =
    ["src/api/metrics/", "src/store/meters.rs", "src/agent/tally.rs", "src/hooks/record.rs"];

/// Endings that the format adds to a name.
const ENDINGS: [&str; 5] = ["_total", "_bucket", "_count", "_sum", "_info"];

/// Every word that looks like a metric.
fn words(text: &str) -> BTreeSet<String> {
    let inside = |c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let metric = |word: &&str| word.starts_with("haa_") || word.starts_with("patroni_");
    text.split(inside).filter(metric).map(str::to_owned).collect()
}

/// The metrics of the source: text literals, whole.
fn metrics() -> BTreeSet<String> {
    let literals = |text: String| -> Vec<String> {
        text.split('"').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let texts = rust_under(&NAMED_IN).into_iter().flat_map(|text| literals(text.whole));
    let found: BTreeSet<String> =
        texts.filter(|text| words(text).contains(text.as_str())).collect();
    assert!(found.len() > 50, "found only {found:?}: the look at the source is wrong");
    found
}

fn bare(word: &str, known: &BTreeSet<String>) -> String {
    let cut = ENDINGS.iter().filter_map(|ending| word.strip_suffix(ending));
    cut.map(str::to_owned).find(|word| known.contains(word)).unwrap_or_else(|| word.to_owned())
}

fn whole(path: &str) -> String {
    let ending = path.rsplit('/').next().expect("a path has a last part");
    let mut found = files(ending).into_iter().filter(|text| text.path == path);
    found.next().unwrap_or_else(|| panic!("{path} is not there")).whole
}

#[test]
fn every_metric_is_documented() {
    let known = metrics();
    let page = whole("docs/metrics.md");
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let firsts = rows.flat_map(|row| words(row.split('|').nth(1).unwrap_or_default()));
    let told: BTreeSet<String> = firsts.map(|word| bare(&word, &known)).collect();
    let missing = known.difference(&told).map(|name| format!("{name} is not in docs/metrics.md"));
    let extra = told.difference(&known).map(|name| format!("docs/metrics.md names {name}"));
    let findings: Vec<String> = missing.chain(extra).collect();
    none(&findings, "Each metric has a row in docs/metrics.md, and each row a metric.");
}

#[test]
fn what_alerts_name_is_there() {
    let known = metrics();
    let mut findings = Vec::new();
    for path in ["deploy/prometheus/haa.rules.yml", "docs/metrics.md"] {
        let words = words(&whole(path));
        assert!(words.len() > 2, "{path} names only {words:?}: the look at it is wrong");
        let unknown = words.into_iter().filter(|word| !known.contains(&bare(word, &known)));
        findings.extend(unknown.map(|word| format!("{path} names {word}, which nobody exports")));
    }
    none(&findings, "Name a metric of the files in NAMED_IN.");
}

#[test]
fn alerts_can_be_read() {
    #[derive(serde::Deserialize)]
    struct Rules {
        groups: Vec<Group>,
    }
    #[derive(serde::Deserialize)]
    struct Group {
        rules: Vec<Alert>,
    }
    #[derive(serde::Deserialize)]
    struct Alert {
        alert: String,
        expr: String,
        annotations: std::collections::BTreeMap<String, String>,
    }
    let text = whole("deploy/prometheus/haa.rules.yml");
    let rules: Rules = serde_saphyr::from_str(&text).expect("it is YAML of this form");
    let alerts: Vec<Alert> = rules.groups.into_iter().flat_map(|group| group.rules).collect();
    assert!(!alerts.is_empty());
    // A standby cluster is well though nobody there is primary.
    let primaries = alerts.iter().filter(|alert| words(&alert.expr).contains("patroni_primary"));
    for alert in primaries {
        let standby = words(&alert.expr).contains("patroni_standby_leader");
        assert!(standby, "{}: {} pages for ever in a standby cluster", alert.alert, alert.expr);
    }
    let page = whole("docs/metrics.md");
    for Alert { alert, expr, annotations } in alerts {
        let balanced = expr.matches('(').count() == expr.matches(')').count();
        assert!(balanced && !words(&expr).is_empty(), "{alert}: {expr}");
        assert!(annotations.contains_key("summary"), "{alert} says what it means");
        assert!(page.contains(&alert), "docs/metrics.md says what to do about {alert}");
    }
}
