//! What operators asked for in advance: whether it is due, and when it is too late for it. From then on it goes the way
//! of every request. The wall clock says only when to begin; never whether that is safe.

use crate::records::{
    Altered, Ask, Due, Kept, Key, Record, RequestId, RequestRecord, RequestState,
};
use crate::settings::Settings;
use crate::units::{MemberName, Millis, Term};

use super::Node;
use super::belief::Belief;
use super::desk::{Change, seen};
use super::requests::answered;

/// What we were told of the wall clock counts for so long: it may have been set since.
const FRESH: Millis = Millis(30_000);

/// What is to become of a command that waits for its time.
enum Turn {
    /// It goes on waiting, at most so long before we look again.
    Wait(Millis),
    /// Its time has come.
    Begin,
    /// It comes to nothing; why, in a sentence.
    Never(String),
}

/// Whether they pause the cluster or resume it, and nothing else: that can be done without a leader.
fn is_pause(changes: &[Altered]) -> bool {
    changes.iter().all(|to| to.key == "pause")
}

impl Belief {
    /// The wall clock, milliseconds since 1970; nothing if nobody told us of it lately.
    fn wall(&self, now: Millis) -> Option<u64> {
        let (at, unix_ms) = self.wall?;
        let age = now.since(at);
        (age < FRESH).then_some(unix_ms + age.0)
    }

    fn turn(&self, wall: u64, due: &Due) -> Turn {
        let requests = self.view.as_ref().map(|view| &view.requests);
        let before = due.after.as_ref().map(|id| requests?.get(id).map(|kept| &kept.value.state));
        let waits = match before {
            Some(None | Some(RequestState::Refused { .. })) => {
                return Turn::Never("the command before it was not done".to_owned());
            }
            None | Some(Some(RequestState::Done { .. })) => false,
            Some(Some(_)) => true,
        };
        if wall >= due.until_unix_ms {
            let minutes = due.until_unix_ms.saturating_sub(due.at_unix_ms) / 60_000;
            return Turn::Never(format!(
                "nobody could begin with it within {minutes} minutes after it was due, by the clock of {}: it has \
                 lapsed",
                self.me
            ));
        }
        let next = if wall < due.at_unix_ms { due.at_unix_ms } else { due.until_unix_ms };
        match &due.from {
            _ if waits || wall < due.at_unix_ms => Turn::Wait(Millis(next - wall)),
            Some(from) if self.own_leader_key().is_some() && *from != self.me => {
                Turn::Never(format!("{from} does not lead any more: {} does", self.me))
            }
            Some(_) | None => Turn::Begin,
        }
    }
}

impl Node {
    /// Sees what is due. The leader acts on that; while there is none, whoever is first may.
    pub(super) fn keep_schedule(&mut self, now: Millis) {
        self.due.clear();
        let Some(wall) = self.belief.wall(now).filter(|_| !self.belief.is_led_by_another()) else {
            return;
        };
        let leads = self.belief.own_leader_key().is_some();
        let requests = self.belief.view.iter().flat_map(|view| &view.requests);
        let waiting = requests.filter(|(_, kept)| kept.value.state == RequestState::Scheduled);
        let mut waiting: Vec<_> =
            waiting.map(|(id, kept)| (id.clone(), kept.value.clone())).collect();
        waiting.sort_by_key(|(id, request)| (request.began_unix_ms(), id.clone()));
        for (id, request) in waiting {
            let Some(due) = &request.due else { continue };
            match (self.belief.turn(wall, due), &request.ask) {
                (Turn::Wait(left), _) => self.desk.wake_at(now.after(left)),
                // One clock counts, not the fastest of all.
                (Turn::Never(_), _) if !leads => {}
                (Turn::Never(why), _) => {
                    self.answer(&id, &request, RequestState::Refused { why });
                }
                (Turn::Begin, Ask::Settings { changes }) if is_pause(changes) => {
                    self.set(&id, &request, changes);
                }
                (Turn::Begin, _) => drop(self.due.insert(id)),
            }
        }
    }

