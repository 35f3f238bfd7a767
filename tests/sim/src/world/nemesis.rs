//! The nemesis: which faults a seed brings, how often, against whom, for how long. Never what a fault does.

use haa_core::records::{Ask, Loss, Manner};
use haa_core::settings::{Durability, Settings};

use haa_core::units::{MemberName, Millis};

use crate::conduct::Conduct;
use crate::dice::Dice;
use crate::net::Weather;
use crate::time::At;
use crate::world::faults::Fault;
use crate::world::{EtcdState, Event, World};

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A Postgres dies.
    Postgres,
    /// A Postgres hangs.
    Stall,
    /// A disk takes no WAL, or is full.
    Disk,
    /// An agent dies and is started again.
    Agent,
    /// An agent is frozen.
    Freeze,
    /// An agent is frozen between a decision and its deeds.
    Stumble,
    /// A host goes down.
    Host,
    /// Two members lose each other, in one direction or both.
    Pair,
    /// A member loses etcd.
    FromEtcd,
    /// A member loses everybody.
    Island,
    /// The network is bad.
    Weather,
    /// etcd is away.
    Etcd,
    /// A watch is silent.
    Watch,
    /// Postgres and its tools, or etcd's answers, go wrong.
    Conduct,
    /// An operator asks for a switchover.
    Switchover,
    /// An operator asks for a failover.
    Failover,
    /// Somebody promotes a standby by hand.
    ByHand,
    /// Nobody can look at a Postgres.
    Blind,
    /// etcd ends leases early.
    Early,
    /// An agent dies between a decision and its deeds.
    Crash,
    /// Lists of synchronous standbys are taken late.
    Lists,
    /// An operator changes who is to acknowledge.
    Settings,
    /// Something goes wrong just when somebody stands.
    Ambush,
    /// An operator takes members out of use, and back.
    Drain,
    /// An operator has a Postgres restarted.
    Restart,
    /// An operator has a replica cloned anew.
    Reinit,
    /// An operator has a member forgotten.
    Remove,
    /// etcd is away for longer than any lease.
    LongEtcd,
    /// etcd runs on, and nobody reaches it for longer than any lease.
    Dark,
}

/// What is brought where acknowledged commits rest on voters.
const OF_QUORUM: [Kind; 4] = [Kind::Crash, Kind::Lists, Kind::Settings, Kind::Ambush];

const KINDS: [Kind; 18] = [
    Kind::Postgres,
    Kind::Stall,
    Kind::Disk,
    Kind::Agent,
    Kind::Freeze,
    Kind::Stumble,
    Kind::Host,
    Kind::Pair,
    Kind::FromEtcd,
    Kind::Island,
    Kind::Weather,
    Kind::Etcd,
    Kind::Watch,
    Kind::Conduct,
    Kind::Switchover,
    Kind::Failover,
    Kind::ByHand,
    Kind::Blind,
];

/// What a seed brings.
#[derive(Clone, Debug)]
pub struct Mix {
    /// These kinds, each as likely.
    pub kinds: Vec<Kind>,
    /// The pause between two faults, at most.
    pub pause: At,
    /// A fault lasts at most so long.
    pub lasts: At,
    /// How often the leader is meant, in percent; else anybody.
    pub leader_percent: u32,
    /// When the faults end.
    pub until: At,
}

impl Mix {
    /// Draws one.
    pub fn draw(dice: &mut Dice, until: At) -> Self {
        let mut kinds: Vec<Kind> = KINDS.into_iter().filter(|_| dice.percent(35)).collect();
        if kinds.is_empty() {
            kinds.push(KINDS[dice.below(KINDS.len())]);
        }
        let pauses = [3, 8, 20, 40];
        let lasting = [500, 3_000, 12_000, 30_000];
        Self {
            kinds,
            pause: At::secs(pauses[dice.below(pauses.len())]),
            lasts: At::ms(lasting[dice.below(lasting.len())]),
            leader_percent: [20, 50, 90][dice.below(3)],
            until,
        }
    }

    /// The same with what can go wrong between voters.
    #[must_use]
    pub fn with_quorum(mut self, dice: &mut Dice) -> Self {
        self.kinds.extend(OF_QUORUM.into_iter().filter(|_| dice.percent(50)));
        self
    }
}

impl World {
    /// Faults from now on, as in the mix.
    pub fn unleash(&mut self, mix: Mix) {
        self.say(|_| format!("  * faults: {mix:?}"));
        self.mix = Some(mix);
        self.later(At::ms(100), Event::Nemesis);
    }

    pub(crate) fn nemesis(&mut self) {
        let Some(mix) = self.mix.take() else { return };
        if self.now >= mix.until {
            return;
        }
        let kind = mix.kinds[self.dice.below(mix.kinds.len())];
        let victim = self.victim(&mix);
        let span = self.dice.span(At::ms(20), mix.lasts);
        self.strike(kind, victim, span);
        let pause = self.dice.span(At::ms(50), mix.pause);
        self.later(pause, Event::Nemesis);
        self.mix = Some(mix);
    }

