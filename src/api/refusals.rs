//! Commands that this agent refused by itself: told among the events, as many as would be read. Never refuses one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use haa_core::records::{Ask, RequestRecord, RequestState};

use super::commands::who;
use super::document::unix_ms;
use super::tokens::Role;
use super::{Api, Call};

/// So many are told at once,
const BURST: u32 = 20;
/// and then one in each of these: whoever has a token cannot fill etcd by being refused.
const AGAIN: Duration = Duration::from_secs(60);
/// Longer reasons are cut.
const LONGEST: usize = 500;

/// Why a command was refused, on the way out to whoever asked.
#[derive(Clone, Debug)]
pub(super) struct Unheard(pub(super) String);

/// How many may still be told.
#[derive(Clone, Debug)]
pub(super) struct Allowance(Arc<Mutex<Left>>);

#[derive(Debug)]
struct Left {
    left: u32,
    since: Instant,
    passed_over: u32,
}

impl Allowance {
    pub(super) fn new() -> Self {
        let since = Instant::now();
        Self(Arc::new(Mutex::new(Left { left: BURST, since, passed_over: 0 })))
    }

    /// Whether one more is told; if so, how many were not since the last one.
    fn take(&self, now: Instant) -> Option<u32> {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = now.saturating_duration_since(left.since).as_secs();
        let more = u32::try_from(waited / AGAIN.as_secs()).unwrap_or(u32::MAX);
        left.left = left.left.saturating_add(more).min(BURST);
        // The rest of a minute counts for the next one.
        left.since += AGAIN.saturating_mul(more);
        if left.left == 0 {
            left.passed_over = left.passed_over.saturating_add(1);
            return None;
        }
        left.left -= 1;
        Some(std::mem::take(&mut left.passed_over))
    }
}

/// Around every command: what comes of it is told, if it is a refusal of somebody whose token is known.
pub(super) async fn told(
    State((api, allowance)): State<(Arc<Api>, Allowance)>,
    request: Request,
    next: Next,
) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let asked = who(&api, &request, Role::Viewer).ok();
    let what = format!("{} {}", request.method(), request.uri().path());
    let mut response = next.run(request).await;
    let code = response.status();
    let why = response.extensions_mut().remove::<Unheard>().filter(|_| is_refusal(code));
    if let (Some(asked), Some(Unheard(why))) = (asked, why) {
        tell(&api, &allowance, (cut(&what), asked.by), cut(&why));
    }
    response
}

/// Not what could not be heard, nor what failed.
fn is_refusal(code: StatusCode) -> bool {
    let all = [
        StatusCode::BAD_REQUEST,
        StatusCode::FORBIDDEN,
        StatusCode::NOT_FOUND,
        StatusCode::CONFLICT,
        StatusCode::PRECONDITION_FAILED,
        StatusCode::UNPROCESSABLE_ENTITY,
    ];
    all.contains(&code)
}

fn tell(api: &Api, allowance: &Allowance, (what, by): (String, String), mut why: String) {
    let Some(passed_over) = allowance.take(Instant::now()) else {
        tracing::debug!(what, by, why, "a command was refused");
        return;
    };
    tracing::info!(what, by, why, "a command was refused");
    if passed_over > 0 {
        why = format!("{why} (and {passed_over} more before it, which are not told)");
    }
    let Some(member) = api.status.borrow().as_ref().map(|status| status.me.clone()) else { return };
    let state = RequestState::Refused { why };
    let event = RequestRecord::told(Ask::Command { member, what }, by, unix_ms(), state);
    // For people: whoever was refused does not wait for etcd.
    if api.calls.try_send(Call::Refused { event }).is_err() {
        tracing::debug!("nobody is told of it but this log");
    }
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever has told all that may be told at once.
    fn spent() -> (Allowance, Instant) {
        let allowance = Allowance::new();
        let begun = Instant::now();
        for _ in 0..BURST {
            assert_eq!(allowance.take(begun), Some(0));
        }
        (allowance, begun)
    }

    #[test]
    fn many_refusals_are_told_as_a_number() {
        let (allowance, begun) = spent();
        for _ in 0..1000 {
            assert_eq!(allowance.take(begun), None);
        }
        assert_eq!(allowance.take(begun + AGAIN), Some(1000));
        assert_eq!(allowance.take(begun + AGAIN), None);
        assert_eq!(allowance.take(begun + AGAIN * 3), Some(1));
        assert_eq!(allowance.take(begun + AGAIN * 3), Some(0));
        assert_eq!(allowance.take(begun + AGAIN * 3), None);
    }

    #[test]
    fn the_rest_of_a_minute_is_not_lost() {
        let (allowance, begun) = spent();
        assert_eq!(allowance.take(begun + AGAIN * 3 / 2), Some(0));
        assert_eq!(allowance.take(begun + AGAIN * 2), Some(0));
        assert_eq!(allowance.take(begun + AGAIN * 2), None);
    }
}