    /// Whether it should have begun before now: what we wrote can be under way for as long as the store is away.
    pub(super) fn is_too_late(&self, now: Millis, request: &RequestRecord) -> bool {
        let until = request.due.as_ref().map(|due| due.until_unix_ms);
        until.is_some_and(|until| self.belief.wall(now).is_some_and(|wall| wall >= until))
    }

    /// Pauses the cluster, or resumes it.
    fn set(&mut self, id: &RequestId, request: &RequestRecord, changes: &[Altered]) {
        let Some(kept) = self.belief.view.as_ref().and_then(|view| view.settings.as_ref()) else {
            return;
        };
        let pause = changes.iter().any(|to| to.key == "pause" && to.to.as_deref() == Some("true"));
        // Without a leader nobody takes over until it is resumed; a pause can wait for the next one.
        if pause && self.belief.own_leader_key().is_none() {
            return;
        }
        let what = if kept.value.pause == pause { "it was so already" } else { "written" };
        let state = RequestState::Done { what: what.to_owned() };
        let mut compare = vec![(Key::Settings, seen(Some(kept)))];
        let settings = Record::Settings(Settings { pause, ..kept.value.clone() });
        let mut change = Change::default().put(settings);
        for (pause, asked) in self.pauses_before(request).filter(|_| !pause) {
            compare.push((Key::Request(pause.clone()), asked.revision));
            let why = "its resume came before anybody could begin with it".to_owned();
            let state = RequestState::Refused { why };
            change = answered(change, pause, RequestRecord { state, ..asked.value.clone() });
        }
        self.answer_with(id, request, state, (change, compare));
    }

    /// Pauses that wait, and were to begin before that resume: they would come after it.
    fn pauses_before(
        &self,
        resume: &RequestRecord,
    ) -> impl Iterator<Item = (&RequestId, &Kept<RequestRecord>)> {
        let requests = self.belief.view.iter().flat_map(|view| &view.requests);
        let until = resume.began_unix_ms();
        requests.filter(move |(_, kept)| {
            let asked = &kept.value;
            let pauses = matches!(&asked.ask, Ask::Settings { changes } if is_pause(changes));
            let waits = asked.state == RequestState::Scheduled;
            pauses && waits && asked.began_unix_ms() < until
        })
    }

    /// Whether these are settings, and some that were to be changed before them are not changed yet.
    fn comes_after(&self, id: &RequestId, request: &RequestRecord) -> bool {
        let sets = |request: &RequestRecord| matches!(request.ask, Ask::Settings { .. });
        let own = (request.began_unix_ms(), id);
        let mut open = self.open_requests().into_iter();
        let before = |(other, asked): (RequestId, RequestRecord)| {
            sets(&asked) && (asked.began_unix_ms(), &other) < own
        };
        sets(request) && open.any(before)
    }

    /// Whether an agent may carry it out; the status of that one says so then. One that is away may be back in time.
    pub(super) fn admit_errand(
        &mut self,
        now: Millis,
        (id, request): (&RequestId, &RequestRecord),
        (name, term): (&MemberName, Term),
    ) {
        let begun = matches!(request.state, RequestState::Accepted { .. });
        if self.is_too_late(now, request) {
            let why = format!("{name} did not come to it in time: it has lapsed");
            self.answer(id, request, RequestState::Refused { why });
        } else if !begun && self.belief.member(name).is_some() && !self.comes_after(id, request) {
            self.answer(id, request, RequestState::Accepted { term });
        }
    }

    /// What our agent is to carry out now. One that stops leaves it to the next: its Postgres takes nothing any more.
    pub(super) fn errand(&self, now: Millis) -> Option<RequestId> {
        if self.leaving.is_some() {
            return None;
        }
        let leader = &self.belief.view.as_ref()?.leader.as_ref()?.value.member;
        let open = self.open_requests().into_iter();
        let mut ours = open.filter(|(_, request)| {
            let accepted = matches!(request.state, RequestState::Accepted { .. });
            accepted && request.ask.errand_of(leader) == Some(&self.config.name)
        });
        ours.find(|(_, request)| !self.is_too_late(now, request)).map(|(id, _)| id)
    }
}
