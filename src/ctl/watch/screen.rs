//! How a picture looks on a terminal, wide or narrow. Draws what it is given; knows no agent and no clock.

use std::collections::VecDeque;
use std::time::Instant;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Borders, Paragraph, Sparkline, Wrap};

use super::super::documents::{CommitsView, MemberView, RouteView};
use super::super::list::{lag, tags};
use super::super::status;
use super::picture::Picture;
use crate::verdict::Health;

/// From here on addresses and tags are shown, too.
const WIDE: u16 = 110;
/// Of a verdict, so many lines: the worst comes first.
const AILS: usize = 5;

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, picture: &Picture, now: Instant) {
    let verdict = verdict(picture, now);
    let members = u16::try_from(picture.cluster.members.len()).unwrap_or(u16::MAX);
    let lines = u16::try_from(verdict.len()).unwrap_or(u16::MAX);
    let [top, about, table, routes, events, foot] = Layout::vertical([
        Constraint::Length(lines),
        Constraint::Length(1),
        Constraint::Length(members.saturating_add(2)),
        Constraint::Length(3),
        Constraint::Min(2),
        Constraint::Length(if picture.silence().is_some() { 3 } else { 1 }),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(verdict), top);
    frame.render_widget(Line::styled(summary(picture), dim()), about);
    draw_members(frame, picture, table);
    draw_routes(frame, picture, routes);
    let told: Vec<Line<'_>> = picture.events().into_iter().map(Line::raw).collect();
    frame.render_widget(Paragraph::new(told).block(titled("leaderships and commands")), events);
    draw_foot(frame, picture, now, foot);
}

fn titled(title: &str) -> Block<'_> {
    Block::new().borders(Borders::TOP).title(format!(" {title} "))
}

const fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

const fn bold(color: Color) -> Style {
    Style::new().fg(color).add_modifier(Modifier::BOLD)
}

/// As `haactl status` has it.
fn verdict(picture: &Picture, now: Instant) -> Vec<Line<'static>> {
    let Some(verdict) = &picture.verdict else {
        return vec![match picture.oldest(now) {
            None => Line::styled("nothing is known yet", dim()),
            Some(_) => Line::styled("UNKNOWN: nobody gives a verdict", bold(Color::Magenta)),
        }];
    };
    let color = match verdict.health {
        Health::Healthy => Color::Green,
        Health::Degraded => Color::Yellow,
        Health::Down => Color::Red,
        Health::Unknown => Color::Magenta,
    };
    let mut lines = vec![Line::styled(status::headline(verdict), bold(color))];
    lines.extend(verdict.ails.iter().take(AILS).map(|ail| Line::raw(format!("  - {ail}"))));
    lines
}

/// The cluster, its term, and what an acknowledgement means.
fn summary(picture: &Picture) -> String {
    let term = picture.routes.as_ref().and_then(|routes| routes.term);
    let term = term.map_or("unknown".to_owned(), |term| term.to_string());
    let commits = picture.cluster.commits.as_ref().map_or_else(String::new, CommitsView::sentence);
    let paused = if picture.cluster.pause { "   PAUSED" } else { "" };
    format!("cluster {}   term {term}   {commits}{paused}", picture.cluster.scope)
}

/// The columns that fit, the lag's curve last.
fn columns(width: u16) -> (Vec<&'static str>, Vec<Constraint>) {
    let mut columns = vec![
        ("member", Constraint::Length(12)),
        ("role", Constraint::Length(8)),
        ("state", Constraint::Length(16)),
        ("voter", Constraint::Length(5)),
        ("timeline", Constraint::Length(8)),
        ("lag", Constraint::Length(9)),
    ];
    if width >= WIDE {
        columns.push(("address", Constraint::Length(21)));
        columns.push(("tags", Constraint::Length(14)));
    }
    columns.push(("two minutes", Constraint::Min(8)));
    columns.into_iter().unzip()
}

fn draw_members(frame: &mut Frame<'_>, picture: &Picture, area: Rect) {
    let block = titled("members");
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let (names, widths) = columns(inner.width);
    let split = Layout::horizontal(widths).spacing(1);
    let mut rows = inner.rows();
    if let Some(head) = rows.next() {
        for (name, cell) in names.iter().zip(split.split(head).iter()) {
            frame.render_widget(Line::styled(*name, dim()), *cell);
        }
    }
    let wide = inner.width >= WIDE;
    // One scale for all, so that the curves can be compared.
    let most = picture.lags.values().flatten().max().copied().unwrap_or_default();
    for (member, row) in picture.cluster.members.iter().zip(rows) {
        let cells = split.split(row);
        let style = row_style(member);
        for (text, cell) in texts(picture, member, wide).into_iter().zip(cells.iter()) {
            frame.render_widget(Line::styled(text, style), *cell);
        }
        if let (Some(cell), Some(lags)) = (cells.last(), picture.lags.get(&member.name)) {
            curve(frame, lags, most, *cell);
        }
    }
}

