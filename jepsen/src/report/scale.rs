//! From times and amounts to places in a picture, and the marks at the axes. Draws nothing.

/// The width of every picture; all of one page share one axis of time.
pub(super) const WIDTH: f64 = 960.0;
/// Where the plot begins and ends: the names stand left of it.
pub(super) const LEFT: f64 = 92.0;
pub(super) const RIGHT: f64 = WIDTH - 20.0;

/// A tenth of a pixel is fine enough, and short.
pub(super) fn at(place: f64) -> String {
    let rounded = (place * 10.0).round() / 10.0;
    format!("{rounded}")
}

#[expect(clippy::cast_precision_loss, reason = "pictures need no more than 53 bits")]
pub(super) fn float(amount: u64) -> f64 {
    amount as f64
}

/// How wide a text of 11 pixels is, a little too wide rather than too narrow.
pub(super) fn text_width(text: &str) -> f64 {
    float(text.chars().count() as u64) * 6.4 + 4.0
}

/// The axis of time, from the beginning of the run to its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time {
    pub(super) end: u64,
}

impl Time {
    pub(super) fn x(self, time: u64) -> f64 {
        LEFT + (RIGHT - LEFT) * float(time.min(self.end)) / float(self.end)
    }

    /// Where to write which time, at most ten times.
    pub(super) fn marks(self) -> Vec<(f64, String)> {
        const STEPS: [u64; 13] = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600];
        let seconds = self.end / 1_000_000_000;
        let step = STEPS.into_iter().find(|step| seconds / step <= 10).unwrap_or(7200);
        let mark = |second: u64| (self.x(second * 1_000_000_000), duration(second));
        (0..=seconds).step_by(usize::try_from(step).unwrap_or(1)).map(mark).collect()
    }
}

fn duration(seconds: u64) -> String {
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes}:{seconds:02}"),
    }
}

/// An axis of amounts, from the bottom of a plot to its top.
#[derive(Clone, Copy, Debug)]
pub(super) struct Amount {
    pub(super) top: f64,
    pub(super) bottom: f64,
    pub(super) most: f64,
}

impl Amount {
    /// Whose top mark is a round number no less than `most`.
    pub(super) fn up_to(most: f64, top: f64, bottom: f64) -> Self {
        let step = step(most.max(1.0), 4.0);
        Self { top, bottom, most: (most.max(1.0) / step).ceil() * step }
    }

    pub(super) fn y(self, amount: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * (amount / self.most).min(1.0)
    }

    pub(super) fn marks(self) -> Vec<f64> {
        let step = step(self.most, 4.0);
        let count = (self.most / step).round().min(10.0);
        let mut marks = vec![0.0];
        while marks.len() <= 10 && float(marks.len() as u64) <= count {
            marks.push(float(marks.len() as u64) * step);
        }
        marks
    }
}

/// A round step that goes into `most` about `parts` times.
pub(super) fn step(most: f64, parts: f64) -> f64 {
    let rough = most / parts;
    let power = 10_f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    steps.into_iter().map(|step| step * power).find(|step| *step >= rough * 0.999).unwrap_or(rough)
}

/// An axis of powers of ten.
#[derive(Clone, Copy, Debug)]
pub(super) struct Powers {
    pub(super) from: f64,
    pub(super) to: f64,
    /// The powers at both ends.
    pub(super) least: i32,
    pub(super) most: i32,
}

impl Powers {
    /// The share of the way from one end to the other.
    pub(super) fn place(self, amount: f64) -> f64 {
        let all = f64::from(self.most - self.least);
        let share = (amount.max(1e-12).log10() - f64::from(self.least)) / all;
        self.from + (self.to - self.from) * share.clamp(0.0, 1.0)
    }

    /// The powers of ten that hold all of these amounts, one decade at least.
    pub(super) fn around(amounts: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        for amount in amounts.filter(|amount| *amount > 0.0) {
            (least, most) = (least.min(amount), most.max(amount));
        }
        if least > most {
            (least, most) = (1.0, 10.0);
        }
        let least = power(least.log10().floor());
        let most = power(most.log10().ceil()).max(least + 1);
        Self { from, to, least, most }
    }

    pub(super) fn marks(self) -> Vec<f64> {
        (self.least..=self.most).map(|power| 10_f64.powi(power)).collect()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "it is clamped")]
fn power(exponent: f64) -> i32 {
    exponent.clamp(-9.0, 12.0) as i32
}

/// Milliseconds as one reads them: "250 ms", "1.5 s", "2 min".
pub(super) fn millis(millis: f64) -> String {
    if millis >= 120_000.0 {
        format!("{} min", short(millis / 60_000.0))
    } else if millis >= 1000.0 {
        format!("{} s", short(millis / 1000.0))
    } else {
        format!("{} ms", short(millis))
    }
}

/// Bytes as one reads them.
pub(super) fn bytes(bytes: f64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut amount = bytes;
    let mut unit = 0;
    while amount >= 1000.0 && unit + 1 < UNITS.len() {
        (amount, unit) = (amount / 1000.0, unit + 1);
    }
    format!("{} {}", short(amount), UNITS[unit])
}

/// Three figures, no trailing noughts.
pub(super) fn short(amount: f64) -> String {
    let text = match amount.abs() {
        size if size >= 100.0 || size == 0.0 => format!("{amount:.0}"),
        size if size >= 10.0 => format!("{amount:.1}"),
        size if size >= 0.01 => format!("{amount:.2}"),
        _ => format!("{amount:.4}"),
    };
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_short() {
        assert_eq!([millis(0.25), millis(250.0)], ["0.25 ms", "250 ms"]);
        assert_eq!([millis(1500.0), millis(120_000.0)], ["1.5 s", "2 min"]);
        assert_eq!([bytes(0.0), bytes(16_777_216.0)], ["0 B", "16.8 MB"]);
        assert_eq!([short(100.0), short(10.0), short(0.001)], ["100", "10", "0.001"]);
    }

    #[test]
    fn marks_are_round_and_few() {
        let marks = |most| Amount::up_to(most, 0.0, 100.0).marks();
        assert_eq!(marks(183.0), [0.0, 50.0, 100.0, 150.0, 200.0]);
        assert_eq!(marks(0.0), [0.0, 0.5, 1.0]);
        let time = Time { end: 125_000_000_000 };
        let told: Vec<String> = time.marks().into_iter().map(|(_, text)| text).collect();
        assert_eq!(told, ["0 s", "20 s", "40 s", "1 min", "1:20", "1:40", "2 min"]);
    }

    #[test]
    fn powers_hold_what_they_are_given() {
        let powers = Powers::around([0.7, 12_000.0].into_iter(), 100.0, 0.0);
        assert_eq!((powers.least, powers.most), (-1, 5));
        assert!(powers.place(0.1) > 99.9 && powers.place(100_000.0) < 0.1);
        let one = Powers::around([10.0].into_iter(), 0.0, 1.0);
        assert_eq!((one.least, one.most), (1, 2));
        let none = Powers::around(std::iter::empty(), 0.0, 1.0);
        assert_eq!((none.least, none.most), (0, 1));
    }
}
