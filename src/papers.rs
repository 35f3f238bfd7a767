//! What is made of a command line for its readers: manual pages and completions. Knows no verb by itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::Shell;

/// Write the manual pages and the completions of this program; for packages
#[derive(Clone, Debug, clap::Args)]
pub struct Papers {
    /// Where: man/*.1 and completions/* are made in it
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
}

impl Papers {
    /// Writes them.
    ///
    /// # Errors
    /// A file cannot be written; the error says which directory.
    pub fn write(&self, program: Command) -> io::Result<()> {
        let at = |error: io::Error| {
            let says = format!("cannot write below {}: {error}", self.directory.display());
            io::Error::new(error.kind(), says)
        };
        let (man, completions) = (self.directory.join("man"), self.directory.join("completions"));
        pages(program.clone(), &man).map_err(at)?;
        scripts(program, &completions).map_err(at)
    }
}

/// One page for the program, and one for each of its verbs.
fn pages(program: Command, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    clap_mangen::generate_to(program, directory)
}

fn scripts(mut program: Command, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let name = program.get_name().to_owned();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut program, &name, directory)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;
    use crate::ctl::Cli;

    #[test]
    fn every_verb_has_a_page_and_every_shell_its_completions() {
        let directory = tempfile::tempdir().unwrap();
        let papers = Papers { directory: directory.path().to_owned() };
        papers.write(Cli::command()).unwrap();
        let names = |of: &str| -> BTreeSet<String> {
            let entries = fs::read_dir(directory.path().join(of)).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        };
        let shown = Cli::command();
        let verbs = shown.get_subcommands().filter(|verb| !verb.is_hide_set());
        let pages = names("man");
        for verb in verbs {
            let page = format!("haactl-{}.1", verb.get_name());
            assert!(pages.contains(&page), "{page} is not among {pages:?}");
            let text = fs::read_to_string(directory.path().join("man").join(page)).unwrap();
            assert!(text.contains(".SH NAME") && text.contains("haactl"), "{text}");
        }
        assert!(pages.contains("haactl.1"));
        let scripts = names("completions");
        assert_eq!(
            scripts.into_iter().collect::<Vec<_>>(),
            ["_haactl", "haactl.bash", "haactl.fish"]
        );
    }
}
