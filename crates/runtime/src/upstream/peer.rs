//! One address of an origin: its connections, how busy it is, how fast it answers, and how well it is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response, Version};

use super::connect::Connector;
use super::health::Health;
use super::{http1, http2};
use crate::proxy::{Body, Failure};

/// Share that a new measurement has in the latency: one in so many.
const LATENCY_WEIGHT: u64 = 8;
/// Share of the latency that is forgotten each time a peer is passed over because of it: one in so many. So a peer that
/// was slow is tried again, the sooner the less slow it was.
const FORGETTING: u64 = 32;

/// One address. It outlives the answers of DNS that name it, and ends with the last request that it carries.
#[derive(Debug)]
pub(crate) struct Peer {
    address: SocketAddr,
    http1: Arc<http1::Pool>,
    http2: http2::Channel,
    /// Requests whose answer is not complete.
    in_flight: AtomicUsize,
    /// Moving average of the time to a good answer's head, in microseconds; 0 before the first.
    latency: AtomicU64,
    health: Health,
}

/// A request that was not answered, and the request itself when the peer has seen nothing of it.
#[derive(Debug)]
pub(super) struct Undelivered {
    pub(super) failure: Failure,
    pub(super) request: Option<Box<Request<Body>>>,
    /// Whether it says anything of the peer. Who waited for a connection that somebody else was making knows nothing of
    /// its own, and a burst of them is one silence.
    pub(super) telling: bool,
}

impl Peer {
    pub(super) fn new(address: SocketAddr, connector: Connector, idle: Duration) -> Arc<Self> {
        let connector = Arc::new(connector);
        Arc::new(Self {
            address,
            http1: http1::Pool::new(Arc::clone(&connector), idle),
            http2: http2::Channel::new(connector),
            in_flight: AtomicUsize::new(0),
            latency: AtomicU64::new(0),
            health: Health::default(),
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Of good answers, in microseconds.
    pub(super) fn latency(&self) -> u64 {
        self.latency.load(Ordering::Relaxed)
    }

    /// Open ones: of HTTP/1.1 those that idle, of HTTP/2 all.
    pub(super) fn connections(&self) -> (usize, usize) {
        (self.http1.idle(), self.http2.open())
    }

    // Measurements that race overwrite one another, which costs an average nothing.
    pub(super) fn measure(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).clamp(1, u64::from(u32::MAX));
        let latency = match self.latency() {
            0 => took,
            old => (old * (LATENCY_WEIGHT - 1) + took) / LATENCY_WEIGHT,
        };
        self.latency.store(latency, Ordering::Relaxed);
    }

    pub(super) fn forget(&self) {
        let old = self.latency();
        self.latency.store(old - old.div_ceil(FORGETTING), Ordering::Relaxed);
    }

    /// Sends `request` in its own version and returns the head of the answer; bodies stream. A connection is made within
    /// `limit`.
    pub(super) async fn send(
        &self,
        request: Request<Body>,
        limit: Duration,
    ) -> Result<Response<Body>, Undelivered> {
        if request.version() == Version::HTTP_2 {
            self.http2.send(request, limit).await
        } else {
            self.http1.send(request, limit).await
        }
    }
}

/// Counts one request at its peer, until the answer's last byte.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Peer>);

impl InFlight {
    pub(super) fn at(peer: Arc<Peer>) -> Self {
        peer.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(peer)
    }

    pub(super) fn peer(&self) -> &Peer {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Undelivered {
    /// The peer may have seen the request.
    pub(super) fn lost(failure: Failure) -> Self {
        Self { failure, request: None, telling: true }
    }

    /// The peer has seen nothing of it.
    pub(super) fn unsent(failure: Failure, request: Request<Body>) -> Self {
        Self { failure, request: Some(Box::new(request)), telling: true }
    }
}