    fn victim(&mut self, mix: &Mix) -> usize {
        let leader = self.etcd.view.leader.as_ref().map(|kept| kept.value.member.clone());
        let leader = leader.and_then(|name| self.index(&name));
        match leader {
            Some(leader) if self.dice.percent(mix.leader_percent) => leader,
            Some(_) | None => self.dice.below(self.members.len()),
        }
    }

    fn strike(&mut self, kind: Kind, victim: usize, span: At) {
        let etcd = self.net.etcd();
        match kind {
            Kind::Postgres => self.inject(&Fault::KillPostgres(victim)),
            Kind::Stall => self.inject(&stall(victim, span)),
            Kind::Disk => self.inject(&disk(victim, span)),
            Kind::Agent => self.pass(Fault::KillAgent(victim), Fault::StartAgent(victim), span),
            Kind::Freeze => self.pass(Fault::Freeze(victim), Fault::Thaw(victim), span),
            Kind::Stumble => self.pass(Fault::Stumble(victim), Fault::Thaw(victim), span),
            Kind::Host => self.pass(Fault::KillHost(victim), Fault::Revive(victim), span),
            Kind::Pair => {
                let other = self.dice.below(self.members.len());
                self.part(victim, other, span);
            }
            Kind::FromEtcd => self.part(victim, etcd, span),
            Kind::Island => {
                for other in (0..=etcd).filter(|&other| other != victim) {
                    self.pass(Fault::Cut(victim, other), Fault::Mend(victim, other), span);
                    self.pass(Fault::Cut(other, victim), Fault::Mend(other, victim), span);
                }
            }
            Kind::Weather => {
                let weather = Weather {
                    loss: [0, 10_000, 100_000, 400_000][self.dice.below(4)],
                    copies: [0, 100_000][self.dice.below(2)],
                    late_often: [0, 50_000, 500_000][self.dice.below(3)],
                    late: self.dice.ms(5, 3_000),
                    jitter: self.dice.ms(0, 20),
                };
                self.pass(Fault::Weather(weather), Fault::Weather(Weather::default()), span);
            }
            Kind::Etcd if self.etcd_state == EtcdState::Up => {
                self.pass(Fault::StopEtcd, Fault::StartEtcd, span);
            }
            Kind::Etcd => {}
            Kind::Watch => self.inject(&Fault::MuteWatch(victim, span)),
            Kind::Conduct => {
                let odd = self.odd_conduct();
                let usual = self.conduct.healed();
                self.pass(Fault::Conduct(odd), Fault::Conduct(usual), span);
            }
            Kind::Switchover => {
                let to = self.somebody();
                self.inject(&Fault::Request(Ask::Switchover { to }));
            }
            Kind::Failover => {
                let to = self.somebody();
                self.inject(&Fault::Request(Ask::Failover { to, loss: Loss::Allowed }));
            }
            Kind::Drain => self.draw_drain(victim),
            Kind::Restart => self.draw_restart(victim),
            Kind::Reinit | Kind::Remove => self.draw_upkeep(kind, victim),
            Kind::ByHand => self.by_hand(victim),
            Kind::Blind => self.inject(&Fault::Blind(victim, span)),
            Kind::LongEtcd | Kind::Dark if self.etcd_state == EtcdState::Down => {}
            Kind::LongEtcd => {
                let span = self.dice.span(At::secs(8), At::secs(60));
                self.pass(Fault::StopEtcd, Fault::StartEtcd, span);
            }
            Kind::Dark => self.darken(),
            Kind::Early => self.inject(&Fault::RevokeEarly(victim)),
            Kind::Crash => self.crash(victim, span),
            Kind::Lists => {
                let list_lag = self.dice.ms(50, 4_000);
                let odd = Conduct { list_lag, ..self.conduct };
                let usual = self.conduct.healed();
                self.pass(Fault::Conduct(odd), Fault::Conduct(usual), span);
            }
            Kind::Settings => self.change_settings(),
            Kind::Ambush => self.lie_in_wait(),
        }
    }

    /// Not the leader, and not while nobody leads: where every member's data are promoted by hand, only an operator
    /// can say whose count. And once: two that are promoted at the same place take the same number.
    fn by_hand(&mut self, victim: usize) {
        let leader = self.etcd.view.leader.as_ref().and_then(|kept| self.index(&kept.value.member));
        let leads = |leader: usize| leader != victim && self.members[leader].postgres.open();
        let first = self.wals.all().iter().all(|made| made.term.is_some() || made.parent.is_none());
        if leader.is_some_and(leads) && first {
            self.inject(&Fault::PromoteByHand(victim));
        }
    }

    fn draw_drain(&mut self, victim: usize) {
        let member = self.members[victim].name.clone();
        let drained = self.etcd.view.drained.contains_key(&member);
        let back = drained && self.dice.percent(70);
        let ask = if back { Ask::Undrain { member } } else { Ask::Drain { member } };
        self.inject(&Fault::Request(ask));
    }

