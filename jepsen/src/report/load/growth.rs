//! The curves of what grows with the number of clusters: both axes by powers of ten, so that what grows in proportion
//! is a straight line. Measures nothing.

use maud::{Markup, html};

use super::super::scale::{LEFT, Powers, RIGHT, at, float, short, text_width};
use super::super::svg::Picture;
use super::Size;

const TOP: f64 = 34.0;
const BOTTOM: f64 = 330.0;

/// A curve: its name and what it shows of a size.
type Curve = (&'static str, fn(&Size) -> f64);

const CURVES: [Curve; 4] = [
    ("requests to etcd a second", |size| size.etcd.all()),
    ("etcd, % of a core", |size| size.etcd.cpu_percent),
    ("all agents, % of a core", |size| size.agents_cpu_percent),
    ("etcd, MB", |size| float(size.etcd.rss_kb) / 1000.0),
];

pub(super) fn draw(sizes: &[Size]) -> Picture {
    let clusters = |size: &Size| float(size.clusters as u64);
    let x = Powers::around(sizes.iter().map(clusters), LEFT, RIGHT - 60.0);
    let amounts = sizes.iter().flat_map(|size| CURVES.iter().map(move |(_, of)| of(size)));
    let y = Powers::around(amounts, BOTTOM, TOP);
    let place = |size: &Size, of: fn(&Size) -> f64| (x.place(clusters(size)), y.place(of(size)));
    let body = html! {
        (legend())
        @for mark in y.marks() {
            path class="grid" d=(format!("M{} {}H{}", at(LEFT), at(y.place(mark)), at(RIGHT))) {}
            text class="soft" x=(at(LEFT - 8.0)) y=(at(y.place(mark) + 4.0)) text-anchor="end" {
                (short(mark))
            }
        }
        @for mark in x.marks() {
            path class="grid" d=(format!("M{} {}V{}", at(x.place(mark)), at(TOP), at(BOTTOM))) {}
            text class="soft" x=(at(x.place(mark))) y=(at(BOTTOM + 14.0)) text-anchor="middle" {
                (short(mark))
            }
        }
        text class="soft" x=(at(RIGHT)) y=(at(BOTTOM + 30.0)) text-anchor="end" {
            "clusters of three members"
        }
        @for (number, (_, of)) in CURVES.iter().enumerate() {
            (curve(number, &sizes.iter().map(|size| place(size, *of)).collect::<Vec<_>>()))
        }
    };
    let title = "Load of etcd and of all agents by the number of clusters".to_owned();
    Picture { title, height: BOTTOM + 40.0, body }
}

fn curve(number: usize, points: &[(f64, f64)]) -> Markup {
    let line: Vec<String> = points.iter().map(|(x, y)| format!("{} {}", at(*x), at(*y))).collect();
    let dots: String = points.iter().map(|(x, y)| format!("M{} {}h0", at(*x), at(*y))).collect();
    html! {
        path class={ "line s" (number) } d=(format!("M{}", line.join("L"))) {}
        path class={ "dot run s" (number) } d=(dots) {}
    }
}

fn legend() -> Markup {
    let mut x = LEFT;
    let mut places = Vec::new();
    for (number, (name, _)) in CURVES.iter().enumerate() {
        places.push((x, number, name));
        x += text_width(name) + 40.0;
    }
    html! {
        @for (x, number, name) in places {
            path class={ "line s" (number) } d=(format!("M{} 12h20", at(x))) {}
            text x=(at(x + 25.0)) y="16" { (name) }
        }
    }
}
