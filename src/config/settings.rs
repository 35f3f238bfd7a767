//! `[settings]`: what a new cluster begins with. Spans and sizes are read here and checked together.

use haa_core::settings::{Durability, Settings, Timing};
use haa_core::units::Millis;

use super::check::Checker;
use super::error::At;
use super::file::{SettingsFile, Text, TimingFile};
use super::size;

/// The key, what was said for it, and where it goes.
type Span<'f, 't> = (&'static str, Option<&'f Text>, &'t mut Millis);

impl Checker<'_> {
    /// `[settings]`
    pub(super) fn settings(&mut self, file: &SettingsFile) -> Option<Settings> {
        let mut settings = Settings::default();
        let before = self.problems.len();
        match file.durability.as_ref().map(|said| (said, said.value().as_str())) {
            None => {}
            Some((_, "async")) => settings.durability = Some(Durability::Async),
            Some((_, "quorum")) => settings.durability = Some(Durability::Quorum),
            Some((said, other)) => {
                let says = format!(
                    "settings.durability: '{other}' is none: write quorum or async, or leave it out for quorum from \
                     three members on"
                );
                self.refuse_said::<(), _>(said, says);
            }
        }
        if let Some(said) = &file.k {
            match *said.value() {
                0 => {
                    let says =
                        "settings.k: 0 copies are none: write 1 or more, or durability = \"async\"";
                    self.refuse_said::<(), _>(said, says.to_owned());
                }
                k => settings.k = Some(k),
            }
        }
        settings.strict = file.strict.as_ref().is_some_and(|said| *said.value());
        settings.failsafe = file.failsafe.as_ref().is_none_or(|said| *said.value());
        if let Some(said) = &file.maximum_lag_on_failover {
            match size::bytes(&said.value().text()) {
                Some(bytes) => settings.maximum_lag_on_failover = bytes,
                None => {
                    let says = format!(
                        "settings.maximum_lag_on_failover: '{}' is no size: write it as 1MB, \
                             16kB, or in bytes",
                        said.value().text()
                    );
                    self.refuse_said::<(), _>(said, says);
                }
            }
        }
        self.profile(file, &mut settings.timing);
        self.timing(&file.timing, &mut settings.timing);
        (self.problems.len() == before).then_some(settings)
    }

    /// A profile is a set of timings; what it is for is not said twice, and it is for `quorum`.
    fn profile(&mut self, file: &SettingsFile, timing: &mut Timing) {
        let Some(said) = &file.profile else { return };
        if said.value() != "fast" {
            let says = format!(
                "settings.profile: '{}' is none: write fast, or leave it out",
                said.value()
            );
            self.refuse_said::<(), _>(said, says);
            return;
        }
        *timing = Timing::fast();
        if file.durability.as_ref().is_some_and(|said| said.value() == "async") {
            let says = "settings.profile: fast is for takeovers, and async has none: it waits for the lease to end; \
                        take out profile, or durability = \"async\"";
            self.refuse_said::<(), _>(said, says.to_owned());
        }
        let spans = [
            ("suspect_after", &file.timing.suspect_after, timing.suspect_after),
            ("heartbeat", &file.timing.heartbeat, timing.heartbeat),
        ];
        for (key, other, span) in spans {
            let Some(other) = other else { continue };
            let says = format!(
                "settings.timing.{key}: profile = \"fast\" says {span} already: take out one of the two"
            );
            self.refuse_said::<(), _>(other, says);
        }
    }

    fn timing(&mut self, file: &TimingFile, timing: &mut Timing) {
        let before = self.problems.len();
        for (key, said, span) in spans(file, timing) {
            let Some(said) = said else { continue };
            let key = format!("settings.timing.{key}");
            let Some(time) = self.span(&key, said) else { continue };
            if time.as_millis() > 0 && time.subsec_nanos() % 1_000_000 == 0 {
                *span = Millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
                continue;
            }
            let says = format!(
                "{key}: '{}' is not a whole number of milliseconds above zero",
                said.value()
            );
            self.refuse_said::<(), _>(said, says);
        }
        if self.problems.len() > before {
            return;
        }
        if let Err(says) = timing.check() {
            let mut copy = *timing;
            let named = spans(file, &mut copy)
                .into_iter()
                .filter(|(key, _, _)| {
                    says.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == *key)
                })
                .find_map(|(_, said, _)| said);
            let at = named.map_or(At::File, |said| self.source.of(said));
            self.refuse::<()>(at, format!("settings.timing: {says}"));
        }
    }
}

fn spans<'f, 't>(file: &'f TimingFile, timing: &'t mut Timing) -> [Span<'f, 't>; 19] {
    [
        ("ttl", file.ttl.as_ref(), &mut timing.ttl),
        ("round", file.round.as_ref(), &mut timing.round),
        ("margin", file.margin.as_ref(), &mut timing.margin),
        ("heartbeat", file.heartbeat.as_ref(), &mut timing.heartbeat),
        ("suspect_after", file.suspect_after.as_ref(), &mut timing.suspect_after),
        ("stagger", file.stagger.as_ref(), &mut timing.stagger),
        ("report_timeout", file.report_timeout.as_ref(), &mut timing.report_timeout),
        ("attempt_timeout", file.attempt_timeout.as_ref(), &mut timing.attempt_timeout),
        ("promote_timeout", file.promote_timeout.as_ref(), &mut timing.promote_timeout),
        ("stall_timeout", file.stall_timeout.as_ref(), &mut timing.stall_timeout),
        ("stop_timeout", file.stop_timeout.as_ref(), &mut timing.stop_timeout),
        ("forget_after", file.forget_after.as_ref(), &mut timing.forget_after),
        ("gather_timeout", file.gather_timeout.as_ref(), &mut timing.gather_timeout),
        ("successor_timeout", file.successor_timeout.as_ref(), &mut timing.successor_timeout),
        ("settle", file.settle.as_ref(), &mut timing.settle),
        ("agent_silent_after", file.agent_silent_after.as_ref(), &mut timing.agent_silent_after),
        ("voter_timeout", file.voter_timeout.as_ref(), &mut timing.voter_timeout),
        ("voter_return", file.voter_return.as_ref(), &mut timing.voter_return),
        ("alone_after", file.alone_after.as_ref(), &mut timing.alone_after),
    ]
}
