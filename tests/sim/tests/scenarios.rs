//! The stories in `tests/scenarios`: each comes out as it is written. `HAA_ACCEPT=1` writes what comes out instead.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_story_comes_out_as_it_is_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let accept = std::env::var_os("HAA_ACCEPT").is_some();
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("tests/scenarios is there")
        .map(|entry| entry.expect("an entry of tests/scenarios").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no story in {}", folder.display());
    let mut wrong = Vec::new();
    for path in files {
        let written = fs::read_to_string(&path).expect("a story can be read");
        let told = match haa_sim::story::retell(&written) {
            Ok(told) => told,
            Err(why) => panic!("{}: {why}", path.display()),
        };
        assert!(!told.contains("VIOLATION"), "{}:\n{told}", path.display());
        if accept {
            fs::write(&path, told).expect("a story can be written");
        } else if told != written {
            wrong.push(format!("--- {}\n{}", path.display(), difference(&written, &told)));
        }
    }
    assert!(wrong.is_empty(), "HAA_ACCEPT=1 accepts these:\n{}", wrong.join("\n"));
}

fn difference(written: &str, told: &str) -> String {
    let same = written.lines().zip(told.lines()).take_while(|(a, b)| a == b).count();
    let tail = |text: &str, mark| {
        let lines = text.lines().skip(same).take(12);
        lines.map(|line| format!("{mark} {line}\n")).collect::<String>()
    };
    format!("from line {}:\n{}{}", same + 1, tail(written, '-'), tail(told, '+'))
}
