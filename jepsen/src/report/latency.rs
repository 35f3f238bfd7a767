//! How long answers took, each a dot. Never leaves out an answer that was not good.

use std::collections::BTreeSet;

use maud::html;

use super::scale::{Powers, Time, float, millis};
use super::svg::{Picture, Sample, amount_axis, bands, dot, heading, legend, time_axis};
use super::{Fault, results::Answer};
use crate::history::Phase;

const TOP: f64 = 30.0;
const BOTTOM: f64 = 230.0;

pub(super) fn draw(answers: &[Answer], faults: &[Fault], time: Time) -> Picture {
    let took = answers.iter().map(|answer| float(answer.took()) / 1e6);
    let powers = Powers::around(took, BOTTOM, TOP);
    let marks: Vec<(f64, String)> =
        powers.marks().into_iter().map(|mark| (powers.place(mark), millis(mark))).collect();
    let sorts = [
        ("ok", "acknowledged", Phase::Ok),
        ("fail", "failed", Phase::Fail),
        ("unknown", "unknown", Phase::Info),
    ];
    let legends: Vec<(String, String)> =
        sorts.iter().map(|(class, text, _)| ((*class).into(), (*text).into())).collect();
    let body = html! {
        (heading("Time to answer"))
        (legend(Sample::Dot, &legends))
        (bands(faults, time, TOP, BOTTOM))
        (time_axis(time, TOP, BOTTOM))
        (amount_axis(&marks))
        @for (class, _, phase) in &sorts {
            path class={ "dot " (class) } d=(dots(class, *phase, answers, (time, powers))) {}
        }
    };
    let title = "How long each answer took, by the time of the question, with faults shaded".into();
    Picture { title, height: BOTTOM + 24.0, body }
}

/// Dots that fall on one another are one: fifty thousand are still a small page.
fn dots(class: &str, phase: Phase, answers: &[Answer], axes: (Time, Powers)) -> String {
    let (time, powers) = axes;
    let place = |answer: &Answer| {
        let y = powers.place(float(answer.took()) / 1e6);
        (half(time.x(answer.asked)), half(y))
    };
    let places: BTreeSet<(i64, i64)> =
        answers.iter().filter(|answer| answer.phase == phase).map(place).collect();
    let mut path = String::with_capacity(places.len() * 12);
    for (x, y) in places {
        path.push_str(&dot(class, pixels(x), pixels(y)));
    }
    path
}

/// Two pixels are one place.
#[expect(clippy::cast_possible_truncation, reason = "a picture is small")]
fn half(pixels: f64) -> i64 {
    (pixels / 2.0).round() as i64
}

fn pixels(half: i64) -> f64 {
    float(half.unsigned_abs()) * 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_on_one_another_are_one() {
        let answer = Answer { asked: 5, answered: 1_000_005, phase: Phase::Ok, writes: true };
        let answers = vec![answer; 1000];
        let picture = draw(&answers, &[], Time { end: 1_000_000_000 });
        let text = picture.inline().into_string();
        assert_eq!(text.matches("h0").count(), 2, "one dot and its legend");
        assert!((pixels(half(101.3)) - 102.0).abs() < 0.1);
    }
}
