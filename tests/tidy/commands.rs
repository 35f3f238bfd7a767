//! The rules for commands that people read: each is one that `haactl` or `haad` would take, by their own parsers. Never
//! runs one.

use clap::error::ErrorKind;
use clap::{Command, CommandFactory};

use super::none;
use super::tree::files;

/// How much of a command is written there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    /// It can be copied, and runs.
    Whole,
    /// It is spoken of, perhaps without all that it needs.
    Spoken,
}

fn program(name: &str) -> Option<Command> {
    match name {
        "haactl" => Some(haa::ctl::Cli::command()),
        "haad" => Some(haa::haad::Arguments::command()),
        _ => None,
    }
}

/// The pages, and what the programs say of themselves.
fn pages() -> Vec<(String, String)> {
    // What was is told there, too.
    let past = |path: &str| path == "CHANGELOG.md";
    let ours = [".md", "README.Debian", ".service"];
    let read = |path: &str| ours.iter().any(|end| path.ends_with(end)) && !past(path);
    let pages = files("").into_iter().filter(|text| read(&text.path));
    let mut pages: Vec<_> = pages.map(|text| (text.path, text.whole)).collect();
    for name in ["haactl", "haad"] {
        let program = program(name).expect("ours");
        let verbs = program.get_subcommands();
        for command in verbs.chain([&program]) {
            let says = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let says = says.replace("\n  haa", "\n$ haa");
            let page = format!("{name} {} --help", command.get_name());
            pages.push((page, format!("```console\n{says}\n```\n")));
        }
    }
    pages
}

/// Every command of a page, with its line.
fn commands(page: &str) -> Vec<(usize, Written, String)> {
    let mut found = Vec::new();
    let (mut fenced, mut spoken) = (false, String::new());
    for (index, line) in page.lines().enumerate() {
        let bare = line.trim_start();
        if bare.starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            let bare = bare.strip_prefix("$ ").or(bare.strip_prefix("# "));
            let bare = bare.or(line.strip_prefix("ExecStart="));
            found.extend(bare.map(|bare| (index + 1, Written::Whole, bare.to_owned())));
        } else if let Some(start) = line.strip_prefix("ExecStart=") {
            found.push((index + 1, Written::Whole, start.to_owned()));
        }
        // A word in backticks may go on in the next line; the lines are kept to be counted.
        if !fenced && !bare.starts_with("```") {
            spoken.push_str(line);
        }
        spoken.push('\n');
    }
    let mut line = 1;
    for (index, part) in spoken.split('`').enumerate() {
        if index % 2 == 1 {
            found.push((line, Written::Spoken, part.replace('\n', " ")));
        }
        line += part.matches('\n').count();
    }
    found
}

/// The parts of a shell's line that are ours, as the program would be given them.
fn ours(line: &str) -> Vec<Vec<String>> {
    let line = line.split(" #").next().unwrap_or_default();
    let parts = line.split("&&").flat_map(|part| part.split(['|', ';', '>']));
    parts.filter_map(words).collect()
}

fn words(part: &str) -> Option<Vec<String>> {
    let all: Vec<&str> = part.split_whitespace().collect();
    let named = |word: &&str| program(word.rsplit('/').next().unwrap_or_default()).is_some();
    let at = all.iter().position(named)?;
    // Before it stands at most who runs it.
    let before = all[..at].iter().all(|word| ["sudo", "-u", "postgres"].contains(word));
    let name = all[at].rsplit('/').next().unwrap_or_default();
    let words = [name].into_iter().chain(all[at + 1..].iter().copied());
    let mut words: Vec<String> = words.map(|word| word.trim_matches('\'').to_owned()).collect();
    // The day that a page names comes, and is over then.
    if let Some(time) = words.iter().position(|word| word == "--at")
        && let Some(time) = words.get_mut(time + 1)
    {
        "+1h".clone_into(time);
    }
    before.then_some(words)
}

/// Why the program would not take it.
fn objection(words: &[String], written: Written) -> Option<String> {
    let error = program(&words[0])?.try_get_matches_from(words).err()?;
    let unfinished = words.last().is_some_and(|last| last.starts_with('-'));
    let taken = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => true,
        ErrorKind::MissingRequiredArgument
        | ErrorKind::MissingSubcommand
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => written == Written::Spoken,
        ErrorKind::InvalidValue => written == Written::Spoken && unfinished,
        _ => false,
    };
    (!taken).then(|| error.to_string().lines().next().unwrap_or_default().to_owned())
}

#[test]
fn commands_are_those_that_the_programs_take() {
    let (mut findings, mut whole, mut spoken) = (Vec::new(), 0, 0);
    for (page, text) in pages() {
        for (line, written, command) in commands(&text) {
            for words in ours(&command) {
                match written {
                    Written::Whole => whole += 1,
                    Written::Spoken => spoken += 1,
                }
                if let Some(why) = objection(&words, written) {
                    findings.push(format!("{page}:{line}: {}: {why}", words.join(" ")));
                }
            }
        }
    }
    println!("note: {whole} commands to copy and {spoken} that are spoken of");
    assert!(whole > 60 && spoken > 80, "{whole} and {spoken}: the look itself is wrong");
    none(&findings, "Write the command as the program takes it, or teach the program.");
}

#[test]
fn what_a_program_does_not_take_is_found() {
    let refused = |written: Written, text: &str| {
        let words = ours(text);
        words.iter().filter_map(|words| objection(words, written)).count()
    };
    assert_eq!(refused(Written::Whole, "sudo -u postgres haad check --config x && haactl list"), 0);
    assert_eq!(refused(Written::Whole, "haactl lst"), 1);
    assert_eq!(refused(Written::Spoken, "haactl switchover --nobody"), 1);
    assert_eq!(refused(Written::Whole, "haactl drain"), 1);
    assert_eq!(refused(Written::Spoken, "haactl drain"), 0);
    assert_eq!(refused(Written::Spoken, "haactl failover --to"), 0);
    assert_eq!(refused(Written::Whole, "target/release/haactl list --output xml | cat"), 1);
}
