//! How a member's Postgres stands to its parameters, in the words that today's tools read. Shapes only.

use std::collections::BTreeMap;

use haa_core::parameters::{Own, Parameters};
use serde::Serialize;

/// Part of a member's document; what is as it should be is left out.
#[derive(Default, Serialize)]
pub(super) struct Standing<'a> {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pending_restart: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pending_restart_reason: BTreeMap<&'a str, Values<'a>>,
    /// Parameters of the settings that are others here.
    #[serde(skip_serializing_if = "<[Own]>::is_empty")]
    own_parameters: &'a [Own],
    /// Why Postgres does not take its files as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters_refused: Option<&'a str>,
}

#[derive(Serialize)]
struct Values<'a> {
    old_value: &'a str,
    new_value: &'a str,
}

/// In a document, `null` would be no value.
const USUAL: &str = "default";

pub(super) fn standing(parameters: Option<&Parameters>) -> Standing<'_> {
    let Some(parameters) = parameters else { return Standing::default() };
    let values = parameters.pending.iter().map(|one| {
        let new_value = one.written.as_deref().unwrap_or(USUAL);
        (one.name.as_str(), Values { old_value: &one.running, new_value })
    });
    Standing {
        pending_restart: !parameters.pending.is_empty(),
        pending_restart_reason: values.collect(),
        own_parameters: &parameters.own,
        parameters_refused: parameters.objection.as_deref(),
    }
}
