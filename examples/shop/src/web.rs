//! The application's own HTTP. Knows nothing of clusters.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};

use crate::orders::{NoOrder, Orders, Wish};

/// `POST /orders` with an `Idempotency-Key`; `GET /orders/{id}` with the `X-Seen` that the answer to it bore.
pub fn router(orders: Arc<Orders>) -> Router {
    Router::new().route("/orders", post(place)).route("/orders/{id}", get(show)).with_state(orders)
}

async fn place(
    State(orders): State<Arc<Orders>>,
    headers: HeaderMap,
    Json(wish): Json<Wish>,
) -> Response {
    let Some(key) = header(&headers, "idempotency-key") else {
        let says = "give an Idempotency-Key: without it nobody can try again safely\n";
        return (StatusCode::BAD_REQUEST, says).into_response();
    };
    match orders.place(key, &wish).await {
        Ok(order) => {
            let seen = [("x-seen", order.seen.clone().unwrap_or_default())];
            (StatusCode::CREATED, seen, Json(order)).into_response()
        }
        Err(error) => error.into_response(),
    }
}

async fn show(
    State(orders): State<Arc<Orders>>,
    headers: HeaderMap,
    Path(id): Path<i64>,
) -> Response {
    match orders.show(id, header(&headers, "x-seen")).await {
        Ok(Some(order)) => Json(order).into_response(),
        Ok(None) => (StatusCode::NOT_FOUND, "there is no such order\n").into_response(),
        Err(error) => error.into_response(),
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().filter(|value| !value.is_empty())
}

impl IntoResponse for NoOrder {
    fn into_response(self) -> Response {
        match self {
            // 503: nothing was done, and whoever likes may try again.
            Self::NotDone(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
            // 504: it may have been done. With the same key, asking again is safe.
            Self::Unknown(why) => (StatusCode::GATEWAY_TIMEOUT, format!("it may be done: {why}")),
            Self::Refused(why) => (StatusCode::UNPROCESSABLE_ENTITY, why),
        }
        .into_response()
    }
}
