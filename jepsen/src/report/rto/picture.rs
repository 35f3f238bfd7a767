//! The distributions of outages: a box from the first quarter to the third, the middle in it, each run a dot.
//! One row a series, grouped by fault. Never cuts off the longest.

use maud::{Markup, html};

use super::super::results::percentile;
use super::super::scale::{LEFT, Powers, RIGHT, at, float, millis, step, text_width};
use super::super::svg::Picture;
use super::Timing;

const TOP: f64 = 30.0;
const ROW: f64 = 30.0;
const HEAD: f64 = 24.0;
/// Names stand left of the plot, figures right of it.
const FROM: f64 = LEFT + 48.0;
const TO: f64 = RIGHT - 190.0;

/// Outages of one order are shown as they are, of several by powers of ten.
enum Axis {
    Plain { most: f64 },
    Powers(Powers),
}

impl Axis {
    fn of(timings: &[Timing]) -> Self {
        let outages = || {
            timings.iter().flat_map(|timing| &timing.series.runs).map(|run| float(run.outage_ms))
        };
        let (least, most) = outages()
            .fold((f64::INFINITY, 1.0_f64), |(least, most), one| (least.min(one), most.max(one)));
        if least * 20.0 < most && least > 0.0 {
            Self::Powers(Powers::around(outages(), FROM, TO))
        } else {
            let step = step(most, 6.0);
            Self::Plain { most: (most / step).ceil() * step }
        }
    }

    fn x(&self, outage: f64) -> f64 {
        match self {
            Self::Plain { most } => FROM + (TO - FROM) * outage / most,
            Self::Powers(powers) => powers.place(outage),
        }
    }

    fn marks(&self) -> Vec<f64> {
        match self {
            // Between two powers there is room for twice and five times the lower one.
            Self::Powers(powers) if powers.most - powers.least <= 4 => {
                let between = |mark: f64| [mark, mark * 2.0, mark * 5.0];
                let most = 10_f64.powi(powers.most) * 1.001;
                powers.marks().into_iter().flat_map(between).filter(|mark| *mark < most).collect()
            }
            Self::Powers(powers) => powers.marks(),
            Self::Plain { most } => {
                let step = step(*most, 6.0);
                let mut marks = vec![0.0];
                while marks.last().is_some_and(|last| last + step <= most * 1.001) {
                    marks.push(float(marks.len() as u64) * step);
                }
                marks
            }
        }
    }
}

pub(super) fn draw(timings: &[Timing]) -> Picture {
    let axis = Axis::of(timings);
    let faults = in_order(timings.iter().map(|timing| timing.series.fault.as_str()));
    let systems: Vec<String> = timings.iter().map(Timing::name).collect();
    let systems = in_order(systems.iter().map(String::as_str));
    let rows = float(timings.len() as u64) * ROW + float(faults.len() as u64) * HEAD;
    let bottom = TOP + rows + 6.0;
    let mut top = TOP;
    let body = html! {
        text class="head" x="8" y="16" { "Time without an acknowledged write" }
        text class="soft" x=(at(RIGHT)) y="16" text-anchor="end" { "p50 / p90 / max" }
        (marks(&axis, bottom))
        @for fault in &faults {
            text class="head" x="8" y=(at(top + 17.0)) { (fault) }
            ({ top += HEAD; html! {} })
            @for timing in timings.iter().filter(|timing| timing.series.fault == *fault) {
                @let number = systems.iter().position(|name| *name == timing.name()).unwrap_or(0);
                (row(timing, number, &axis, top))
                ({ top += ROW; html! {} })
            }
        }
    };
    let title = "How long no write was acknowledged, by fault and system; each dot is a run".into();
    Picture { title, height: bottom + 24.0, body }
}

fn in_order<'n>(names: impl Iterator<Item = &'n str>) -> Vec<&'n str> {
    let mut all = Vec::new();
    for name in names {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    all
}

fn marks(axis: &Axis, bottom: f64) -> Markup {
    html! {
        @for mark in axis.marks() {
            @let x = at(axis.x(mark));
            path class="grid" d=(format!("M{x} {}V{}", at(TOP), at(bottom))) {}
            text class="soft" x=(x) y=(at(bottom + 14.0)) text-anchor="middle" { (millis(mark)) }
        }
        path class="axis" d=(format!("M{} {}H{}", at(FROM), at(bottom), at(TO))) {}
    }
}

fn row(timing: &Timing, number: usize, axis: &Axis, top: f64) -> Markup {
    let mut outages: Vec<u64> = timing.series.runs.iter().map(|run| run.outage_ms).collect();
    outages.sort_unstable();
    let x = |percent| percentile(&outages, percent).map_or(FROM, |outage| axis.x(float(outage)));
    let (stroke, fill) = (format!("s{}", number % 4), format!("f{}", number % 4));
    let middle = top + ROW / 2.0;
    let told = [timing.p50_ms, timing.p90_ms, timing.max_ms].map(|outage| millis(float(outage)));
    let (left, width) = (x(25), (x(75) - x(25)).max(1.0));
    html! {
        text x=(at(FROM - 10.0)) y=(at(middle + 4.0)) text-anchor="end" { (shortened(&timing.name())) }
        @if outages.is_empty() {
            text class="soft" x=(at(FROM + 6.0)) y=(at(middle + 4.0)) { "no run" }
        } @else {
            rect class={ "box " (stroke) " " (fill) } x=(at(left)) y=(at(middle - 8.0))
                width=(at(width)) height="16" {}
            path class={ "line mid " (stroke) } d=(format!("M{} {}v16", at(x(50)), at(middle - 8.0))) {}
            path class={ "dot run " (stroke) } d=(dots(&outages, axis, middle)) {}
            text x=(at(RIGHT)) y=(at(middle + 4.0)) text-anchor="end" {
                (told.join(" / ")) (lost(timing))
            }
        }
    }
}

/// Rows that were lost are told in the picture too: a quick failover that loses some is no good one.
fn lost(timing: &Timing) -> String {
    match timing.lost_total {
        0 => String::new(),
        lost => format!(", {lost} lost"),
    }
}

/// As much of a name as there is room for.
fn shortened(name: &str) -> String {
    let mut name = name.to_owned();
    while text_width(&name) > FROM - 14.0 {
        name.pop();
    }
    name
}

/// Runs that took as long as one another stand above and below the middle.
fn dots(outages: &[u64], axis: &Axis, middle: f64) -> String {
    const OFFSETS: [f64; 5] = [0.0, -4.0, 4.0, -7.0, 7.0];
    let mut path = String::new();
    let mut stack = 0;
    let mut last = f64::NEG_INFINITY;
    for outage in outages {
        let x = axis.x(float(*outage));
        stack = if x - last < 3.0 { (stack + 1) % OFFSETS.len() } else { 0 };
        last = x;
        path.push_str(&format!("M{} {}h0", at(x), at(middle + OFFSETS[stack])));
    }
    path
}
