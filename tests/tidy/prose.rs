//! The rules for what people read: links that lead somewhere, pages that can be found, no path of
//! one machine. Never judges style.

use std::collections::BTreeSet;

use super::none;
use super::tree::{Text, files, root};

fn pages() -> Vec<Text> {
    files(".md")
}

/// The targets of `[text](target)` outside code fences, with their lines.
fn links(page: &Text) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in page.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for (at, _) in line.match_indices("](") {
            let target = line[at + 2..].split([')', ' ']).next().unwrap_or_default();
            found.push((number, target.to_owned()));
        }
    }
    found
}

/// Where a relative link leads, from the root; `None` for one that leaves the repository.
fn led_to(page: &Text, target: &str) -> Option<String> {
    let file = target.split('#').next().unwrap_or_default();
    if file.is_empty() || target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let mut parts: Vec<&str> = page.path.split('/').collect();
    parts.pop();
    for part in file.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[test]
fn links_lead_somewhere() {
    let mut findings = Vec::new();
    for page in pages() {
        for (number, target) in links(&page) {
            if let Some(path) = led_to(&page, &target)
                && !root().join(&path).exists()
            {
                findings.push(format!("{}:{number} links to {path}, not there", page.path));
            }
        }
    }
    none(&findings, "Correct the link, or write the page.");
}

#[test]
fn every_page_can_be_found() {
    let pages = pages();
    let reading: String = pages
        .iter()
        .filter(|page| page.path == "README.md" || page.path.starts_with("docs/"))
        .map(|page| page.whole.as_str())
        .collect();
    let findings: Vec<String> = pages
        .iter()
        .filter_map(|page| page.path.strip_prefix("docs/"))
        .filter(|path| !path.contains('/') && !reading.contains(path))
        .map(|path| format!("docs/{path} is mentioned nowhere"))
        .collect();
    none(&findings, "Name it in README.md or in a page under docs/.");
}

#[test]
fn every_adr_is_in_the_index() {
    let pages = pages();
    let index = pages.iter().find(|page| page.path == "docs/adr/README.md");
    let index = index.expect("docs/adr/README.md is the index");
    let linked: BTreeSet<String> =
        links(index).iter().filter_map(|(_, target)| led_to(index, target)).collect();
    let findings: Vec<String> = pages
        .iter()
        .filter(|page| page.path.starts_with("docs/adr/") && page.path != index.path)
        .filter(|page| !linked.contains(&page.path))
        .map(|page| format!("{} is not linked from docs/adr/README.md", page.path))
        .collect();
    none(&findings, "Add a row to the index.");
}

#[test]
fn no_path_of_one_machine_is_kept() {
    let places = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];
    let mut findings = Vec::new();
    for text in files("") {
        for (number, line) in text.lines() {
            let absolute = |place: &&&str| {
                line.match_indices(**place).any(|(at, _)| {
                    !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-}$".contains(c))
                })
            };
            if let Some(place) = places.iter().find(absolute) {
                findings.push(format!("{}:{number} names {place}", text.path));
            }
        }
    }
    none(&findings, "Use a path relative to the repository, or one that every host has.");
}
