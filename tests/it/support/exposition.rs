//! The text format of metrics, as strictly as it can be read. Never lenient: a page that is not well formed panics.

use std::collections::{BTreeMap, BTreeSet};

type Labels = BTreeMap<String, String>;

/// A page of metrics.
pub(crate) struct Page {
    series: BTreeMap<(String, Labels), f64>,
}

/// A family while its lines are read.
struct Family {
    name: String,
    kind: String,
}

impl Page {
    /// # Panics
    /// Where a line breaks a rule of the format.
    pub(crate) fn parse(text: &str) -> Self {
        let (mut series, mut seen) = (BTreeMap::new(), BTreeSet::new());
        let mut helped: Option<String> = None;
        let mut family: Option<Family> = None;
        let body = text.strip_suffix("# EOF\n").expect("the page ends with # EOF");
        for line in body.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, says) = help.split_once(' ').expect("a name and a text");
                assert!(seen.insert(name.to_owned()), "{name} comes twice");
                assert!(says.len() > 1 && says.ends_with('.'), "{line}");
                (helped, family) = (Some(name.to_owned()), None);
            } else if let Some(typed) = line.strip_prefix("# TYPE ") {
                let (name, kind) = typed.split_once(' ').expect("a name and a type");
                assert_eq!(helped.as_deref(), Some(name), "TYPE follows HELP of the same");
                family = Some(Family { name: name.to_owned(), kind: kind.to_owned() });
            } else {
                let family = family.as_ref().unwrap_or_else(|| panic!("no TYPE before {line}"));
                let (name, labels, value) = sample(line);
                assert!(family.has(&name), "{name} is no {} of {}", family.kind, family.name);
                assert!(value.is_finite(), "{line}");
                let whose = ["scope", "name"].map(|key| labels.contains_key(key));
                assert_eq!(whose, [true, true], "whose is {line}");
                let before = series.insert((name, labels), value);
                assert!(before.is_none(), "this series is there twice: {line}");
            }
        }
        let page = Self { series };
        page.buckets_grow();
        page
    }

    /// The value of the one series of this name that bears these labels, and perhaps others.
    pub(crate) fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut found = self.all(name).filter(|(has, _)| {
            labels.iter().all(|(key, value)| has.get(*key).is_some_and(|is| is == value))
        });
        let first = found.next().map(|(_, value)| value);
        assert!(found.next().is_none(), "{name} with {labels:?} is more than one series");
        first
    }

    /// Every series of this name.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = (&Labels, f64)> {
        self.series
            .iter()
            .filter(move |((of, _), _)| of == name)
            .map(|((_, labels), value)| (labels, *value))
    }

    /// Of a histogram each bucket has at least what the one before has, and the last has all.
    fn buckets_grow(&self) {
        let mut histograms: BTreeMap<(&str, Labels), Vec<(f64, f64)>> = BTreeMap::new();
        for ((name, labels), value) in &self.series {
            let Some(of) = name.strip_suffix("_bucket") else { continue };
            let mut others = labels.clone();
            let le = others.remove("le").expect("a bucket has an end");
            let le = if le == "+Inf" { f64::INFINITY } else { le.parse().expect("a number") };
            histograms.entry((of, others)).or_default().push((le, *value));
        }
        for ((of, labels), mut buckets) in histograms {
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert!(buckets.is_sorted_by(|a, b| a.1 <= b.1), "{of} {labels:?}: {buckets:?}");
            let count = self.series.get(&(format!("{of}_count"), labels));
            assert_eq!(buckets.last().map(|(_, all)| all), count, "{of}");
        }
    }
}

impl Family {
    fn has(&self, name: &str) -> bool {
        let Some(ending) = name.strip_prefix(&self.name) else { return false };
        match self.kind.as_str() {
            "gauge" => ending.is_empty(),
            "counter" => ending == "_total",
            "info" => ending == "_info",
            "histogram" => ["_bucket", "_sum", "_count"].contains(&ending),
            other => panic!("{other} is no type"),
        }
    }
}

/// `name{key="value",...} number`
fn sample(line: &str) -> (String, Labels, f64) {
    let (name, rest) = line.split_once('{').unwrap_or_else(|| panic!("no labels: {line}"));
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    assert!(name.chars().all(legal), "{line}");
    let (inside, value) = rest.rsplit_once("} ").unwrap_or_else(|| panic!("no value: {line}"));
    let mut labels = Labels::new();
    let mut left = inside;
    while !left.is_empty() {
        let (key, after) = left.split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
        let (value, after) = after.split_once('"').unwrap_or_else(|| panic!("no end: {line}"));
        assert!(!value.contains('\\'), "{line}");
        let twice = labels.insert(key.to_owned(), value.to_owned());
        assert!(twice.is_none() && key.chars().all(legal) && !key.is_empty(), "{line}");
        left = after.strip_prefix(',').unwrap_or(after);
        assert!(left.is_empty() == after.is_empty(), "a comma too many, or too few: {line}");
    }
    (name.to_owned(), labels, value.parse().unwrap_or_else(|_| panic!("no number: {line}")))
}
