//! One request and its answer, from its head to the last byte: what is known about it, and where it is counted.
//!
//! It starts in `proxy::observe`, moves into the answer's body and counts when that is dropped, which is the one thing
//! that happens to every request: answered, broken off, or left by a client that went away.

use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, Method, Response, StatusCode};

use super::series::Outcome;
use super::table::{self, Position, Table};
use super::{Guard, ListenerMetrics, Seen};
use crate::proxy::grpc;
use crate::spans::{End, Recording};

/// An answer of the runtime's own making. An extension of responses, set by `proxy::answer`.
#[derive(Debug, Clone)]
pub(crate) struct Own {
    /// The problem's `reason`.
    pub(crate) reason: String,
}

/// A request under way.
#[derive(Debug)]
pub(crate) struct Exchange {
    listener: Arc<ListenerMetrics>,
    known: Known,
    method: usize,
    route: usize,
    started: Instant,
    /// Where the trace records it; none for what is not sampled.
    span: Option<Box<Recording>>,
    status: Option<StatusCode>,
    grpc: Grpc,
    own: Option<Own>,
    /// The answer's body ended with an error.
    broken: bool,
    _in_flight: Guard,
}

/// Who the peer is.
#[derive(Debug)]
enum Known {
    /// It may turn out further inside.
    Later(Seen),
    /// The only one that this table has.
    Only(Arc<Table>),
}

/// How gRPC tells its result, which HTTP's status does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grpc {
    /// It is not gRPC.
    Not,
    /// Its status comes with the trailers.
    Pending,
    /// `grpc-status`.
    Status(u8),
}

impl Exchange {
    /// Starts the clock. `Seen` goes into the request where the peer is yet to be proven.
    pub(super) fn start(
        listener: Arc<ListenerMetrics>,
        table: Arc<Table>,
        method: &Method,
        path: &str,
    ) -> (Self, Option<Seen>) {
        let route = table.route(method, path);
        let (known, seen) = match table.leg {
            super::Leg::Service => {
                let seen = Seen::new(table);
                (Known::Later(seen.clone()), Some(seen))
            }
            super::Leg::Gateway | super::Leg::Call(_) => (Known::Only(table), None),
        };
        let exchange = Self {
            _in_flight: listener.request(),
            known,
            method: table::method(method),
            route,
            started: Instant::now(),
            span: None,
            status: None,
            grpc: Grpc::Not,
            own: None,
            broken: false,
            listener,
        };
        (exchange, seen)
    }

    /// Records it in a trace as well.
    pub(crate) fn trace(&mut self, span: Option<Box<Recording>>) {
        self.span = span;
    }

    /// The answer's head is there.
    pub(crate) fn answered<B>(&mut self, response: &mut Response<B>) {
        self.status = Some(response.status());
        self.listener.answered(response.status());
        self.own = response.extensions_mut().remove();
        if grpc::is_grpc(response.headers()) {
            // Without a message the status stands in the head.
            self.grpc = grpc::status(response.headers()).map_or(Grpc::Pending, Grpc::Status);
        }
    }

    /// The answer's trailers are there.
    pub(crate) fn trailers(&mut self, trailers: &HeaderMap) {
        if self.grpc == Grpc::Pending
            && let Some(status) = grpc::status(trailers)
        {
            self.grpc = Grpc::Status(status);
        }
    }

    /// The answer's body broke off.
    pub(crate) fn broken(&mut self) {
        self.broken = true;
    }

    fn outcome(&self) -> Outcome {
        let failed = self.status.is_some_and(|status| status.is_server_error());
        let grpc = matches!(self.grpc, Grpc::Status(status) if grpc::is_server_fault(status));
        let late = self.status == Some(StatusCode::GATEWAY_TIMEOUT)
            || self.grpc == Grpc::Status(grpc::DEADLINE_EXCEEDED);
        Outcome { error: failed || grpc || self.broken, timeout: self.own.is_some() && late }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let (table, peer): (&Table, usize) = match &self.known {
            Known::Later(seen) => (seen.table(), seen.peer_position()),
            Known::Only(table) => (table, 0),
        };
        let class = table::class(self.status);
        let at = Position { peer, route: self.route, method: self.method, class };
        let outcome = self.outcome();
        if let Some(series) = table.series(at) {
            series.record(self.started.elapsed(), outcome);
        }
        if let Some(span) = self.span.take() {
            let reason = match (self.own.take(), self.status) {
                (Some(own), _) => Some(own.reason),
                (None, None) => Some("Cancelled".to_owned()),
                (None, Some(_)) => self.broken.then(|| "AnswerBroken".to_owned()),
            };
            span.end(End {
                status: self.status,
                reason,
                error: outcome.error,
                grpc: if let Grpc::Status(status) = self.grpc { Some(status) } else { None },
                route: table.route_label(self.route).to_owned(),
                peer: table.peer_label(peer).to_owned(),
                target: table.target.clone(),
            });
        }
    }
}
