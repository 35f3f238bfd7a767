//! `haactl doctor`: what is not as it should be in the setup, and what to do. Asks every member; changes nothing.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use futures_util::future::join_all;
use haa_core::units::Address;
use serde::Serialize;

use super::documents::ClusterView;
use super::error::CtlError;
use super::http::Ask;
use super::print::{Output, document, say};
use super::target::Target;
use crate::api::document::unix_ms;
use crate::doctor::between::{self, About, Asked};
use crate::doctor::{Report, Severity};

/// Check the setup of every member, and say how to mend what is found
#[derive(Args, Debug)]
#[command(after_help = "\
How the cluster is at this moment is not its matter: that is haactl status.

Examples:
  haactl doctor
  haactl doctor --output json | jq -r '.findings[] | select(.severity==\"problem\").what'

Exit codes: 0 no problem found (there may be advice), 1 problems found, 2 wrong usage,
3 no agent could be reached, 4 token missing or refused")]
pub(super) struct DoctorArgs {
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// An agent's own look takes no longer.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Serialize)]
struct Diagnosis {
    cluster: String,
    /// Who was examined.
    examined: BTreeSet<String>,
    findings: Vec<About>,
}

/// Runs the verb.
///
/// # Errors
/// When no agent answers, or problems were found: they were said then.
pub(super) async fn run(args: &DoctorArgs, target: &Target) -> Result<(), CtlError> {
    let cluster: ClusterView = target.document("/cluster").await?;
    let asked = ask_all(&cluster, target).await;
    let diagnosis = Diagnosis {
        cluster: cluster.scope,
        examined: asked.iter().filter(|one| one.report.is_ok()).map(name).collect(),
        findings: between::findings(&asked),
    };
    say(document(args.output, &diagnosis)?.unwrap_or_else(|| story(&diagnosis)))?;
    match diagnosis.count(Severity::Problem) {
        0 => Ok(()),
        _ => Err(CtlError::Problems),
    }
}

fn name(asked: &Asked) -> String {
    asked.member.clone()
}

/// Every member that the store knows, and whoever answers at the addresses that haactl was given: an agent that does
/// not reach the store is found there only.
async fn ask_all(cluster: &ClusterView, target: &Target) -> Vec<Asked> {
    let members: Vec<(String, Option<Address>)> =
        cluster.members.iter().map(|member| (member.name.clone(), member.agent())).collect();
    let more: Vec<&Address> = target
        .addresses()
        .iter()
        .filter(|address| !members.iter().any(|(_, agent)| agent.as_ref() == Some(*address)))
        .collect();
    let known = members.into_iter().map(|(member, agent)| async move {
        match agent {
            Some(agent) => ask(target, member, &agent).await,
            None => {
                let report = Err("its agent's address is not known".to_owned());
                Asked { member, report, clock: None }
            }
        }
    });
    let mut asked = join_all(known).await;
    for found in join_all(more.into_iter().map(|at| ask(target, at.to_string(), at))).await {
        let member = found.report.as_ref().map_or(&found.member, |report| &report.member).clone();
        if !asked.iter().any(|one| one.member == member) {
            asked.push(Asked { member, ..found });
        }
    }
    asked
}

async fn ask(target: &Target, member: String, at: &Address) -> Asked {
    let sent = target.question(Ask::get("/doctor").within(PATIENCE)).send(at).await;
    let now = unix_ms();
    let report: Result<Report, String> = match sent {
        Ok(answer) if answer.status == 200 => {
            serde_json::from_slice(&answer.body).map_err(|error| format!("an odd answer ({error})"))
        }
        Ok(answer) => Err(format!("{at}: {}", answer.sentence())),
        Err(error) => Err(format!("{at}: {error}")),
    };
    // It said so as it answered: what is left is the way back.
    let clock = report
        .as_ref()
        .ok()
        .and_then(|report| Some(i64::try_from(report.unix_ms).ok()? - i64::try_from(now).ok()?));
    Asked { member, report, clock }
}

impl Diagnosis {
    fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|about| about.severity == severity).count()
    }
}

fn story(diagnosis: &Diagnosis) -> String {
    let mut text = String::new();
    for about in &diagnosis.findings {
        let severity = match about.severity {
            Severity::Problem => "PROBLEM",
            Severity::Advice => "advice ",
        };
        let whom: Vec<&str> = about.members.iter().map(String::as_str).collect();
        let whom = if whom.is_empty() { String::new() } else { format!("{}: ", whom.join(", ")) };
        let About { what, why, remedy, .. } = about;
        let _ = writeln!(text, "{severity}  {whom}{what}\n  why:  {why}\n  do:   {remedy}\n");
    }
    let examined: Vec<&str> = diagnosis.examined.iter().map(String::as_str).collect();
    let (problems, advice) =
        (diagnosis.count(Severity::Problem), diagnosis.count(Severity::Advice));
    let _ = write!(
        text,
        "{}: {problems} problem(s), {advice} piece(s) of advice; examined: {}",
        diagnosis.cluster,
        examined.join(", ")
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_says_who_what_why_and_what_to_do() {
        let about = |severity, members: &[&str], what: &str| About {
            severity,
            members: members.iter().map(|&name| name.to_owned()).collect(),
            what: what.to_owned(),
            why: "it matters".to_owned(),
            remedy: "do this".to_owned(),
        };
        let diagnosis = Diagnosis {
            cluster: "shop".to_owned(),
            examined: ["n1", "n2"].map(str::to_owned).into(),
            findings: vec![
                about(Severity::Problem, &["n1", "n2"], "fsync is off"),
                about(Severity::Advice, &[], "members differ"),
            ],
        };
        assert_eq!(
            story(&diagnosis),
            "PROBLEM  n1, n2: fsync is off\n  why:  it matters\n  do:   do this\n\n\
             advice   members differ\n  why:  it matters\n  do:   do this\n\n\
             shop: 1 problem(s), 1 piece(s) of advice; examined: n1, n2"
        );
    }
}
