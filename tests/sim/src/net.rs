//! The network between members, and from members to etcd: cuts, loss, delay, copies. Never what is carried.

use crate::dice::Dice;
use crate::time::At;

/// One end: a member's number, or [`Net::etcd`].
pub type End = usize;

/// How bad the weather is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// Lost, of a million.
    pub loss: u32,
    /// Delivered twice, of a million.
    pub copies: u32,
    /// Late by up to `late`, of a million.
    pub late_often: u32,
    /// How late.
    pub late: At,
    /// Every packet takes up to this much longer than usual.
    pub jitter: At,
}

/// The network.
#[derive(Clone, Debug)]
pub struct Net {
    ends: usize,
    cuts: Vec<u16>,
    /// What it is like at the moment.
    pub weather: Weather,
}

/// What becomes of one message: up to two arrivals, after these spans.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrivals(pub Option<At>, pub Option<At>);

const USUAL: At = At(300);

impl Net {
    /// A whole network of this many members.
    #[must_use]
    pub fn new(members: usize) -> Self {
        let ends = members + 1;
        Self { ends, cuts: vec![0; ends * ends], weather: Weather::default() }
    }

    /// The end that is etcd.
    #[must_use]
    pub const fn etcd(&self) -> End {
        self.ends - 1
    }

    /// Nothing passes in this direction until as many `mend`s.
    pub fn cut(&mut self, from: End, to: End) {
        self.cuts[from * self.ends + to] += 1;
    }

    /// Takes back one `cut`.
    pub fn mend(&mut self, from: End, to: End) {
        let cuts = &mut self.cuts[from * self.ends + to];
        *cuts = cuts.saturating_sub(1);
    }

    /// Everything passes again.
    pub fn heal(&mut self) {
        self.cuts.fill(0);
        self.weather = Weather::default();
    }

    /// Whether anything passes in this direction.
    #[must_use]
    pub fn open(&self, from: End, to: End) -> bool {
        self.cuts[from * self.ends + to] == 0
    }

    /// Whether a connection can live: both directions.
    #[must_use]
    pub fn joined(&self, a: End, b: End) -> bool {
        self.open(a, b) && self.open(b, a)
    }

    /// How long a message of a stream takes: what is lost is sent again.
    pub fn delay(&self, dice: &mut Dice) -> At {
        let weather = &self.weather;
        let mut delay = USUAL;
        if weather.jitter.0 > 0 {
            delay = delay.after(dice.span(At(0), weather.jitter));
        }
        if dice.ppm(weather.loss) {
            delay = delay.after(At::ms(200));
        }
        if dice.ppm(weather.late_often) {
            delay = delay.after(dice.span(At(0), weather.late));
        }
        delay
    }

    /// What becomes of one message.
    pub fn send(&self, dice: &mut Dice, from: End, to: End) -> Arrivals {
        if !self.open(from, to) || dice.ppm(self.weather.loss) {
            return Arrivals::default();
        }
        let first = self.delay(dice);
        let copy = dice.ppm(self.weather.copies).then(|| self.delay(dice).after(At::ms(1)));
        Arrivals(Some(first), copy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_has_a_direction_and_is_counted() {
        let mut net = Net::new(2);
        let mut dice = Dice::new(1);
        net.cut(0, 1);
        net.cut(0, 1);
        net.mend(0, 1);
        assert!(net.send(&mut dice, 0, 1).0.is_none());
        assert!(net.send(&mut dice, 1, 0).0.is_some());
        assert!(!net.joined(0, 1));
        net.mend(0, 1);
        assert!(net.joined(0, 1));
    }
}
