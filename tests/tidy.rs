//! The rules of the house that a lint cannot check; each failure says where and what to do.
//! Never reads anything but the repository.

#[path = "tidy/commands.rs"]
mod commands;
#[path = "tidy/metrics.rs"]
mod metrics;
#[path = "tidy/prose.rs"]
mod prose;
#[path = "tidy/tree.rs"]
mod tree;

use std::fmt::Write as _;

use tree::{Text, files, rust_under};

const OURS: [&str; 4] = ["src/", "tests/", "jepsen/", "examples/"];

/// Fails with every finding, one a line, and the sentence that says what to do.
fn none(findings: &[String], what_to_do: &str) {
    let mut message = String::new();
    for finding in findings {
        let _ = write!(message, "\n  {finding}");
    }
    assert!(findings.is_empty(), "{message}\n{what_to_do}");
}

fn ours() -> Vec<Text> {
    let all = rust_under(&OURS);
    assert!(all.len() > 20, "the walk found only {} Rust files: it looks wrong", all.len());
    all
}

/// `word(` or `word` standing alone: not the tail of a longer name.
fn names(line: &str, word: &str) -> bool {
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

#[test]
fn every_file_says_what_it_owns() {
    let findings: Vec<String> = ours()
        .iter()
        .filter(|text| !text.whole.starts_with("//! "))
        .map(|text| format!("{}:1 does not begin with `//! `", text.path))
        .collect();
    none(&findings, "Begin the file with one sentence: what it owns, and what it never does.");
}

#[test]
fn files_are_short() {
    let mut findings = Vec::new();
    for text in ours() {
        let lines = text.lines().count();
        if lines > 500 {
            findings.push(format!("{}: {lines} lines, 500 at most", text.path));
        } else if lines > 300 {
            println!("note: {}: {lines} lines, 300 is the aim", text.path);
        }
    }
    none(&findings, "Split by what changes together: one role, one verb, one tool a file.");
}

/// `async` took 4000 lines; `quorum`, with its voters, grants and takeover, 2000; what goes on without etcd, or ails
/// without dying, 1000; a member that an operator takes out of use or restarts, 200; one whose data it throws away, or
/// that it forgets, 330; WAL that is lacking, and what was discarded, 250; commits that an operator gives up, 90;
/// PgBouncers that are held in a hand-over, 110; a dead Postgres for which nobody waits longer than need be, 40;
/// what is told of parameters, 40; how a promotion is told that an operator's program was against, 20;
/// slots of the operator that are kept, and which of them were lost, 90; what is asked for in advance, 100; from whom
/// copies are made, and whose a new cluster of a backup is, 10; who is no voter by its tags, is where the lost leader
/// was, or streams from another, 240; a cluster that follows another, and two that change places, 690; a postmaster
/// that hangs alone, and who is named to lead and could not be elected, 70; whom a release names, a copy from a chosen
/// member, 90; who is bound for a timeline that came to nothing, 70; what agents carry out by themselves at a time, 50;
/// limits of the data that become less, 60; a standby cluster's member that is bound so, and voters that are taken
/// because there are no others, 40; who may not be restarted last at a time, and whose
/// leader lacks what a rewind needs, 50; drains that an undrain ends, 30; what a copy waits for in vain, 30.
const CORE: usize = 10_260;

/// Counted is what decides: no blank lines, no comments, no tests.
#[test]
fn the_core_stays_small() {
    let deciding = |text: &Text| {
        let code = tree::blank(&text.whole);
        let code = code.split("#[cfg(test)]").next().unwrap_or_default();
        code.lines().filter(|line| !line.trim().is_empty()).count()
    };
    let lines: usize = rust_under(&["src/core/"]).iter().map(deciding).sum();
    println!("note: the core has {lines} lines of {CORE}");
    assert!(lines > 500, "only {lines} lines were counted: the look itself is wrong");
    assert!(
        lines <= CORE,
        "src/core has {lines} lines, {CORE} at most: what does not decide moves out"
    );
}

/// rustfmt keeps code within 100 but touches neither comments nor texts: those may have 120.
#[test]
fn lines_are_not_wide() {
    let mut findings = Vec::new();
    for text in ours() {
        for ((number, line), (_, code)) in text.lines().zip(text.code()) {
            let width = line.chars().count();
            let limit = if code.trim_end() == line.trim_end() { 100 } else { 120 };
            if width > limit {
                findings.push(format!("{}:{number} is {width} wide, {limit} at most", text.path));
            }
        }
    }
    none(&findings, "Break the line; a long text goes on after a backslash.");
}

/// Words that say nothing about what a thing is.
const EMPTY_WORDS: [&str; 9] =
    ["Manager", "Handler", "Helper", "Util", "Utils", "Service", "Context", "Info", "Data"];

/// Names that bear such a word for a reason.
const NAMES_WITH_REASON: [(&str, &str); 1] =
    [("DataDir", "Postgres' own word for what PGDATA points to")];

#[test]
fn type_names_say_something() {
    let mut findings = Vec::new();
    for text in ours() {
        for (number, line) in text.code() {
            let Some(name) = declared_type(&line) else { continue };
            let excused = NAMES_WITH_REASON.iter().any(|(known, _)| *known == name);
            let word = EMPTY_WORDS.into_iter().find(|word| bears(&name, word));
            if let (Some(word), false) = (word, excused) {
                findings.push(format!("{}:{number} names a type {name} ({word})", text.path));
            }
        }
    }
    none(&findings, "Name it after what it is or does; or add it to NAMES_WITH_REASON.");
}

/// As its first word or its last: `DataDir` and `UserData` bear `Data`, `Database` does not.
fn bears(name: &str, word: &str) -> bool {
    let first = name.strip_prefix(word).is_some_and(|rest| rest.starts_with(char::is_uppercase));
    first || name.ends_with(word)
}

fn declared_type(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    words.find(|word| matches!(*word, "struct" | "enum" | "trait" | "type"))?;
    let name: String =
        words.next()?.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    name.starts_with(|c: char| c.is_uppercase()).then_some(name)
}

#[test]
fn nothing_is_left_for_later() {
    let marks =
        [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];
    let mut findings = Vec::new();
    for text in ours() {
        for ((number, line), (_, code)) in text.lines().zip(text.code()) {
            let mark = marks.iter().find(|mark| line.contains(**mark));
            if let Some(mark) = mark.copied().or(names(&code, "todo!(").then_some("todo!")) {
                findings.push(format!("{}:{number} says {mark}", text.path));
            }
        }
    }
    none(&findings, "Do it, or write an issue and delete the mark.");
}

/// Where the product waits for time itself, and why no event would do.
const SLEEPS_WITH_REASON: [(&str, &str); 30] = [
    ("src/postgres/kept/copies.rs", "nothing tells that an extension has let go of a slot"),
    ("src/postgres/knock.rs", "somebody who connects now and then has a pace"),
    ("src/postgres/starved.rs", "nothing tells that a process does nothing"),
    ("src/api/tests/siege.rs", "a slow client has its pace, and nothing tells that a task is gone"),
    ("src/guard/keeper.rs", "a pause between attempts at processes that SIGKILL does not end"),
    ("src/guard/tether.rs", "a pause between attempts at a guard that cannot be started"),
    ("src/peers/say.rs", "a growing pause between attempts at a peer that does not listen"),
    ("src/pgbouncer/console.rs", "nothing tells that a login of PgBouncer has ended"),
    (
        "src/pgbouncer/keeper.rs",
        "a growing pause between attempts at a console that does not answer",
    ),
    ("src/pgbouncer/tests.rs", "nothing tells that a PgBouncer listens"),
    ("src/playground/bench/mod.rs", "accidents have their distance, and an outage its length"),
    ("src/playground/bench/writer.rs", "an application has its pace"),
    ("src/playground/tour/mod.rs", "an operator tries again a little later"),
    ("src/postgres/jobs/fetch.rs", "how far replay has come is only seen by looking"),
    ("src/postgres/jobs/follow.rs", "what the startup process does is only seen by looking"),
    ("src/postgres/jobs/promote.rs", "nothing tells the end of recovery"),
    ("src/postgres/jobs/rewind.rs", "nothing tells that the source has made its checkpoint"),
    ("src/postgres/jobs/start.rs", "nothing tells that a server accepts connections"),
    ("src/postgres/door.rs", "nothing tells that a session of a client has ended"),
    ("src/postgres/log.rs", "nothing tells that a file has grown large"),
    ("src/postgres/reload.rs", "nothing tells that the postmaster has read its files"),
    ("src/postgres/sync.rs", "walsenders take a reload at their own pace, and nothing tells"),
    ("src/postgres/worker.rs", "a pause before a door that did not open is tried again"),
    ("src/postgres/watcher.rs", "looks have a cadence beside the events"),
    ("src/playground/tour/sql.rs", "an outsider tries to write, as an application would"),
    ("src/playground/wait.rs", "a playground is looked at from outside: nothing there tells"),
    ("src/router/client.rs", "a hold has its length"),
    ("src/store/clients.rs", "a growing pause between attempts at an etcd that does not answer"),
    ("src/store/txn.rs", "the same between reads, and after an unknown outcome"),
    ("src/store/watch.rs", "a watch that ends as soon as it is open must not become a storm"),
];

#[test]
fn nothing_sleeps_where_an_event_can_be_awaited() {
    let mut findings = Vec::new();
    for text in rust_under(&["src/"]) {
        if SLEEPS_WITH_REASON.iter().any(|(path, _)| *path == text.path) {
            continue;
        }
        for (number, line) in text.code() {
            if names(&line, "sleep(") {
                findings.push(format!("{}:{number} {}", text.path, line.trim()));
            }
        }
    }
    for (path, _) in SLEEPS_WITH_REASON {
        for text in rust_under(&[path]) {
            if !names(&tree::blank(&text.whole), "sleep(") {
                findings.push(format!("{path} is in SLEEPS_WITH_REASON and does not sleep"));
            }
        }
    }
    none(&findings, "Await the event; or add the file to SLEEPS_WITH_REASON with the reason.");
}

#[test]
fn the_core_has_no_world() {
    let banned = [
        "std::time",
        "std::fs",
        "std::net",
        "std::env",
        "std::thread",
        "std::process",
        "std::io",
        "std::sync::M",
        "std::sync::R",
        "std::sync::atomic",
        "std::sync::mpsc",
        "tokio",
        "tracing",
        "rand::",
        "HashMap",
        "HashSet",
        "println!",
        "eprintln!",
        "include_str!",
        "async fn",
    ];
    let mut findings = Vec::new();
    for text in rust_under(&["src/core/"]) {
        for (number, line) in text.code() {
            if let Some(word) = banned.iter().find(|word| names(&line, word)) {
                findings.push(format!("{}:{number} mentions {word}", text.path));
            }
        }
    }
    none(&findings, "Time, randomness and news come in as values; wishes go out as effects.");
}

/// A note, not a rule: a `_` on an enum of another crate is fine.
#[test]
fn catch_all_arms_are_told() {
    let arm = |line: &str| line.trim_start().starts_with("_ =>") || line.contains("| _ =>");
    for text in rust_under(&["src/"]) {
        for (number, line) in text.code().iter().filter(|(_, line)| arm(line)) {
            println!("note: {}:{number} {}", text.path, line.trim());
        }
    }
    assert!(arm("    _ => x,") && !arm("Some(_) => x,"), "the look itself is wrong");
}

/// Reasons that no story can show yet, and why.
const REASONS_WITHOUT_STORY: [(&str, &str); 2] = [
    ("the data directory holds something else", "tests/it show it on a real directory"),
    (
        "an earlier run of the agent may have asked Postgres to be promoted",
        "the seeds show it at restarts of agents",
    ),
];

#[test]
fn every_reason_has_a_story() {
    let stories: String = files(".txt")
        .into_iter()
        .filter(|text| text.path.starts_with("tests/scenarios/"))
        .map(|text| text.whole)
        .collect();
    if stories.is_empty() {
        println!("note: tests/scenarios has no story yet");
        return;
    }
    let told = |reason: &str| stories.contains(reason);
    let excused = |reason: &str| REASONS_WITHOUT_STORY.iter().any(|(known, _)| *known == reason);
    let mut findings: Vec<String> = Vec::new();
    for reason in reasons() {
        match (told(&reason), excused(&reason)) {
            (false, false) => findings.push(format!("{reason} appears in no story")),
            (true, true) => findings.push(format!("{reason} has a story: delete its exception")),
            (true, false) | (false, true) => {}
        }
    }
    none(&findings, "Write tests/scenarios/<story>.txt that shows it; or list it with its why.");
}

/// The sentences of `Reason`, as the stories print them.
fn reasons() -> Vec<String> {
    let core = rust_under(&["src/core/reason.rs"]);
    let code = &core.first().expect("src/core/reason.rs is there").whole;
    let arms = code.lines().filter(|line| line.trim_start().starts_with("Self::"));
    let all: Vec<String> =
        arms.filter_map(|line| line.split('"').nth(1)).map(str::to_owned).collect();
    assert!(all.len() > 10, "found only {all:?}: the look at the enum is wrong");
    all
}

#[test]
fn comments_and_texts_are_told_from_code() {
    let source = "a /* b /* c */ d */ e \"f \\\" // g\" 'h' '\\'' r#\"i\"j\"# 'k: l // m\nn";
    let words: Vec<String> = tree::blank(source).split_whitespace().map(str::to_owned).collect();
    assert_eq!(words, ["a", "e", "'k:", "l", "n"]);
}
