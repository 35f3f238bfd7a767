//! One verb at work: what was asked, what the cluster shows of it, and what is not as it was said to be. Decides on
//! no verb.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::Value;
use tokio::time::sleep;

use haa::ctl::documents::ClusterView;
use haa::playground::Process;

use crate::hosts::{Haactl, Lab, MEMBERS, Said, Watch};

/// Something that an operator was told, and that is not so. Times are nanoseconds since the run began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// What, and at which step.
    pub text: String,
    /// When the step began.
    pub from: u64,
    /// When it ended.
    pub to: u64,
}

/// What is done is seen by every agent within this: what others say reaches them by heartbeats, and they are busy.
pub(super) const SEEN: Duration = Duration::from_secs(3);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// Between two questions for the verdict.
const ASK: Duration = Duration::from_millis(250);

/// One verb at work.
pub(super) struct Step<'a> {
    pub(super) lab: &'a mut Lab,
    pub(super) watch: &'a Watch,
    pub(super) ctl: &'a Haactl,
    rng: StdRng,
    leader: &'static str,
    postmasters: BTreeMap<&'static str, Option<Process>>,
    asked: usize,
    said: Vec<String>,
    wrong: Vec<String>,
    whole: bool,
}

impl<'a> Step<'a> {
    /// Looks at how things are.
    pub(super) async fn begin(
        lab: &'a mut Lab,
        watch: &'a Watch,
        ctl: &'a Haactl,
        rng: StdRng,
    ) -> anyhow::Result<Self> {
        let leader = watch.primary(SEEN).await.context("before a verb")?;
        let postmasters = MEMBERS.into_iter().map(|name| (name, lab.postmaster(name))).collect();
        let (said, wrong) = (Vec::new(), Vec::new());
        Ok(Self { lab, watch, ctl, rng, leader, postmasters, asked: 0, said, wrong, whole: true })
    }