    fn draw_restart(&mut self, victim: usize) {
        let member = self.members[victim].name.clone();
        let manner = [Manner::Alone, Manner::Rolling, Manner::InPlace][self.dice.below(3)];
        self.conduct.limits_fall = u32::from(self.plan.seed % 4 == 2);
        self.inject(&Fault::Request(Ask::Restart { member, manner }));
    }

    fn draw_upkeep(&mut self, kind: Kind, victim: usize) {
        let member = self.members[victim].name.clone();
        let ask = if kind == Kind::Remove {
            Ask::Remove { member }
        } else {
            Ask::Reinit { member, data: None, from: None }
        };
        self.inject(&Fault::Request(ask));
    }

    fn change_settings(&mut self) {
        let usual = self.plan.settings.clone();
        let durability =
            [None, Some(Durability::Quorum), Some(Durability::Async), usual.durability];
        let durability = durability[self.dice.below(4)];
        let k = [None, Some(1), Some(2), Some(3)][self.dice.below(4)];
        let mut timing = usual.timing;
        let lengths = [None, Some((5, 1, 1)), Some((20, 6, 2)), Some((30, 9, 3))];
        if let Some((ttl, round, margin)) = lengths[self.dice.below(4)] {
            let span = |seconds: u64| Millis(seconds * 1_000);
            (timing.ttl, timing.round, timing.margin) = (span(ttl), span(round), span(margin));
        }
        self.inject(&Fault::Settings(Settings { durability, k, timing, ..usual }));
    }

    /// The agent dies between a decision and its deeds, and is started again.
    fn crash(&mut self, victim: usize, span: At) {
        self.inject(&Fault::Stumble(victim));
        let until = self.dice.span(At::ms(5), span);
        self.later(until, Event::Fault(Box::new(Fault::KillAgent(victim))));
        self.later(until.after(span), Event::Fault(Box::new(Fault::StartAgent(victim))));
    }

    /// Nobody reaches etcd, where every lease ends meanwhile; some reach it again a little later than others.
    fn darken(&mut self) {
        let etcd = self.net.etcd();
        let span = self.dice.span(At::secs(8), At::secs(60));
        let apart = [0, 500, 5_000, 15_000][self.dice.below(4)];
        for member in 0..self.members.len() {
            let span = span.after(self.dice.ms(0, apart));
            self.pass(Fault::Cut(member, etcd), Fault::Mend(member, etcd), span);
            self.pass(Fault::Cut(etcd, member), Fault::Mend(etcd, member), span);
        }
    }

    fn somebody(&mut self) -> Option<MemberName> {
        let member = self.dice.below(self.members.len() + 1);
        self.members.get(member).map(|member| member.name.clone())
    }

    fn part(&mut self, a: usize, b: usize, span: At) {
        let ways = self.dice.below(3);
        if ways != 0 {
            self.pass(Fault::Cut(a, b), Fault::Mend(a, b), span);
        }
        if ways != 1 {
            self.pass(Fault::Cut(b, a), Fault::Mend(b, a), span);
        }
    }

    /// A fault that ends after a while.
    fn pass(&mut self, fault: Fault, end: Fault, span: At) {
        self.inject(&fault);
        self.later(span, Event::Fault(Box::new(end)));
    }

    fn odd_conduct(&mut self) -> Conduct {
        let dice = &mut self.dice;
        let mut odds = |high: u32| if dice.percent(40) { high } else { 0 };
        let mut odd = Conduct {
            rewind_fails: odds(600_000),
            clone_fails: odds(500_000),
            start_fails: odds(400_000),
            promote_fails: odds(500_000),
            promote_hangs: odds(500_000),
            txn_untold: odds(300_000),
            txn_late: odds(300_000),
            ask_lost: odds(200_000),
            ..self.conduct
        };
        odd.slow_percent = [100, 100, 400, 1_500][self.dice.below(4)];
        odd.replay_lag = At::ms([0, 0, 300, 5_000][self.dice.below(4)]);
        odd.watch_lag = At::ms([0, 0, 200, 4_000][self.dice.below(4)]);
        // By what was drawn already.
        odd.snapshots_pend = if odd.watch_lag == At::ms(200) { 400_000 } else { 0 };
        odd
    }
}

/// By what was drawn already: what else a seed brings stays as it is.
const fn disk(victim: usize, span: At) -> Fault {
    if span.0.is_multiple_of(3) {
        Fault::FillDisk(victim, span)
    } else {
        Fault::HangDisk(victim, span)
    }
}

/// Every fourth so that only new clients notice.
const fn stall(victim: usize, span: At) -> Fault {
    if span.0.is_multiple_of(4) {
        Fault::Deafen(victim, span)
    } else {
        Fault::StallPostgres(victim, span)
    }
}
