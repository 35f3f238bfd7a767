//! What is known of a cluster, who said it and when. Takes answers; never asks.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use haa_core::records::HistoryRecord;
use haa_core::units::{Address, Term};

use super::super::documents::{ClusterView, Lag, RoutesView};
use super::super::events::{Event, asked, outcome};
use crate::api::document::rfc3339;
use crate::verdict::Verdict;

/// So many lags of each member are remembered, one a second.
const LAGS: usize = 120;

/// What was heard.
#[derive(Debug)]
pub(super) enum News {
    /// An agent answered.
    Said {
        /// Which.
        by: Address,
        /// What.
        document: Document,
    },
    /// Nobody did: for what was asked, whom was tried, and what each said.
    Silence(Topic, String),
}

/// What is asked for again and again, the most telling first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    Verdict,
    Members,
    Routes,
}

/// One answer.
#[derive(Debug)]
pub(super) enum Document {
    Verdict(Verdict),
    Cluster(ClusterView),
    Routes(RoutesView),
    Leaderships(Vec<(Term, HistoryRecord)>),
    Requests(Vec<Event>),
}

impl Document {
    const fn topic(&self) -> Option<Topic> {
        match self {
            Self::Verdict(_) => Some(Topic::Verdict),
            Self::Cluster(_) => Some(Topic::Members),
            Self::Routes(_) => Some(Topic::Routes),
            Self::Leaderships(_) | Self::Requests(_) => None,
        }
    }
}

/// All that is shown.
#[derive(Debug, Default)]
pub(super) struct Picture {
    /// Who said each of it, and when.
    said: BTreeMap<Topic, (Address, Instant)>,
    /// What nobody tells now, and why.
    silences: BTreeMap<Topic, String>,
    /// Never an old one: it would look like one of this moment.
    pub(super) verdict: Option<Verdict>,
    pub(super) cluster: ClusterView,
    /// Nor are these.
    pub(super) routes: Option<RoutesView>,
    /// Bytes that each member lacked, oldest first.
    pub(super) lags: BTreeMap<String, VecDeque<u64>>,
    leaderships: Vec<(Term, HistoryRecord)>,
    requests: Vec<Event>,
}

impl Picture {
    /// Takes what was heard at this moment.
    pub(super) fn take(&mut self, news: News, now: Instant) {
        let (by, document) = match news {
            News::Silence(topic, why) => return self.miss(topic, why),
            News::Said { by, document } => (by, document),
        };
        // One document says nothing of the age of another.
        if let Some(topic) = document.topic() {
            self.said.insert(topic, (by, now));
            self.silences.remove(&topic);
        }
        match document {
            Document::Verdict(verdict) => self.verdict = Some(verdict),
            Document::Cluster(cluster) => {
                self.remember_lags(&cluster);
                self.cluster = cluster;
            }
            Document::Routes(routes) => self.routes = Some(routes),
            Document::Leaderships(leaderships) => self.leaderships = leaderships,
            Document::Requests(requests) => self.requests = requests,
        }
    }

    fn miss(&mut self, topic: Topic, why: String) {
        match topic {
            Topic::Verdict => self.verdict = None,
            Topic::Members => {}
            Topic::Routes => self.routes = None,
        }
        self.silences.insert(topic, why);
    }

    /// What nobody tells now, and why: the most telling of it.
    pub(super) fn silence(&self) -> Option<&str> {
        self.silences.values().next().map(String::as_str)
    }

    /// Who said the older of verdict and members, and how long ago.
    pub(super) fn oldest(&self, now: Instant) -> Option<(&Address, Duration)> {
        let heard =
            [Topic::Verdict, Topic::Members].into_iter().filter_map(|it| self.said.get(&it));
        let (by, at) = heard.min_by_key(|(_, at)| *at)?;
        Some((by, now.duration_since(*at)))
    }

    fn remember_lags(&mut self, cluster: &ClusterView) {
        self.lags.retain(|name, _| cluster.members.iter().any(|member| member.name == *name));
        for member in &cluster.members {
            let lag = match &member.lag {
                Some(Lag::Bytes(bytes)) if !member.leads() => *bytes,
                Some(Lag::Bytes(_) | Lag::Word(_)) | None => 0,
            };
            let lags = self.lags.entry(member.name.clone()).or_default();
            lags.push_back(lag);
            if lags.len() > LAGS {
                lags.pop_front();
            }
        }
    }

    /// Leaderships and requests together, the newest first.
    pub(super) fn events(&self) -> Vec<String> {
        let leaderships = self.leaderships.iter().map(|(term, record)| {
            let HistoryRecord { leader, reason, .. } = record;
            (record.at_unix_ms, format!("term {term}: {leader} leads: {}", reason.sentence()))
        });
        let requests = self.requests.iter().map(|(_, request)| {
            let (by, what) = (&request.by, asked(request));
            (request.asked_unix_ms, format!("{what} ({by}): {}", outcome(request)))
        });
        let mut all: Vec<(u64, String)> = leaderships.chain(requests).collect();
        all.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        let line = |(at, what): (u64, String)| {
            let at = rfc3339(at / 1_000 * 1_000).replace('T', " ").replace(".000Z", "Z");
            format!("{at}  {what}")
        };
        all.into_iter().map(line).collect()
    }
}
