//! What all pictures have in common: their frame, their marks, their colours in light and dark. Never knows what
//! is drawn.

use maud::{Markup, PreEscaped, html};

use super::Fault;
use super::scale::{LEFT, RIGHT, Time, WIDTH, at, text_width};

/// Colours by meaning. Nothing is told by colour alone: lines differ in dashes, dots in shape, spans in words.
pub(super) const STYLE: &str = "
.pic{background:#fff;font:11px 'DejaVu Sans',Verdana,sans-serif}
.pic text{fill:#24292f}.pic .soft{fill:#5b6570}.pic .head{font-weight:bold;font-size:12px}
.pic .grid{stroke:#dfe3e8;stroke-width:1;fill:none}.pic .axis{stroke:#8b949e;stroke-width:1;fill:none}
.pic .band{fill:#f0a92e;fill-opacity:.2}.pic .fault{fill:#e39a1c}
.pic .idle{fill:none;stroke:#b91c1c;stroke-dasharray:3 2}
.pic .dot,.pic .line{fill:none;stroke-linecap:round;stroke-linejoin:round}
.pic .dot{stroke-width:2.4}.pic .line{stroke-width:1.6}
.pic .ok{stroke:#1a7f5a}.pic .fail{stroke:#c2410c}.pic .unknown{stroke:#7c3aed}
.pic .line.fail{stroke-dasharray:5 3}.pic .line.unknown{stroke-dasharray:2 3}
.pic .primary{fill:#2563eb}.pic .replica{fill:#c3d3e6}.pic .changing{fill:#f3cf7a}
.pic .frozen{fill:#8fd3e0}.pic .down{fill:#eceef1;stroke:#8b949e;stroke-dasharray:3 2}
.pic text.on-primary{fill:#fff}.pic text.on-other{fill:#1f2a37}.pic text.on-down{fill:#5b6570}
.pic .s0{stroke:#2563eb}.pic .s1{stroke:#c2410c;stroke-dasharray:6 3}.pic .s2{stroke:#1a7f5a;stroke-dasharray:2 3}
.pic .s3{stroke:#7c3aed;stroke-dasharray:8 3 2 3}
.pic .f0{fill:#2563eb}.pic .f1{fill:#c2410c}.pic .f2{fill:#1a7f5a}.pic .f3{fill:#7c3aed}
.pic .dot{stroke-dasharray:none}.pic .key.ok{stroke-width:5}.pic .run{stroke-width:4;stroke-opacity:.8}
.pic .box{fill-opacity:.22;stroke-width:1.2;stroke-dasharray:none}.pic .mid{stroke-width:3;stroke-dasharray:none}
@media (prefers-color-scheme:dark){
.pic{background:#14171c}
.pic text{fill:#e6e9ee}.pic .soft{fill:#a5afba}
.pic .grid{stroke:#2c333b}.pic .axis{stroke:#6b7682}
.pic .band{fill:#f0b64a;fill-opacity:.17}.pic .fault{fill:#d9992e}.pic .idle{stroke:#ff8080}
.pic .ok{stroke:#4cc38a}.pic .fail{stroke:#ff9a5c}.pic .unknown{stroke:#b9a2ff}
.pic .primary{fill:#5b9bff}.pic .replica{fill:#3d4f66}.pic .changing{fill:#a57a1c}
.pic .frozen{fill:#2b7e8d}.pic .down{fill:#20252c;stroke:#6b7682}
.pic text.on-primary{fill:#0b1524}.pic text.on-other{fill:#f2f5f9}.pic text.on-down{fill:#a5afba}
.pic .s0{stroke:#5b9bff}.pic .s1{stroke:#ff9a5c}.pic .s2{stroke:#4cc38a}.pic .s3{stroke:#b9a2ff}
.pic .f0{fill:#5b9bff}.pic .f1{fill:#ff9a5c}.pic .f2{fill:#4cc38a}.pic .f3{fill:#b9a2ff}
}
";

/// A picture without its frame.
pub(super) struct Picture {
    /// What it shows, for one who does not see it.
    pub(super) title: String,
    pub(super) height: f64,
    pub(super) body: Markup,
}

impl Picture {
    /// As part of a page that has `STYLE`.
    pub(super) fn inline(&self) -> Markup {
        self.draw(&html! {})
    }

    /// As a file of its own.
    pub(super) fn alone(&self) -> String {
        self.draw(&html! { style { (PreEscaped(STYLE)) } }).into_string() + "\n"
    }

    fn draw(&self, style: &Markup) -> Markup {
        let (width, height) = (at(WIDTH), at(self.height));
        html! {
            svg class="pic" xmlns="http://www.w3.org/2000/svg" role="img"
                viewBox={ "0 0 " (width) " " (height) } width=(width) height=(height)
                aria-label=(self.title) {
                (style)
                title { (self.title) }
                (self.body)
            }
        }
    }
}

/// The shaded times of faults, in which a look says which they were.
pub(super) fn bands(faults: &[Fault], time: Time, top: f64, bottom: f64) -> Markup {
    html! {
        @for fault in faults {
            @let from = time.x(fault.from);
            @let width = (time.x(fault.to.unwrap_or(time.end)) - from).max(1.0);
            rect class="band" x=(at(from)) y=(at(top)) width=(at(width)) height=(at(bottom - top)) {
                title { (fault.name) }
            }
        }
    }
}

/// The marks of time below a plot, and its lines through it.
pub(super) fn time_axis(time: Time, top: f64, bottom: f64) -> Markup {
    html! {
        @for (x, text) in time.marks() {
            path class="grid" d=(format!("M{} {}V{}", at(x), at(top), at(bottom))) {}
            text class="soft" x=(at(x)) y=(at(bottom + 14.0)) text-anchor="middle" { (text) }
        }
        path class="axis" d=(format!("M{} {}H{}", at(LEFT), at(bottom), at(RIGHT))) {}
    }
}

/// A line through the plot at each amount, with its text left of it.
pub(super) fn amount_axis(marks: &[(f64, String)]) -> Markup {
    html! {
        @for (y, text) in marks {
            path class="grid" d=(format!("M{} {}H{}", at(LEFT), at(*y), at(RIGHT))) {}
            text class="soft" x=(at(LEFT - 8.0)) y=(at(y + 4.0)) text-anchor="end" { (text) }
        }
    }
}

/// How a sort is shown in a legend.
#[derive(Clone, Copy)]
pub(super) enum Sample {
    Dot,
    Line,
}

/// What the lines and dots mean, from the right end of the first line of a picture.
pub(super) fn legend(sample: Sample, sorts: &[(String, String)]) -> Markup {
    let mut x = RIGHT;
    let mut placed = Vec::new();
    for (class, text) in sorts.iter().rev() {
        x -= text_width(text) + 30.0;
        placed.push((x, class, text));
    }
    html! {
        @for (x, class, text) in placed {
            @match sample {
                Sample::Dot => path class={ "dot key " (class) } d=(dot(class, x + 14.0, 12.0)) {},
                Sample::Line => path class={ "line " (class) } d=(format!("M{} 12h20", at(x))) {},
            }
            text x=(at(x + 25.0)) y="16" { (text) }
        }
    }
}

/// A point for what is fine, a cross for what failed, an upright stroke for what is unknown.
pub(super) fn dot(class: &str, x: f64, y: f64) -> String {
    match class {
        "fail" => format!("M{} {}l4 4m0-4l-4 4", at(x - 2.0), at(y - 2.0)),
        "unknown" => format!("M{} {}v6", at(x), at(y - 3.0)),
        _ => format!("M{} {}h0", at(x), at(y)),
    }
}

/// The name of a picture, in its first line.
pub(super) fn heading(text: &str) -> Markup {
    html! { text class="head" x=(at(LEFT)) y="16" { (text) } }
}
