//! The page of a run: the verdict at the top, then the pictures. Needs no script and nothing from elsewhere.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::results::{Results, answers};
use super::scale::{Time, millis};
use super::svg::STYLE;
use super::{Run, lag, lanes, latency, rate};
use crate::checkers::{Anomaly, Checked, Finding, OfWorkload, Verdict};

/// The page around the pictures.
pub(super) const PAGE_STYLE: &str = "
:root{color-scheme:light dark}
body{margin:0 auto;max-width:960px;padding:16px 20px 60px;background:#fff;color:#24292f;
font:14px/1.5 'DejaVu Sans',Verdana,sans-serif}
h1{font-size:20px;margin:8px 0}h2{font-size:15px;margin:26px 0 6px}
.pic{display:block;width:100%;height:auto;margin:10px 0}
.verdict{border-left:6px solid;padding:8px 14px;margin:12px 0;background:#f4f6f8}
.verdict b{font-size:18px;text-transform:uppercase;letter-spacing:.04em}
.valid{border-color:#1a7f5a}.invalid{border-color:#c42b2b}.unknown{border-color:#b7791f}
.valid b{color:#14684a}.invalid b{color:#b42323}.unknown b{color:#8a5a12}
table{border-collapse:collapse;width:100%;font-size:13px}
th,td{text-align:left;vertical-align:top;padding:4px 10px 4px 0;border-bottom:1px solid #dfe3e8}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
code{font:12px/1.4 'DejaVu Sans Mono',monospace;overflow-wrap:anywhere}
li{margin:3px 0}.soft{color:#5b6570}
@media (prefers-color-scheme:dark){
body{background:#14171c;color:#e6e9ee}.verdict{background:#1e232a}
.valid b{color:#4cc38a}.invalid b{color:#ff8080}.unknown b{color:#f0b64a}
th,td{border-color:#2c333b}p.soft,td.soft,li.soft{color:#a5afba}
}
";

/// Puts a page around its parts.
pub(super) fn shell(title: &str, body: &Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(PAGE_STYLE)) (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    }
    .into_string()
}

pub(super) fn of(run: &Run, results: &Results) -> String {
    let time = Time { end: run.end() };
    let answers = answers(&run.events);
    let body = html! {
        h1 { (run.title) }
        (verdict(&results.verdict))
        (figures(results))
        @if !results.workloads.is_empty() { (workloads(&results.workloads)) }
        (lanes::faults(&run.faults, time).inline())
        (latency::draw(&answers, &run.faults, time).inline())
        (rate::draw(&answers, &run.faults, time).inline())
        (lanes::members(&run.lanes, &run.faults, time).inline())
        @if !run.lag.is_empty() { (lag::draw(&run.lag, &run.faults, time).inline()) }
        h2 { "What the judges looked at" }
        (checks(&results.checks))
        h2 { "Faults, and what shows that they acted" }
        (faults(run))
        h2 { "The run" }
        (facts(run))
    };
    shell(&run.title, &body)
}

fn verdict(verdict: &Verdict) -> Markup {
    html! {
        div class={ "verdict " (verdict.word()) } {
            b { (verdict.word()) }
            @match verdict {
                Verdict::Valid => p { "Everything that clients saw is as was promised." },
                Verdict::Unknown { reason } => p { (reason) },
                Verdict::Invalid { findings, more } => (self::findings(findings, *more)),
            }
        }
    }
}

/// A few of each sort at once, the rest of them folded away.
fn findings(findings: &[Finding], more: usize) -> Markup {
    const SHOWN: usize = 3;
    let mut sorts: Vec<(Anomaly, Vec<&Finding>)> = Vec::new();
    for finding in findings {
        match sorts.iter_mut().find(|(anomaly, _)| *anomaly == finding.anomaly) {
            Some((_, alike)) => alike.push(finding),
            None => sorts.push((finding.anomaly, vec![finding])),
        }
    }
    html! {
        ul {
            @for (_, alike) in &sorts {
                @for finding in alike.iter().take(SHOWN) { li { (finding.text) } }
                @if alike.len() > SHOWN {
                    li {
                        details {
                            summary { (alike.len() - SHOWN) " more of this sort" }
                            ul { @for finding in &alike[SHOWN..] { li { (finding.text) } } }
                        }
                    }
                }
            }
            @if more > 0 { li class="soft" { "and " (more) " more" } }
        }
    }
}

fn figures(results: &Results) -> Markup {
    let counts = results.counts;
    let latency = results.latency;
    let rate = super::scale::short(results.acknowledged_per_second);
    html! {
        p {
            (counts.ok) " acknowledged (" (rate) "/s), " (counts.fail) " failed, " (counts.unknown)
            " unknown. Answers took " (millis(latency.p50_ms)) " (p50), " (millis(latency.p90_ms))
            " (p90), " (millis(latency.p99_ms)) " (p99), at most " (millis(latency.max_ms))
            ". The longest time without an acknowledged write was "
            (millis(super::scale::float(results.longest_write_gap_ms))) "."
        }
    }
}

fn workloads(workloads: &[OfWorkload]) -> Markup {
    html! {
        table {
            tr {
                th { "workload" } th { "verdict" }
                @for word in ["acknowledged", "failed", "unknown"] { th class="n" { (word) } }
            }
            @for OfWorkload { workload, verdict, counts } in workloads {
                tr {
                    td { (workload) } td { (verdict) }
                    @for count in [counts.ok, counts.fail, counts.unknown] { td class="n" { (count) } }
                }
            }
        }
    }
}

fn checks(checks: &[Checked]) -> Markup {
    html! {
        table {
            tr { th { "check" } th { "verdict" } th class="n" { "operations" } th class="n" { "ms" } }
            @for check in checks {
                tr {
                    td {
                        @if let Some(workload) = &check.workload { (workload) ", " }
                        (check.checker.title())
                        @if let Verdict::Unknown { reason } = &check.verdict { br; (reason) }
                        @if !check.apart.is_empty() {
                            br; "Told apart, and no failure:" (findings(&check.apart, 0))
                        }
                    }
                    td { (check.verdict.word()) }
                    td class="n" { (check.looked_at) }
                    td class="n" { (check.took_ms) }
                }
            }
        }
    }
}

fn faults(run: &Run) -> Markup {
    let seconds = |nanos: u64| format!("{:.1}", super::scale::float(nanos / 1_000_000) / 1000.0);
    html! {
        @if run.faults.is_empty() { p { "none" } } @else {
            table {
                tr { th { "fault" } th class="n" { "from, s" } th class="n" { "to, s" } th { "proof" } }
                @for fault in &run.faults {
                    tr {
                        td { (fault.name) }
                        td class="n" { (seconds(fault.from)) }
                        td class="n" { (fault.to.map(seconds).unwrap_or_default()) }
                        td { (fault.proof.as_deref().unwrap_or("nothing shows that it acted")) }
                    }
                }
            }
        }
        @if !run.skipped.is_empty() {
            p class="soft" { "Nothing to break was found by these:" }
            ul { @for (name, at) in &run.skipped { li { (name) ", at " (seconds(*at)) " s" } } }
        }
    }
}

fn facts(run: &Run) -> Markup {
    html! {
        table {
            tr { td { "again" } td { code { (run.command) } } }
            @for (name, value) in &run.facts { tr { td { (name) } td { (value) } } }
        }
    }
}
