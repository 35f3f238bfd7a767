//! `haactl list`: the members, their roles and how far they are. Asks one agent; changes nothing.

use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use haa_core::units::MemberName;
use serde::Serialize;

use super::at;
use super::documents::{ClusterView, CommitsView, Lag, MemberView, RoutesView};
use super::error::CtlError;
use super::print::{Output, document, say, table};
use super::target::Target;
pub(super) use crate::config::size::readable;
use crate::verdict::Planned;

/// Show the members of the cluster
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  haactl --api 10.0.0.1:8008 list
  haactl list --output json | jq -r '.members[] | select(.role==\"leader\").name'
  haactl list --watch 2

Exit codes: 0 shown, 2 wrong usage, 3 no agent could be reached,
4 token missing or refused")]
pub struct ListArgs {
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    /// Show it again every SECONDS until interrupted; when piped, on change only
    #[arg(short, long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1",
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    watch: Option<u64>,
}

/// What is known of a cluster at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Overview {
    /// The cluster's name.
    pub cluster: String,
    /// The newest term, where an agent says it.
    pub term: Option<u64>,
    /// Who leads.
    pub leader: Option<String>,
    /// Where writes go now; a leader that is still being opened has no route.
    pub writable: Option<String>,
    /// The members.
    pub members: Vec<MemberView>,
    /// What an acknowledgement means.
    pub commits: Option<CommitsView>,
    /// The cluster that this one follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standby_of: Option<String>,
    /// Nothing begins by itself.
    pub pause: bool,
    /// What waits for its time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scheduled: Vec<Planned>,
}

/// Runs the verb.
///
/// # Errors
/// When no agent answers.
pub async fn run(args: &ListArgs, target: &Target) -> Result<(), CtlError> {
    let Some(seconds) = args.watch else {
        return say(render(args.output, &Overview::fetch(target).await?)?);
    };
    let mut last = String::new();
    let mut ticks = tokio::time::interval(Duration::from_secs(seconds));
    loop {
        ticks.tick().await;
        let text = match Overview::fetch(target).await {
            Ok(overview) => render(args.output, &overview)?,
            Err(error @ (CtlError::Unreachable(_) | CtlError::Refused { .. })) => error.to_string(),
            Err(error) => return Err(error),
        };
        if std::io::stdout().is_terminal() {
            say(format_args!("\x1b[2J\x1b[H{text}"))?;
        } else if text != last {
            say(&text)?;
        }
        last = text;
    }
}

impl Overview {
    /// Asks for all of it.
    ///
    /// # Errors
    /// When no agent answers.
    pub async fn fetch(target: &Target) -> Result<Self, CtlError> {
        let cluster: ClusterView = target.document("/cluster").await?;
        // While the store is out of reach, no agent may say where to write; the members are shown all the same.
        let routes: Option<RoutesView> = target.document("/routes").await.ok();
        Ok(Self {
            leader: cluster.leader().map(|leader| leader.name.clone()),
            term: routes.as_ref().and_then(|routes| routes.term),
            writable: routes.and_then(|routes| routes.primary).map(|primary| primary.member),
            cluster: cluster.scope,
            members: cluster.members,
            commits: cluster.commits,
            standby_of: cluster.standby_of,
            pause: cluster.pause,
            scheduled: cluster.scheduled,
        })
    }

    /// Nobody is asked about a member that there is not.
    pub(super) fn names(&self, member: &MemberName) -> Result<(), CtlError> {
        is_member(member, &self.members, &self.cluster)
    }

    /// Who leads, if somebody does.
    #[must_use]
    pub fn leader(&self) -> Option<&MemberView> {
        self.members.iter().find(|member| member.leads())
    }

    /// One line above the table.
    #[must_use]
    pub fn headline(&self) -> String {
        let term = self.term.map_or("unknown".to_owned(), |term| term.to_string());
        let leader = self.leader.as_deref().unwrap_or("none");
        let open = if self.writable.is_some() || self.standby_of.is_some() {
            ""
        } else {
            "  (nobody accepts writes)"
        };
        let commits = match &self.standby_of {
            Some(site) => format!("standby of the cluster at {site}"),
            None => self.commits.as_ref().map_or_else(String::new, CommitsView::sentence),
        };
        let paused = if self.pause { "PAUSED  " } else { "" };
        let line = format!(
            "{paused}cluster {}  term {term}  leader {leader}{open}  {commits}",
            self.cluster
        );
        line.trim_end().to_owned()
    }

