//! Relays the app's metrics, so that its port stays closed to monitoring.
//!
//! The body streams through, bounded in size and time: an app can't fill this process's memory, nor hold a scrape open.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::response::Response;
use bytes::Bytes;
use goodgo_runtime_config::AppMetrics;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use hyper::body::{Body as HttpBody, Frame, Incoming};
use tokio::time::Sleep;

use super::app::{self, Error};

/// Time for a whole scrape. Prometheus waits for ten seconds unless told otherwise.
const LIMIT: Duration = Duration::from_secs(10);
/// Largest answer, in bytes.
const MOST: u64 = 16 * 1024 * 1024;

/// The app's answer, with its content type.
///
/// # Errors
/// When there is none in time.
pub(super) async fn metrics(source: &AppMetrics, accept: Option<&HeaderValue>) -> Result<Response, Error> {
    let AppMetrics { port, path } = source;
    let deadline = Box::pin(tokio::time::sleep(LIMIT));
    let headers: HeaderMap = accept.map(|accept| (ACCEPT, accept.clone())).into_iter().collect();
    let answer = tokio::time::timeout_at(deadline.deadline(), app::get(*port, path, &headers))
        .await
        .unwrap_or(Err(Error::Timeout(LIMIT.as_secs() * 1000)))?;
    let (head, body) = answer.into_parts();
    let mut response = Response::new(axum::body::Body::new(Bounded { body, left: MOST, deadline }));
    *response.status_mut() = head.status;
    if let Some(content_type) = head.headers.get(CONTENT_TYPE) {
        response.headers_mut().insert(CONTENT_TYPE, content_type.clone());
    }
    Ok(response)
}

/// A body that breaks off when it is too long or takes too long.
struct Bounded {
    body: Incoming,
    left: u64,
    deadline: Pin<Box<Sleep>>,
}

/// Why it broke off.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("failed to relay the app's metrics: they are larger than {MOST} bytes")]
    TooLarge,
    #[error("failed to relay the app's metrics within {} s", LIMIT.as_secs())]
    TooSlow,
    #[error("failed to read the app's metrics: {0}")]
    Read(#[from] hyper::Error),
}

impl HttpBody for Bounded {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(Broken::TooSlow)));
        }
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            None => return Poll::Ready(None),
        };
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        Poll::Ready(Some(match self.left.checked_sub(length) {
            Some(left) => {
                self.left = left;
                Ok(frame)
            }
            None => Err(Broken::TooLarge),
        }))
    }
}
