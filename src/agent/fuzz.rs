//! Inputs that no store, peer or Postgres would bring: the core takes any and cannot fail, and what was decided is
//! written down and read back.

use std::collections::HashMap;

use haa_core::effect::Effect;

use super::journal::{Line, Step};

/// How a member made a cluster and led it: the node, and some of its steps.
const JOURNAL: &str = include_str!("../../tests/fuzz/journal.jsonl");

#[test]
fn fuzz_inputs_of_the_core() {
    let (first, story) = JOURNAL.split_once('\n').expect("it has lines");
    let Ok(Line::Node(first)) = serde_json::from_str(first) else { panic!("no node") };
    // Most lines of an input are as they were: those are read once.
    let whole: HashMap<&str, Step> =
        story.lines().map(|line| (line, step(line).expect("a step"))).collect();
    let told = |text: &str| {
        let (mut node, mut transitions) = (first.clone(), 0);
        for line in text.lines() {
            let effects = if let Some(step) = whole.get(line) {
                node.handle(step.now, &step.input)
            } else {
                let Some(mut step) = step(line) else { continue };
                step.effects = node.handle(step.now, &step.input);
                let written = serde_json::to_string(&step).expect("it is written");
                assert!(serde_json::from_str::<Step>(&written).is_ok(), "{written}");
                step.effects
            };
            transitions += effects.iter().filter(|one| matches!(one, Effect::Announce(_))).count();
        }
        transitions
    };
    assert!(told(story) > 2, "the example tells of a member that comes to lead");
    crate::fuzz::text(&[story], |text| {
        told(text);
    });
}

fn step(line: &str) -> Option<Step> {
    match serde_json::from_str(line) {
        Ok(Line::Step(step)) => Some(*step),
        Ok(Line::Node(_)) | Err(_) => None,
    }
}
