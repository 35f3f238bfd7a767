//! Elle's anomalies in sentences. Decides nothing.

use serde_json::Value;

use super::super::calls::Call;
use super::super::verdict::Anomaly;

/// What happened, by whom, and why it cannot have.
pub(super) fn sentence(name: Anomaly, anomaly: &adya::Anomaly, calls: &[&Call<'_>]) -> String {
    let title = title(name);
    let who: Vec<String> = calls.iter().map(|call| call.who()).collect();
    let who = match who.len() {
        0 => String::new(),
        1..=6 => format!(" Taking part: {}.", who.join("; ")),
        more => format!(" Taking part: {}; and {} more.", who[..6].join("; "), more - 6),
    };
    let why = steps(&anomaly.detail).unwrap_or_else(|| operations(&anomaly.explanation));
    format!("{title} ({}): {why}.{who}", anomaly.kind)
}

fn title(name: Anomaly) -> &'static str {
    match name {
        Anomaly::G0 => "Transactions overwrote each other in a circle",
        Anomaly::G1a => "A transaction read what was rolled back",
        Anomaly::G1b => "A transaction read the middle of another",
        Anomaly::G1c => "Transactions saw each other's writes in a circle",
        Anomaly::GSingle => "Read skew",
        Anomaly::GNonadjacent => "Long fork: two readers saw two writes in opposite orders",
        Anomaly::G2Item => "Write skew",
        Anomaly::Internal => "A transaction contradicts itself",
        Anomaly::LostUpdate => "An update was lost",
        Anomaly::DirtyUpdate => "A committed write rests on one that was rolled back",
        Anomaly::IncompatibleOrder => "A list has two histories",
        Anomaly::Duplicate => "An append took place twice",
        _ => "Transactions depend on each other in a circle",
    }
}

/// "operation 1 must come before operation 2, since ..., but ..."
fn steps(detail: &Value) -> Option<String> {
    let steps = detail["steps"].as_array()?;
    let tell = |step: &Value| -> Option<String> {
        let why = operations(step["why"].as_str()?);
        Some(format!("{} comes before {}, since {why}", step["from"], step["to"]))
    };
    let told: Vec<String> = steps.iter().filter_map(tell).collect();
    Some(told.join("; but "))
}

pub(super) fn unknown(anomaly: &adya::Anomaly) -> String {
    let why = operations(&anomaly.explanation);
    format!("The transactions could not be judged ({}): {why}.", anomaly.kind)
}

/// adya says T17 where we say operation 17.
fn operations(text: &str) -> String {
    let mut told = String::with_capacity(text.len() + 16);
    let mut before = ' ';
    let mut letters = text.trim_end_matches('.').chars().peekable();
    while let Some(letter) = letters.next() {
        let number = letters.peek().is_some_and(char::is_ascii_digit);
        if letter == 'T' && number && !before.is_alphanumeric() {
            told.push_str("operation ");
        } else {
            told.push(letter);
        }
        before = letter;
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_operations_and_words_stay() {
        assert_eq!(operations("T17 and T3's NT4."), "operation 17 and operation 3's NT4");
    }
}
