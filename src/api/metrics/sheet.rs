//! What is written at one scrape: names, helps, values. Never a family without a series.

use std::fmt::Debug;
use std::sync::atomic::AtomicU64;

use haa_core::units::Millis;
use prometheus_client::encoding::EncodeGaugeValue;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{Atomic, Gauge};
use prometheus_client::registry::Registry;

/// What tells the series of a family apart.
pub(super) type Labels = Vec<(&'static str, String)>;

/// One label.
pub(super) fn by(key: &'static str, value: impl ToString) -> Labels {
    vec![(key, value.to_string())]
}

/// What one scrape shows of what is known at this moment.
pub(super) struct Sheet(Registry);

impl Sheet {
    pub(super) fn new(whose: &super::Whose) -> Self {
        Self(super::registry(whose))
    }

    pub(super) fn registry(self) -> Registry {
        self.0
    }

    /// A whole number.
    pub(super) fn number(&mut self, name: &'static str, help: &'static str, value: u64) {
        let gauge = Gauge::<u64, AtomicU64>::default();
        gauge.set(value);
        self.0.register(name, help, gauge);
    }

    /// 1 where it is so, else 0.
    pub(super) fn truth<E>(
        &mut self,
        name: &'static str,
        help: &'static str,
        answer: Result<(), E>,
    ) {
        self.number(name, help, u64::from(answer.is_ok()));
    }

    /// A number for each of some: a whole one, or seconds.
    pub(super) fn each<N>(
        &mut self,
        name: &'static str,
        help: &'static str,
        values: impl IntoIterator<Item = (Labels, N)>,
    ) where
        N: EncodeGaugeValue + Debug + Send + Sync + 'static,
        AtomicU64: Atomic<N>,
    {
        let family = Family::<Labels, Gauge<N, AtomicU64>>::default();
        let mut values = values.into_iter().peekable();
        if values.peek().is_some() {
            self.0.register(name, help, family.clone());
        }
        for (labels, value) in values {
            family.get_or_create(&labels).set(value);
        }
    }

    /// The present word, of a finite set.
    pub(super) fn word(
        &mut self,
        name: &'static str,
        help: &'static str,
        (key, word): (&'static str, impl ToString),
    ) {
        self.each(name, help, [(by(key, word), 1_u64)]);
    }

    /// A span, in seconds.
    pub(super) fn age(&mut self, name: &'static str, help: &'static str, span: Millis) {
        self.seconds(name, help, seconds(span.0));
    }

    /// Seconds.
    pub(super) fn seconds(&mut self, name: &'static str, help: &'static str, value: f64) {
        let gauge = Gauge::<f64, AtomicU64>::default();
        gauge.set(value);
        self.0.register(name, help, gauge);
    }

    /// What only grows, for each of some; `name` without `_total`.
    pub(super) fn counted(
        &mut self,
        name: &'static str,
        help: &'static str,
        values: impl IntoIterator<Item = (Labels, u64)>,
    ) {
        let family = Family::<Labels, Counter>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).inc_by(value);
        }
        self.0.register(name, help, family);
    }
}

/// Of milliseconds.
pub(super) fn seconds(ms: u64) -> f64 {
    std::time::Duration::from_millis(ms).as_secs_f64()
}
