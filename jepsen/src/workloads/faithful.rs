//! Where one may read: asked of `/routes/read?min_lsn=` by who has written, as the documents tell an application to,
//! and of `/replica` as a balancer does. Reads nothing itself.

use std::time::Duration;

use haa::ctl::http::Ask;
use serde_json::Value;

use crate::hosts::Place;

/// An agent is asked to wait for so long.
const WAIT: Duration = Duration::from_millis(500);
/// One that takes longer is frozen or dead.
const ANSWER: Duration = Duration::from_millis(900);

/// The member that has replayed this position, by the word of the first agent that answers.
pub(super) async fn reader(places: &[Place], lsn: u64) -> Option<&'static str> {
    let (high, low, wait) = (lsn >> 32, lsn & 0xFFFF_FFFF, WAIT.as_millis());
    let path = format!("/routes/read?min_lsn={high:X}/{low:X}&wait={wait}ms");
    for place in places {
        let Ok(answer) = Ask::get(&path).within(ANSWER).send(&place.api).await else { continue };
        if answer.status == 200 {
            let found: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let named = found[0]["member"].as_str()?.to_owned();
            return places.iter().map(|place| place.member).find(|member| *member == named);
        }
    }
    None
}

/// Whether a balancer would send readers to this member.
pub(super) async fn offers_reads(place: &Place) -> bool {
    let answer = Ask::get("/replica").within(ANSWER).send(&place.api).await;
    answer.is_ok_and(|answer| answer.status == 200)
}
