//! A page of a member's heap is damaged on disk, and the member cloned anew later, as an operator does. Only while both
//! others are whole.

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::hosts::tools::run;
use crate::hosts::{Lab, Watch};

use super::kill::serde_word;
use super::{Cure, Wound, data, operate};

/// Whose page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Harm {
    /// Of the clients' largest table, while the member is stopped in order; a primary hands over before.
    Stopped,
    /// Of a catalog that nobody has read, while Postgres runs.
    Running,
}

impl Harm {
    pub(super) const ALL: [Self; 2] = [Self::Stopped, Self::Running];
}

/// In the middle of the first page.
const PLACE: u64 = 4_096;
/// The clients' largest table.
const LARGEST: &str = "SELECT pg_relation_filepath(oid) FROM pg_class \
     WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY pg_relation_size(oid) DESC LIMIT 1";
/// A catalog that only people read.
const UNREAD: &str = "SELECT pg_relation_filepath('pg_description')";
const READ: &str = "SELECT count(*) FROM pg_description";
/// An operator asks again for so long: others may be needed, or nobody lead.
const PATIENCE: Duration = Duration::from_secs(150);
/// A clone takes no longer, or has been refused.
const CLONE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(200);

pub(super) async fn strike(
    harm: Harm,
    member: &'static str,
    lab: &mut Lab,
    watch: &Watch,
) -> anyhow::Result<Wound> {
    let name = format!("a page of {member} damaged: {}", serde_word(&harm));
    if !watch.can_spare(member).await || lab.postmaster(member).is_none() {
        return Ok(Wound::new(name, None, Cure::None));
    }
    // It may be starting.
    let Ok(client) = lab.superuser(member).await else {
        return Ok(Wound::new(name, None, Cure::None));
    };
    let question = if harm == Harm::Stopped { LARGEST } else { UNREAD };
    let file: String = client.query_one(question, &[]).await?.try_get(0)?;
    let data = lab.data(member);
    let proof = match harm {
        Harm::Stopped => {
            if !data::stop(member, lab).await? {
                return Ok(Wound::new(name, None, Cure::Start(member)));
            }
            damage(&data, &file, &mark(member, lab))?;
            let proof = checked(&data, &file, lab);
            lab.start_member(member)?;
            proof
        }
        Harm::Running => {
            damage(&data, &file, &mark(member, lab))?;
            let read = client.query_one(READ, &[]).await;
            read.err().and_then(|error| Some(error.as_db_error()?.message().to_owned()))
        }
    };
    let proof = proof.map(|said| format!("Postgres says: {said}"));
    Ok(Wound::new(name, proof, Cure::Reclone(member)))
}

/// Remembers whose page it was: until data of another number are in their place, it is damaged.
fn mark(member: &str, lab: &Lab) -> PathBuf {
    lab.directory.join(member).join("damaged")
}

fn damage(data: &Path, file: &str, mark: &Path) -> anyhow::Result<()> {
    let path = data.join(file);
    let tell = || format!("cannot damage {}", path.display());
    fs::write(mark, number(data)?.to_string()).with_context(tell)?;
    flip(&path).with_context(tell)
}

fn flip(path: &Path) -> std::io::Result<()> {
    let file = fs::File::options().read(true).write(true).open(path)?;
    let mut bytes = [0; 16];
    file.read_exact_at(&mut bytes, PLACE)?;
    file.write_all_at(&bytes.map(|byte| !byte), PLACE)?;
    file.sync_all()
}

/// What tells one directory from another.
pub(super) fn number(data: &Path) -> anyhow::Result<u64> {
    let tell = || format!("cannot look at {}", data.display());
    fs::metadata(data).with_context(tell).map(|found| found.ino())
}

/// What pg_checksums says of this file, if it does not pass.
fn checked(data: &Path, file: &str, lab: &Lab) -> Option<String> {
    let (uid, gid) = lab.tools.user;
    let user = [format!("--reuid={uid}"), format!("--regid={gid}")];
    let program = lab.tools.postgres.join("pg_checksums").to_string_lossy().into_owned();
    let folder = data.to_string_lossy().into_owned();
    let node = file.rsplit('/').next()?;
    let words = ["setpriv", &user[0], &user[1], "--clear-groups", "--", &program];
    let said = run(&[&words[..], &["--check", "--pgdata", &folder, "--filenode", node]].concat());
    let said = format!("{:#}", said.err()?);
    let line = said.split("error: ").find(|part| part.contains("checksum verification failed"))?;
    Some(line.lines().next().unwrap_or(line).to_owned())
}

/// Has it cloned anew if its page is damaged still: by whoever leads, after a handover if it leads itself.
pub(super) async fn reclone(
    member: &'static str,
    lab: &mut Lab,
    watch: &Watch,
) -> anyhow::Result<Option<String>> {
    let (mark, data) = (mark(member, lab), lab.data(member));
    let Ok(then) = fs::read_to_string(&mark) else { return Ok(None) };
    let damaged = || number(&data).is_ok_and(|now| now.to_string() == then);
    let (began, mut said) = (Instant::now(), String::new());
    while damaged() {
        if began.elapsed() > PATIENCE {
            bail!("the damaged data of {member} are not replaced within {PATIENCE:?}: {said}");
        }
        lab.start_member(member)?;
        let leads = watch.primaries().await.first() == Some(&member);
        let asked = Instant::now();
        let mut begun = false;
        said = if leads {
            match watch.switch_over(member).await {
                Ok(()) => "it led, and has handed over".to_owned(),
                Err(error) => format!("{error:#}"),
            }
        } else {
            let answer = operate::ask(watch, "/reinitialize", member).await;
            begun = answer.done();
            answer.told()
        };
        while begun && damaged() && asked.elapsed() < CLONE {
            sleep(LOOK).await;
        }
        sleep(LOOK).await;
    }
    fs::remove_file(&mark).with_context(|| format!("cannot remove {}", mark.display()))?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_in_the_middle_of_the_first_page_are_turned_over_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("16384");
        fs::write(&path, [7; 16_384]).unwrap();
        flip(&path).unwrap();
        let now = fs::read(&path).unwrap();
        assert!(now[4_096..4_112].iter().all(|byte| *byte == !7));
        assert_eq!(now.iter().filter(|byte| **byte == 7).count(), 16_384 - 16);
    }
}
