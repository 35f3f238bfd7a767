//! What was broken and what each member was, as lanes over time. Never lets two names overlap.

use maud::{Markup, html};

use super::scale::{LEFT, RIGHT, Time, at, text_width};
use super::svg::{Picture, bands, heading, time_axis};
use super::{Fault, Lane, Role, Span};

const TOP: f64 = 28.0;
const FAULT: f64 = 18.0;
const MEMBER: f64 = 30.0;

/// The faults, each with its name, in as few rows as their names allow.
pub(super) fn faults(faults: &[Fault], time: Time) -> Picture {
    let placed = place(faults, time);
    let rows = placed.iter().map(|placed| placed.row + 1).max().unwrap_or(0);
    let bottom = TOP + FAULT * f64::from(rows.max(1));
    let body = html! {
        (heading("Faults"))
        @if faults.is_empty() {
            text class="soft" x=(at(LEFT)) y=(at(TOP + 12.0)) { "none" }
        }
        (time_axis(time, TOP, bottom))
        @for Placed { fault, row, x, width, text } in &placed {
            @let y = TOP + FAULT * f64::from(*row);
            @let class = if fault.proof.is_some() { "fault" } else { "idle" };
            rect class=(class) x=(at(*x)) y=(at(y + 3.0)) width=(at(*width)) height="11" rx="2" {
                title { (fault.name) ": " (fault.proof.as_deref().unwrap_or("nothing shows that it acted")) }
            }
            text x=(at(text.0)) y=(at(y + 13.0)) text-anchor=(text.1) { (fault.name) }
        }
    };
    Picture { title: "When which fault acted".into(), height: bottom + 22.0, body }
}

struct Placed<'f> {
    fault: &'f Fault,
    row: u32,
    x: f64,
    width: f64,
    /// Where its name begins or ends.
    text: (f64, &'static str),
}

/// A name stands right of its bar, or left of it at the end of the picture.
fn place(faults: &[Fault], time: Time) -> Vec<Placed<'_>> {
    let mut sorted: Vec<&Fault> = faults.iter().collect();
    sorted.sort_by_key(|fault| fault.from);
    let mut taken: Vec<f64> = Vec::new();
    let mut placed = Vec::new();
    for fault in sorted {
        let x = time.x(fault.from);
        let width = (time.x(fault.to.unwrap_or(time.end)) - x).max(3.0);
        let name = text_width(&fault.name) + 6.0;
        let right = x + width + name <= RIGHT + 12.0;
        let (from, to) = if right { (x, x + width + name) } else { (x - name, x + width) };
        let row = taken.iter().position(|end| end + 4.0 <= from).unwrap_or(taken.len());
        if row == taken.len() {
            taken.push(to);
        } else {
            taken[row] = to;
        }
        let row = u32::try_from(row).unwrap_or(u32::MAX);
        let text = if right { (x + width + 5.0, "start") } else { (x - 5.0, "end") };
        placed.push(Placed { fault, row, x, width, text });
    }
    placed
}

/// The members, each with its role and, where it led, its term.
pub(super) fn members(lanes: &[Lane], faults: &[Fault], time: Time) -> Picture {
    let bottom = TOP + lanes.iter().fold(0.0, |height, _| height + MEMBER).max(MEMBER);
    let mut top = TOP - MEMBER;
    let body = html! {
        (heading("Members: role and term"))
        (bands(faults, time, TOP, bottom))
        (time_axis(time, TOP, bottom))
        @for lane in lanes {
            ({ top += MEMBER; lane_of(lane, time, top) })
        }
    };
    Picture { title: "Which member was what, with the terms".into(), height: bottom + 24.0, body }
}

fn lane_of(lane: &Lane, time: Time, top: f64) -> Markup {
    html! {
        text x=(at(LEFT - 8.0)) y=(at(top + 19.0)) text-anchor="end" { (lane.member) }
        @for span in &lane.spans {
            @let x = time.x(span.from);
            @let width = (time.x(span.to.unwrap_or(time.end)) - x).max(1.0);
            @let (class, on) = class(span.role);
            rect class=(class) x=(at(x)) y=(at(top + 5.0)) width=(at(width)) height="20" rx="2" {
                title { (lane.member) ": " (told(span)) }
            }
            @if let Some(text) = fitting(span, width) {
                text class=(on) x=(at(x + width / 2.0)) y=(at(top + 19.0)) text-anchor="middle" { (text) }
            }
        }
    }
}

fn told(span: &Span) -> String {
    let role = match span.role {
        Role::Primary => "primary",
        Role::Replica => "replica",
        Role::Changing => "changing",
        Role::Frozen => "frozen",
        Role::Down => "down",
    };
    span.term.map_or_else(|| role.to_owned(), |term| format!("{role}, term {term}"))
}

/// The longest text that has room.
fn fitting(span: &Span, width: f64) -> Option<String> {
    let term = span.term.map(|term| format!("t{term}"));
    [Some(told(span)), term].into_iter().flatten().find(|text| text_width(text) <= width)
}

fn class(role: Role) -> (&'static str, &'static str) {
    match role {
        Role::Primary => ("primary", "on-primary"),
        Role::Replica => ("replica", "on-other"),
        Role::Changing => ("changing", "on-other"),
        Role::Frozen => ("frozen", "on-other"),
        Role::Down => ("down", "on-down"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_faults_never_overlap() {
        let second = 1_000_000_000;
        let fault = |at: u64| Fault {
            name: format!("kill postmaster n{at}"),
            from: at * second,
            to: Some((at + 3) * second),
            proof: None,
        };
        let faults: Vec<Fault> = (0..118).step_by(2).map(fault).collect();
        let placed = place(&faults, Time { end: 120 * second });
        let extent = |placed: &Placed<'_>| {
            let name = text_width(&placed.fault.name);
            match placed.text {
                (x, "start") => (placed.x, x + name),
                (x, _) => (x - name, placed.x + placed.width),
            }
        };
        for (at, one) in placed.iter().enumerate() {
            for other in placed[at + 1..].iter().filter(|other| other.row == one.row) {
                let ((from, to), (start, end)) = (extent(one), extent(other));
                assert!(to <= start || end <= from, "{} and {}", one.fault.name, other.fault.name);
            }
        }
    }

    #[test]
    fn a_span_says_as_much_as_fits() {
        let span = Span { role: Role::Primary, term: Some(12), from: 0, to: None };
        assert_eq!(fitting(&span, 200.0).as_deref(), Some("primary, term 12"));
        assert_eq!(fitting(&span, 40.0).as_deref(), Some("t12"));
        assert_eq!(fitting(&span, 5.0), None);
    }
}