    /// Whether acknowledged commits rest on this member.
    #[must_use]
    pub fn votes(&self, member: &str) -> bool {
        self.commits
            .as_ref()
            .is_some_and(|commits| commits.voters.iter().any(|name| name == member))
    }

    /// The table, for people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut rows =
            table(&["member", "role", "state", "voter", "timeline", "lag", "address", "tags"]);
        for member in &self.members {
            rows.add_row([
                member.name.clone(),
                member.role_word().to_owned(),
                member.shown_state(),
                if self.votes(&member.name) { "yes" } else { "-" }.to_owned(),
                member.timeline.map_or("-".to_owned(), |timeline| timeline.to_string()),
                lag(member),
                format!("{}:{}", member.host, member.port),
                tags(member),
            ]);
        }
        rows.trim_fmt()
    }
}

fn render(output: Output, overview: &Overview) -> Result<String, CtlError> {
    let people = || {
        let notes = overview.members.iter().flat_map(MemberView::notes);
        let notes: Vec<String> = notes.chain(at::line(&overview.scheduled)).collect();
        let head = format!("{}\n{}", overview.headline(), overview.table());
        [vec![head], notes].concat().join("\n")
    };
    Ok(document(output, overview)?.unwrap_or_else(people))
}

/// An error that says so if there is no such member.
pub(super) fn is_member(
    name: &MemberName,
    members: &[MemberView],
    scope: &str,
) -> Result<(), CtlError> {
    if members.iter().any(|member| member.name == name.as_str()) {
        return Ok(());
    }
    Err(CtlError::NoMember { name: name.to_string(), scope: scope.to_owned() })
}

pub(super) fn lag(member: &MemberView) -> String {
    match &member.lag {
        _ if member.leads() => "-".to_owned(),
        None => "-".to_owned(),
        Some(Lag::Word(word)) => word.clone(),
        Some(Lag::Bytes(bytes)) => readable(*bytes),
    }
}

/// Tags at their usual value say nothing and are left out.
pub(super) fn tags(member: &MemberView) -> String {
    let unusual = |value: &serde_json::Value| {
        !matches!(value, serde_json::Value::Bool(false) | serde_json::Value::Null) && *value != 0
    };
    let shown =
        member.tags.iter().filter(|(_, value)| unusual(value)).map(|(key, value)| match value {
            serde_json::Value::Bool(_) => key.clone(),
            serde_json::Value::String(text) => format!("{key}={text}"),
            other => format!("{key}={other}"),
        });
    let drained = member.drained.then(|| "DRAINED".to_owned());
    drained.into_iter().chain(shown).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn only_unusual_tags_are_shown() {
        let member: MemberView = serde_json::from_str(
            r#"{"name":"n1","tags":{"nofailover":true,"noloadbalance":false,"site":"b","x":0}}"#,
        )
        .expect("a member");
        assert_eq!(tags(&member), "nofailover site=b");
    }

    #[test]
    fn from_whom_one_streams_is_shown_where_it_is_told_from_whom() {
        let member: MemberView = serde_json::from_str(
            r#"{"name":"n4","state":"streaming","upstream":"n1","tags":{"replicatefrom":"n2"}}"#,
        )
        .expect("a member");
        assert_eq!(member.shown_state(), "streaming from n1");
        assert_eq!(tags(&member), "replicatefrom=n2");
        let plain = MemberView { tags: BTreeMap::new(), ..member };
        assert_eq!(plain.shown_state(), "streaming");
    }

    #[test]
    fn the_headline_says_when_nobody_accepts_writes() {
        let overview = Overview { cluster: "shop".to_owned(), ..Overview::default() };
        assert_eq!(
            overview.headline(),
            "cluster shop  term unknown  leader none  (nobody accepts writes)"
        );
        let voters = vec!["n1".to_owned(), "n2".to_owned(), "n3".to_owned()];
        let commits = CommitsView { durability: "quorum".to_owned(), k: 1, voters, alone: false };
        assert_eq!(commits.sentence(), "a commit is on 2 of 3 voters");
        let alone = CommitsView { k: 0, alone: true, ..commits };
        assert_eq!(alone.sentence(), "ALONE: a commit is on the primary only");
    }
}