    /// Who led when it began.
    pub(super) fn leader(&self) -> &'static str {
        self.leader
    }

    /// One of the others.
    pub(super) fn replica(&mut self) -> &'static str {
        let all: Vec<&str> = MEMBERS.into_iter().filter(|name| *name != self.leader).collect();
        let number = self.rng.random_range(0..all.len());
        MEMBERS.into_iter().find(|name| *name == all[number]).unwrap_or(MEMBERS[0])
    }

    /// The one that is neither the leader nor this one.
    pub(super) fn other(&self, than: &str) -> &'static str {
        let mut all = MEMBERS.into_iter();
        all.find(|name| *name != self.leader && *name != than).unwrap_or(MEMBERS[0])
    }

    /// A number below this.
    pub(super) fn draw(&mut self, below: u64) -> u64 {
        self.rng.random_range(0..below)
    }

    /// Asks, and remembers the answer.
    pub(super) async fn ask(&mut self, words: &[&str]) -> anyhow::Result<Said> {
        let said = self.ctl.run(words).await?;
        self.note(&said);
        Ok(said)
    }

    /// Remembers an answer.
    pub(super) fn note(&mut self, said: &Said) {
        self.asked += 1;
        self.said.push(said.line());
    }

    /// Asks for what must be done.
    pub(super) async fn done(&mut self, words: &[&str]) -> anyhow::Result<Said> {
        let said = self.ask(words).await?;
        if said.code != Some(0) {
            self.wrong.push(format!("not done, though nothing was amiss: {}", said.line()));
        }
        Ok(said)
    }

    /// Asks for what must be refused with this exit code, in words that contain these.
    pub(super) async fn refused(
        &mut self,
        words: &[&str],
        (code, why): (i32, &str),
    ) -> anyhow::Result<()> {
        let said = self.ask(words).await?;
        let told = format!("{}\n{}", said.text, said.error);
        if said.code != Some(code) || !told.contains(why) {
            let line = said.line();
            self.wrong.push(format!("not refused with code {code} and \"{why}\": {line}"));
        }
        Ok(())
    }

    /// Something must be so.
    pub(super) fn demand(&mut self, so: Result<(), String>, what: &str) {
        if let Err(seen) = so {
            self.wrong.push(format!("{what}: {seen}"));
        }
    }

    /// Every agent's picture of the cluster must be so, soon.
    pub(super) async fn all_see(
        &mut self,
        what: &str,
        at_most: Duration,
        look: impl Fn(&ClusterView) -> bool,
    ) {
        let watch = self.watch;
        let so = until(at_most, async || {
            let views = watch.asked("/cluster").await;
            let not: Vec<&str> = views
                .iter()
                .filter(|(_, view)| !view.clone().and_then(read).is_some_and(|view| look(&view)))
                .map(|(member, _)| *member)
                .collect();
            if not.is_empty() { Ok(()) } else { Err(format!("not so for {}", not.join(" "))) }
        });
        let so = so.await;
        self.demand(so, what);
    }

    /// Exactly one member accepts writes, and it is such a one.
    pub(super) async fn leads(&mut self, what: &str, such: impl Fn(&str) -> bool) {
        let watch = self.watch;
        let so = until(SEEN, async || match watch.primaries().await[..] {
            [only] if such(only) => Ok(()),
            ref all => Err(format!("{all:?} accept writes")),
        });
        let so = so.await;
        self.demand(so, what);
    }

    /// The Postgres of this member is another one than when it began, or the same.
    pub(super) fn restarted(&mut self, member: &'static str, fate: Fate) {
        let (then, now) =
            (self.postmasters.get(member).copied().flatten(), self.lab.postmaster(member));
        let is = match (then == now, now) {
            (_, None) => None,
            (true, Some(_)) => Some(Fate::Same),
            (false, Some(_)) => Some(Fate::Another),
        };
        if is != Some(fate) {
            let what = format!("the Postgres of {member} should be {fate:?}, and is {is:?}");
            self.wrong.push(what);
        }
    }

    /// What this member's Postgres goes by.
    pub(super) async fn shown(&self, member: &str, parameter: &str) -> anyhow::Result<String> {
        let client = self.lab.superuser(member).await?;
        let row = client.query_one(&format!("SHOW {parameter}"), &[]).await?;
        Ok(row.try_get(0)?)
    }

    /// Waits for a healthy verdict, then until everybody streams and votes; tells how long that took.
    pub(super) async fn recover(&mut self, healthy: Duration, whole: Duration) -> String {
        let began = Instant::now();
        let verdict = loop {
            match self.ctl.run(&["status"]).await {
                Ok(said) if said.code == Some(0) => break Ok(began.elapsed()),
                Ok(said) if began.elapsed() > healthy => break Err(said.text),
                Err(error) if began.elapsed() > healthy => break Err(error.to_string()),
                Ok(_) | Err(_) => sleep(ASK).await,
            }
        };
        let told = match &verdict {
            Ok(took) => format!("healthy after {} ms", took.as_millis()),
            Err(said) => {
                let said = said.replace('\n', " ");
                self.wrong.push(format!("not healthy within {healthy:?}: {said}"));
                "not healthy".to_owned()
            }
        };
        let all = self.watch.whole(whole).await;
        self.whole = verdict.is_ok() && all.is_ok();
        match all {
            Ok(_) => format!("{told}, whole after {} ms", began.elapsed().as_millis()),
            Err(error) => {
                self.wrong.push(format!("{error:#}"));
                format!("{told}, not whole")
            }
        }
    }

    /// Whether the next verb finds what it needs.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    /// What a verb may have left, taken back as far as somebody takes it.
    pub(super) async fn put_right(&mut self) -> anyhow::Result<()> {
        for member in MEMBERS {
            self.lab.start_member(member)?;
        }
        self.ctl.run(&["resume"]).await?;
        for member in MEMBERS {
            self.ctl.run(&["undrain", member]).await?;
        }
        Ok(())
    }

    /// How often haactl was asked.
    pub(super) fn counted(&self) -> String {
        format!("haactl answered {} times, {} wrong", self.asked, self.wrong.len())
    }

    /// What it answered.
    pub(super) fn said(&self) -> &[String] {
        &self.said
    }

    /// What is not as it was said to be.
    pub(super) fn wrong(&self) -> &[String] {
        &self.wrong
    }
}

/// Whether a Postgres was restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is the one that it was.
    Same,
    /// It was started since.
    Another,
}

/// Looks again and again until it is so, and answers the last that was seen.
pub(super) async fn until(
    at_most: Duration,
    look: impl AsyncFn() -> Result<(), String>,
) -> Result<(), String> {
    let began = Instant::now();
    loop {
        match look().await {
            Ok(()) => return Ok(()),
            Err(seen) if began.elapsed() > at_most => {
                return Err(format!("{seen}, {at_most:?} later"));
            }
            Err(_) => sleep(LOOK).await,
        }
    }
}

/// As an agent says it.
pub(super) fn read(view: Value) -> Option<ClusterView> {
    serde_json::from_value(view).ok()
}

/// Whether acknowledged commits rest on this member.
pub(super) fn votes(view: &ClusterView, member: &str) -> bool {
    let commits = view.commits.as_ref();
    commits.is_some_and(|commits| commits.voters.iter().any(|name| name == member))
}

/// Whether it streams.
pub(super) fn streams(view: &ClusterView, member: &str) -> bool {
    view.members.iter().any(|one| one.name == member && one.streams())
}
