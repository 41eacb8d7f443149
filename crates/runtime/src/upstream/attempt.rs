//! One request at one peer: counts it as in flight, and tells the peer's health what came of it.
//!
//! Whoever makes the try may drop it at any time. That is the peer's fault only when a time limit was the reason, which
//! the layer with the limit says through [`Try`]. A client that goes away is not, however long it waited: it may have
//! listened to a stream, or polled.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Response, StatusCode};
use tokio::time::Instant;

use super::Avoid;
use super::balance::Set;
use super::connect::CONNECT_LIMIT;
use super::health::Verdict;
use super::peer::{InFlight, Peer};
use super::sent::Sent;
use crate::proxy::grpc::GRPC_STATUS;
use crate::proxy::{Body, Failure};

/// What the maker of a try and the upstream tell each other about it; made anew for each.
#[derive(Debug)]
pub(crate) struct Try {
    connect_limit: Duration,
    avoid: Avoid,
    endpoint: Mutex<Option<SocketAddr>>,
    timed_out: AtomicBool,
}

impl Default for Try {
    fn default() -> Self {
        Self::new(CONNECT_LIMIT, Avoid::default())
    }
}

impl Try {
    /// A try that connects within `connect_limit`, name resolution included, and goes to one of `avoid` only when there is
    /// no other endpoint.
    pub(crate) fn new(connect_limit: Duration, avoid: Avoid) -> Self {
        Self { connect_limit, avoid, endpoint: Mutex::default(), timed_out: AtomicBool::new(false) }
    }

    pub(super) fn connect_limit(&self) -> Duration {
        self.connect_limit
    }

    pub(super) fn avoid(&self) -> &Avoid {
        &self.avoid
    }

    /// Where the try went; none before it went anywhere.
    pub(crate) fn endpoint(&self) -> Option<SocketAddr> {
        *self.endpoint.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn goes_to(&self, endpoint: SocketAddr) {
        *self.endpoint.lock().unwrap_or_else(PoisonError::into_inner) = Some(endpoint);
    }

    /// A time limit is why the try is about to be dropped. Said before that.
    pub(crate) fn timed_out(&self) {
        self.timed_out.store(true, Ordering::Relaxed);
    }
}

/// One request at one peer.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    set: &'a Arc<Set>,
    /// Until the outcome is known.
    under_way: Option<InFlight>,
    begun: Instant,
    /// When the peer had all of the request's body; none where there is no body.
    sent: Option<&'a Sent>,
    how: &'a Try,
}

impl<'a> Attempt<'a> {
    pub(super) fn begin(set: &'a Arc<Set>, peer: &Arc<Peer>, how: &'a Try, sent: Option<&'a Sent>) -> Self {
        how.goes_to(peer.address());
        Self { set, under_way: Some(InFlight::at(Arc::clone(peer))), begun: Instant::now(), sent, how }
    }

    /// The head of the answer is there; the peer stays busy until its body has ended.
    pub(super) fn answered(mut self, response: Response<Body>) -> Response<Body> {
        let Some(in_flight) = self.under_way.take() else { return response };
        let verdict = verdict(&response);
        // An answer that came before the body's end was not waited for.
        let since = self.sent.map_or(Some(self.begun), Sent::ended);
        if verdict == Verdict::Well
            && let Some(since) = since
        {
            in_flight.peer().measure(since.max(self.begun).elapsed());
        }
        self.note(in_flight.peer(), verdict);
        response.map(|body| body.carried(in_flight))
    }

    /// There will be no answer; returns how long it took to know. Not `telling`, it says nothing of the peer.
    pub(super) fn failed(mut self, failure: &Failure, telling: bool) -> Duration {
        let verdict = match failure {
            Failure::Connect { .. }
            | Failure::ConnectTimeout { .. }
            | Failure::Tls { .. }
            | Failure::Exchange { .. }
                if telling =>
            {
                Verdict::Silent
            }
            _ => Verdict::Nothing,
        };
        if let Some(in_flight) = self.under_way.take() {
            self.note(in_flight.peer(), verdict);
        }
        self.begun.elapsed()
    }

    fn note(&self, peer: &Peer, verdict: Verdict) {
        if let Some(lasts) = peer.health().note(verdict, || self.set.health()) {
            let (endpoint, seconds) = (peer.address(), lasts.as_secs());
            tracing::warn!(%endpoint, seconds, ?verdict, "endpoint ejected: worse than the others");
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let Some(in_flight) = self.under_way.take() else { return };
        let waits_for_client = self.sent.is_some_and(Sent::lacks_more);
        let silent = self.how.timed_out.load(Ordering::Relaxed) && !waits_for_client;
        let verdict = if silent { Verdict::Silent } else { Verdict::Nothing };
        self.note(in_flight.peer(), verdict);
    }
}

/// Server errors, and their counterparts in gRPC. What the callee does not implement is no sign of bad health.
fn verdict(response: &Response<Body>) -> Verdict {
    let status = response.status();
    if status == StatusCode::OK && !response.headers().contains_key(GRPC_STATUS) {
        return Verdict::Well;
    }
    let failing = match status {
        StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED => false,
        status if status.is_server_error() => true,
        // UNKNOWN, INTERNAL, UNAVAILABLE, DATA_LOSS
        _ => response
            .headers()
            .get(GRPC_STATUS)
            .is_some_and(|code| matches!(code.as_bytes(), b"2" | b"13" | b"14" | b"15")),
    };
    if failing { Verdict::Failing } else { Verdict::Well }
}

#[cfg(test)]
mod tests;
