//! What this member's agent carries out by itself once the time has come that an operator named: its `haad.toml` is
//! read again, other settings are written. Never decides when, nor who: the core's status says so.

use std::sync::Arc;
use std::time::Duration;

use haa_core::records::{Altered, Ask, RequestId, RequestRecord, RequestState};
use haa_core::routes::Status;
use haa_core::settings::Settings;
use haa_core::units::Revision;
use tokio::sync::watch;

use super::chain;
use super::reload::Reloader;
use crate::api::{Api, Undone, due};
use crate::config::planned::planned as changed;
use crate::store::Store;

/// What was told is shown by then, or it is told once more.
const AGAIN: Duration = Duration::from_secs(5);

/// What came of one, as it is told, with the settings to write in the same breath if they are still of that revision.
type Carried = (Ask, RequestState, Option<(Revision, Settings)>);

/// One after the other, until nobody tells of any more.
pub(super) async fn carry_out(api: Api, store: Arc<Store>, reloader: Arc<Reloader>) {
    let mut published = api.status.clone();
    // What the store did not take yet: no file is read twice for that.
    let mut read: Option<(RequestId, RequestState)> = None;
    while let Some((id, request, status)) = next(&mut published).await {
        tracing::info!(request = id, by = request.by, asks = request.ask.sentence(), "it is due");
        let carried = if let Ask::Settings { changes } = &request.ask {
            settings(&api, &status, changes).await
        } else {
            let state = match read.take().filter(|(of, _)| *of == id) {
                Some((_, state)) => state,
                None => reloader.again().await,
            };
            // Asked to stop meanwhile, nothing that came of it counts: the next agent does it.
            let still = published.borrow().as_ref().and_then(|now| now.errand.clone());
            (still.as_ref() == Some(&id)).then(|| {
                read = Some((id.clone(), state.clone()));
                (request.ask, state, None)
            })
        };
        if let Some((ask, state, settings)) = carried
            && let Err(error) = store.conclude(&id, (ask, state), settings).await
        {
            tracing::warn!(
                request = id,
                error = chain(&error),
                "it is not told yet what came of it"
            );
        }
        let other = |now: &Option<Arc<Status>>| {
            now.as_ref().is_none_or(|now| {
                now.errand.as_ref() != Some(&id) || now.settings_revision > status.settings_revision
            })
        };
        let _ = tokio::time::timeout(AGAIN, published.wait_for(other)).await;
    }
}

async fn next(
    published: &mut watch::Receiver<Option<Arc<Status>>>,
) -> Option<(RequestId, RequestRecord, Arc<Status>)> {
    let named = |status: &Option<Arc<Status>>| {
        let status = status.as_ref()?;
        let id = status.errand.clone()?;
        Some((id.clone(), status.requests.get(&id)?.clone(), Arc::clone(status)))
    };
    let status = published.wait_for(|status| named(status).is_some()).await.ok()?;
    named(&status)
}

/// Nothing, if it is to be tried again.
async fn settings(api: &Api, status: &Status, planned: &[Altered]) -> Option<Carried> {
    match due(api, status, planned).await {
        Err(Undone::NotNow(why)) => {
            tracing::warn!(why, "the settings cannot be changed yet; it is tried again");
            None
        }
        Err(Undone::Never(why)) => {
            let ask = Ask::Settings { changes: planned.to_vec() };
            Some((ask, RequestState::Refused { why }, None))
        }
        Ok(next) => {
            // Told is what they were just before, not what they were when somebody planned it.
            let named = planned.iter().map(|change| change.key.clone()).collect();
            let changes = changed(&status.settings, &next, &named);
            let same = next == status.settings;
            let what = if same { "it was so already" } else { "written" };
            let state = RequestState::Done { what: what.to_owned() };
            Some((Ask::Settings { changes }, state, Some((status.settings_revision, next))))
        }
    }
}