fn row_style(member: &MemberView) -> Style {
    match (member.leads(), member.streams()) {
        (true, _) => bold(Color::Green),
        (false, true) => Style::new(),
        (false, false) => Style::new().fg(Color::Yellow),
    }
}

fn texts(picture: &Picture, member: &MemberView, wide: bool) -> Vec<String> {
    let commits = picture.cluster.commits.as_ref();
    let votes = commits.is_some_and(|commits| commits.voters.contains(&member.name));
    let mut texts = vec![
        member.name.clone(),
        member.role_word().to_owned(),
        member.shown_state(),
        if votes { "yes" } else { "-" }.to_owned(),
        member.timeline.map_or("-".to_owned(), |timeline| timeline.to_string()),
        lag(member),
    ];
    if wide {
        texts.extend([format!("{}:{}", member.host, member.port), tags(member)]);
    }
    texts
}

/// As much of the past as there is room for, now at its right end.
fn curve(frame: &mut Frame<'_>, lags: &VecDeque<u64>, most: u64, cell: Rect) {
    let shown = usize::from(cell.width).min(lags.len());
    let lags: Vec<u64> = lags.iter().skip(lags.len() - shown).copied().collect();
    frame.render_widget(Sparkline::default().data(&lags).max(most.max(1)), cell);
}

fn draw_routes(frame: &mut Frame<'_>, picture: &Picture, area: Rect) {
    let server = |route: &RouteView| format!("{} {}:{}", route.member, route.host, route.port);
    let unknown = || "unknown".to_owned();
    let (primary, readers) = picture.routes.as_ref().map_or_else(
        || (unknown(), unknown()),
        |routes| {
            let primary = routes.primary.as_ref().map_or("nowhere".to_owned(), server);
            let readers: Vec<String> = routes.replicas.iter().map(server).collect();
            (primary, if readers.is_empty() { "nowhere".to_owned() } else { readers.join(", ") })
        },
    );
    let lines =
        vec![Line::raw(format!("write  {primary}")), Line::raw(format!("read   {readers}"))];
    frame.render_widget(Paragraph::new(lines).block(titled("routes")), area);
}

