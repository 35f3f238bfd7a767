//! One member: its clock, its agent and what the agent keeps. Never what the agent decides.

use std::collections::{BTreeMap, VecDeque};

use haa_core::discard::Discarded;
use haa_core::effect::Job;
use haa_core::line::Fork;
use haa_core::node::Remembered;
use haa_core::observe::{PostgresFacts, Server};
use haa_core::records::RequestId;
use haa_core::routes::Status;
use haa_core::units::{Instance, JobId, MemberName, Millis};
use haa_core::voters::{Attempt, Promises};

use crate::brain::Brain;
use crate::dice::Dice;
use crate::postgres::Postgres;
use crate::time::{At, Clock};
use crate::wal::Wal;
use crate::world::ForAgent;
use crate::world::store::Pending;

/// A member.
#[derive(Debug)]
pub struct Member {
    /// Its name.
    pub name: MemberName,
    /// Its clock.
    pub clock: Clock,
    /// Its agent.
    pub agent: Agent,
    /// Its Postgres.
    pub postgres: Postgres,
}

/// What the agent's process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It runs.
    Running,
    /// It is about to be frozen between a decision and its deeds.
    Stumbling,
    /// It is frozen: it handles nothing, and everything waits.
    Frozen,
    /// It is not there.
    Down,
}

/// An agent.
#[derive(Debug)]
pub struct Agent {
    /// Counts its runs.
    pub life: u32,
    /// What its process does.
    pub state: Life,
    /// Its node.
    pub brain: Option<Brain>,
    /// What waits for its thaw.
    pub held: VecDeque<ForAgent>,
    /// The job slot.
    pub slot: Option<Slot>,
    /// When the next tick is due.
    pub tick_at: At,
    /// What its API answers from.
    pub status: Option<Box<Status>>,
    /// On its disk.
    pub instance: Instance,
    /// On its disk.
    pub remembered: Option<Remembered>,
    /// On its disk, synced.
    pub promises: Promises,
    /// On its disk, synced: what was discarded, and the store does not show.
    pub notes: BTreeMap<Fork, Discarded>,
    /// The leadership that every member lets go on, and until when: its guard knows, whatever becomes of the agent.
    pub consented: Option<Remembered>,
    /// The last grant that it told.
    pub granted: Option<Attempt>,
    /// What it carries out by itself, and until when that is waited for.
    pub errand: Option<(RequestId, At)>,
    /// Requests under way.
    pub pending: BTreeMap<u64, Pending>,
    /// A linearizable read is under way.
    pub reading: Ongoing,
    /// A look is under way.
    pub looking: Ongoing,
    /// Looks come to no end until then.
    pub blind_until: At,
    /// Looks are frequent until then.
    pub alert_until: At,
    /// Counts the looks, so that one that is due is void when another came before it.
    pub glance: u32,
    /// What the look under way has seen: all of it when it began.
    pub sight: Option<Box<PostgresFacts>>,
    /// The watch.
    pub watch: Watch,
    /// Until when the guard lets Postgres stay open.
    pub guard_until: Option<Millis>,
    /// When the guard looks at its deadline next.
    pub guard_wakes: Option<At>,
    /// When it last began to run, or was thawed.
    pub awake_since: At,
}

/// Something of which there is at most one at a time, and which may be wished again meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ongoing {
    /// Not under way.
    No,
    /// Under way.
    Yes,
    /// Under way, and to be done again.
    Again,
}

/// What is in the job slot.
#[derive(Clone, Debug)]
pub struct Slot {
    /// The node's number.
    pub id: JobId,
    /// What.
    pub job: Job,
    /// Ours, so that an abandoned occupation is told apart.
    pub serial: u64,
    /// The run of the source's server when the work began.
    pub source_run: u32,
    /// What WAL the source had then.
    pub listed: Option<Wal>,
}

/// A watch.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// It is thought to be alive.
    pub listening: Ongoing,
    /// No change arrives earlier than the one before it.
    pub last: At,
    /// etcd tells nothing until then.
    pub mute_until: At,
}

impl Member {
    /// A member without data, its agent not started.
    #[must_use]
    pub fn new(number: usize, drift_ppm: u32, dice: &mut Dice) -> Self {
        let drift = i64::from(drift_ppm);
        let ppm = dice.below(2 * drift_ppm as usize + 1) as i64 - drift;
        let base = Millis(100_000 + dice.below(1_000_000) as u64);
        Self {
            name: format!("n{}", number + 1).parse().expect("a letter and a number is a name"),
            clock: Clock::new(At(0), base, ppm),
            agent: Agent::new(dice),
            postgres: Postgres::default(),
        }
    }
}

impl Agent {
    /// While WAL is being fetched, what a standby has is not all that it will have.
    pub(crate) fn hide_position(&self, facts: &mut PostgresFacts) {
        let fetches = matches!(&self.slot, Some(slot) if matches!(slot.job, Job::Fetch { .. }));
        if let (true, Server::Standby(standby)) = (fetches, &mut facts.server) {
            (standby.detached, standby.dry) = (false, false);
        }
    }

    fn new(dice: &mut Dice) -> Self {
        Self {
            life: 0,
            state: Life::Down,
            brain: None,
            held: VecDeque::new(),
            slot: None,
            tick_at: At(u64::MAX),
            status: None,
            instance: Instance(dice.number()),
            remembered: None,
            promises: Promises::default(),
            notes: BTreeMap::new(),
            consented: None,
            granted: None,
            errand: None,
            pending: BTreeMap::new(),
            reading: Ongoing::No,
            looking: Ongoing::No,
            blind_until: At(0),
            alert_until: At(0),
            glance: 0,
            sight: None,
            watch: Watch { listening: Ongoing::No, last: At(0), mute_until: At(0) },
            guard_until: None,
            guard_wakes: None,
            awake_since: At(0),
        }
    }

    /// It can answer and act.
    #[must_use]
    pub const fn awake(&self) -> bool {
        matches!(self.state, Life::Running | Life::Stumbling)
    }
}
