//! Who may ask, where documents need a token. Health checks and routes never do; what else a check tells is left out.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::tokens::Role;
use super::{Api, checks, commands};
use crate::config::Questions;

/// Whom a path is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// Load balancers and probes, which know nothing but the code.
    Probes,
    /// Whoever is to reach a server.
    Clients,
    /// People, and who watches for them.
    Readers,
}

/// A path that is not said to be for others is for readers.
pub(super) fn meant_for(path: &str) -> For {
    if checks::PATHS.iter().any(|(known, _)| *known == path) {
        For::Probes
    } else if path == "/routes" || path.starts_with("/routes/") {
        For::Clients
    } else {
        For::Readers
    }
}

/// Before a question is answered.
pub(super) async fn asked(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let open = match api.questions {
        Questions::Open => true,
        // Commands look for themselves.
        Questions::Token => !request.method().is_safe(),
    };
    let path = request.extensions().get::<MatchedPath>();
    let meant = path.map_or(For::Readers, |path| meant_for(path.as_str()));
    if open || meant == For::Clients {
        return next.run(request).await;
    }
    match (commands::who(&api, &request, Role::Viewer), meant) {
        (Ok(_), _) => next.run(request).await,
        (Err(_), For::Probes) => {
            let (mut head, _) = next.run(request).await.into_parts();
            head.headers.remove(axum::http::header::CONTENT_LENGTH);
            Response::from_parts(head, Body::empty())
        }
        (Err(refusal), For::Readers | For::Clients) => refusal.response(),
    }
}