fn draw_foot(frame: &mut Frame<'_>, picture: &Picture, now: Instant, area: Rect) {
    let [said, keys] = Layout::horizontal([Constraint::Min(0), Constraint::Length(6)]).areas(area);
    let heard = match picture.oldest(now) {
        Some((by, age)) => format!("{by} said so {} s ago", age.as_secs()),
        None => "no agent has answered yet".to_owned(),
    };
    let line = match picture.silence() {
        Some(why) => Line::styled(format!("{heard}; {why}"), bold(Color::Red)),
        None => Line::styled(heard, dim()),
    };
    frame.render_widget(Paragraph::new(line).wrap(Wrap { trim: true }), said);
    frame.render_widget(Line::styled("q ends", dim()), keys);
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::{Value, json};

    use super::super::picture::{Document, News, Topic};
    use super::*;

    fn said(document: Document) -> News {
        News::Said { by: "10.0.0.1:8008".parse().expect("an address"), document }
    }

    fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).expect("a document")
    }

    fn member(name: &str, role: &str, lag: Value) -> Value {
        let state = if role == "leader" { "running" } else { "streaming" };
        json!({"name": name, "role": role, "state": state, "host": format!("10.0.0.{}", &name[1..]),
               "port": 5432, "timeline": 9, "lag": lag, "tags": {"site": "east"}})
    }

    /// A cluster that has just failed over, with a replica that has fallen behind and caught up again.
    fn picture(now: Instant) -> Picture {
        let mut picture = Picture::default();
        for lag in [0, 0, 4_096, 1 << 20, 3 << 20, 2 << 20, 1 << 19, 0] {
            let members = [
                member("n1", "replica", json!("unknown")),
                member("n2", "leader", Value::Null),
                member("n3", "quorum_standby", json!(lag)),
            ];
            let commits =
                json!({"durability": "quorum", "k": 1, "voters": ["n2", "n3"], "alone": false});
            let cluster = json!({"scope": "shop", "members": members, "commits": commits});
            picture.take(said(Document::Cluster(read(cluster))), now);
        }
        let verdict = json!({"health": "degraded", "ails": ["n1 does not stream"], "primary": "n2",
            "outlook": {"successor": "n3", "host_ms": 1200, "loss": "nothing"}});
        picture.take(said(Document::Verdict(read(verdict))), now);
        let routes = json!({"term": 8, "age_ms": 3, "primary": {"member": "n2", "host": "10.0.0.2", "port": 5432},
            "replicas": [{"member": "n3", "host": "10.0.0.3", "port": 5432}]});
        picture.take(said(Document::Routes(read(routes))), now);
        let record = |leader: &str, reason: &str, at: u64| {
            let at = json!({"at_unix_ms": at, "took_ms": 90, "timeline": 9, "fork": null});
            let mut record = json!({"leader": leader, "reason": reason});
            let (more, all) = (at.as_object(), record.as_object_mut());
            all.expect("an object").extend(more.expect("an object").clone());
            record
        };
        let leaderships = json!([
            [7, record("n1", "bootstrap", 1_700_000_000_000_u64)],
            [8, record("n2", "taken_over", 1_700_000_100_000_u64)]
        ]);
        picture.take(said(Document::Leaderships(read(leaderships))), now);
        let requests = json!([["a", {"ask": {"verb": "drain", "member": "n3"}, "by": "alice",
            "asked_unix_ms": 1_700_000_050_000_u64, "state": {"is": "done", "what": "n3 is drained"}}]]);
        picture.take(said(Document::Requests(read(requests))), now);
        picture
    }

    fn shown(picture: &Picture, now: Instant, (width, height): (u16, u16)) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("in memory");
        terminal.draw(|frame| draw(frame, picture, now)).expect("in memory");
        let buffer = terminal.backend().buffer();
        let row = |y| -> String { (0..width).map(|x| buffer[(x, y)].symbol()).collect() };
        (0..height).map(|y| format!("{}\n", row(y).trim_end())).collect()
    }

    /// Compares with what was accepted, or accepts it.
    fn golden(name: &str, shown: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ctl/watch/screens").join(name);
        if std::env::var_os("HAA_ACCEPT").is_some() {
            std::fs::write(&path, shown).expect("written");
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(shown, expected, "accept a wanted change with HAA_ACCEPT=1");
    }

    #[test]
    fn a_narrow_terminal_has_all_but_addresses_and_tags() {
        let now = Instant::now();
        golden("narrow.txt", &shown(&picture(now), now, (80, 24)));
    }

    #[test]
    fn a_wide_one_has_them() {
        let now = Instant::now();
        golden("wide.txt", &shown(&picture(now), now, (150, 24)));
    }

    #[test]
    fn the_last_picture_stays_with_its_age_while_nobody_answers() {
        let now = Instant::now();
        let mut picture = picture(now);
        let why = "no agent answers: 10.0.0.1:8008 (connection refused), 10.0.0.2:8008 (connection refused)";
        let later = now + Duration::from_secs(42);
        for topic in [Topic::Verdict, Topic::Members, Topic::Routes] {
            picture.take(News::Silence(topic, why.to_owned()), later);
        }
        golden("silent.txt", &shown(&picture, later, (80, 24)));
    }

    #[test]
    fn members_that_are_heard_of_make_no_old_verdict_and_no_old_routes_new() {
        let now = Instant::now();
        let mut picture = picture(now);
        let later = now + Duration::from_secs(42);
        for topic in [Topic::Verdict, Topic::Routes] {
            let why = "no agent answers: 10.0.0.1:8008 (status 503)";
            picture.take(News::Silence(topic, why.to_owned()), later);
        }
        let members = json!({"scope": "shop", "members": [member("n2", "leader", Value::Null)]});
        picture.take(said(Document::Cluster(read(members))), later);
        let shown = shown(&picture, later, (80, 24));
        assert!(shown.starts_with("UNKNOWN: nobody gives a verdict"), "{shown}");
        assert!(shown.contains("write  unknown") && shown.contains("term unknown"), "{shown}");
        assert!(shown.contains("said so 42 s ago; no agent answers"), "{shown}");
    }

    #[test]
    fn a_terminal_of_any_size_can_be_drawn_on() {
        let now = Instant::now();
        let picture = picture(now);
        for size in [(1, 1), (10, 3), (80, 5), (300, 100)] {
            assert!(!shown(&picture, now, size).is_empty());
        }
        assert!(shown(&Picture::default(), now, (80, 24)).contains("nothing is known yet"));
    }
}
