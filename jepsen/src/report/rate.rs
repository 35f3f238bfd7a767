//! How many answers came a second. Never smooths: where none came, the line is at the ground.

use maud::html;

use super::Fault;
use super::results::Answer;
use super::scale::{Amount, LEFT, Time, at, float, short};
use super::svg::{Picture, Sample, amount_axis, bands, heading, legend, time_axis};
use crate::history::Phase;

const TOP: f64 = 30.0;
const BOTTOM: f64 = 150.0;
const SECOND: u64 = 1_000_000_000;

pub(super) fn draw(answers: &[Answer], faults: &[Fault], time: Time) -> Picture {
    // A second, or on long runs as much as makes three hundred steps.
    let width = SECOND.max(time.end / 300);
    let sorts = [
        ("unknown", "unknown", Phase::Info),
        ("fail", "failed", Phase::Fail),
        ("ok", "acknowledged", Phase::Ok),
    ];
    let rates = sorts.map(|(class, _, phase)| (class, rates(answers, phase, time.end, width)));
    let most = rates.iter().flat_map(|(_, rates)| rates).copied().fold(0.0, f64::max);
    let amount = Amount::up_to(most, TOP, BOTTOM);
    let marks: Vec<(f64, String)> = amount
        .marks()
        .into_iter()
        .map(|mark| (amount.y(mark), format!("{}/s", short(mark))))
        .collect();
    let legends: Vec<(String, String)> =
        sorts.iter().rev().map(|(class, text, _)| ((*class).into(), (*text).into())).collect();
    let body = html! {
        (heading("Answers a second"))
        (legend(Sample::Line, &legends))
        (bands(faults, time, TOP, BOTTOM))
        (time_axis(time, TOP, BOTTOM))
        (amount_axis(&marks))
        @for (class, rates) in &rates {
            path class={ "line " (class) } d=(steps(rates, width, time, amount)) {}
        }
    };
    let title = "How many answers came a second, by how they ended, with faults shaded".into();
    Picture { title, height: BOTTOM + 24.0, body }
}

fn rates(answers: &[Answer], phase: Phase, end: u64, width: u64) -> Vec<f64> {
    let steps = usize::try_from(end.div_ceil(width)).unwrap_or(1).max(1);
    let mut counts = vec![0_u64; steps];
    for answer in answers.iter().filter(|answer| answer.phase == phase) {
        let step = usize::try_from(answer.answered / width).unwrap_or(0);
        counts[step.min(steps - 1)] += 1;
    }
    counts.into_iter().map(|count| float(count) * float(SECOND) / float(width)).collect()
}

fn steps(rates: &[f64], width: u64, time: Time, amount: Amount) -> String {
    let mut path = String::new();
    for (step, rate) in (0_u64..).zip(rates) {
        let y = at(amount.y(*rate));
        let start = if step == 0 { format!("M{} {y}", at(LEFT)) } else { format!("V{y}") };
        path.push_str(&start);
        path.push_str(&format!("H{}", at(time.x((step + 1) * width))));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_counts_in_its_second() {
        let answer = |answered| Answer { asked: 0, answered, phase: Phase::Ok, writes: true };
        let answers = [answer(1), answer(2), answer(2 * SECOND), answer(3 * SECOND)];
        assert_eq!(rates(&answers, Phase::Ok, 3 * SECOND, SECOND), [2.0, 0.0, 2.0]);
        assert_eq!(rates(&answers, Phase::Fail, 3 * SECOND, SECOND), [0.0, 0.0, 0.0]);
    }
}
