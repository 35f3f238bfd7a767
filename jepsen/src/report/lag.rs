//! How far replicas were behind. Never draws a line where nobody looked: a gap of five seconds breaks it.

use maud::html;

use super::scale::{Amount, Time, at, bytes, float};
use super::svg::{Picture, Sample, amount_axis, bands, heading, legend, time_axis};
use super::{Fault, Lag};

const TOP: f64 = 30.0;
const BOTTOM: f64 = 150.0;
const GAP: u64 = 5_000_000_000;

pub(super) fn draw(lags: &[Lag], faults: &[Fault], time: Time) -> Picture {
    let most = lags.iter().flat_map(|lag| &lag.points).map(|(_, behind)| *behind).max();
    let amount = Amount::up_to(float(most.unwrap_or(0)), TOP, BOTTOM);
    let marks: Vec<(f64, String)> =
        amount.marks().into_iter().map(|mark| (amount.y(mark), bytes(mark))).collect();
    let legends: Vec<(String, String)> =
        lags.iter().enumerate().map(|(at, lag)| (class(at), lag.member.clone())).collect();
    let body = html! {
        (heading("WAL not replayed yet"))
        (legend(Sample::Line, &legends))
        (bands(faults, time, TOP, BOTTOM))
        (time_axis(time, TOP, BOTTOM))
        (amount_axis(&marks))
        @for (number, lag) in lags.iter().enumerate() {
            path class={ "line " (class(number)) } d=(line(lag, time, amount)) {}
        }
    };
    let title = "How many bytes of WAL each replica had not replayed, with faults shaded".into();
    Picture { title, height: BOTTOM + 24.0, body }
}

fn class(number: usize) -> String {
    format!("s{}", number % 4)
}

fn line(lag: &Lag, time: Time, amount: Amount) -> String {
    let mut path = String::new();
    let mut last: Option<u64> = None;
    for (when, behind) in &lag.points {
        let near = last.is_some_and(|last| when.saturating_sub(last) <= GAP);
        let (x, y) = (at(time.x(*when)), at(amount.y(float(*behind))));
        path.push_str(&format!("{}{x} {y}", if near { 'L' } else { 'M' }));
        last = Some(*when);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nobody_looked_there_is_no_line() {
        let second = 1_000_000_000;
        let points = vec![(0, 0), (second, 10), (9 * second, 10)];
        let lag = Lag { member: "n2".into(), points };
        let path = line(&lag, Time { end: 10 * second }, Amount::up_to(10.0, 0.0, 100.0));
        assert_eq!((path.matches('M').count(), path.matches('L').count()), (2, 1));
    }
}
