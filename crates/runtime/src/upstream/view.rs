//! What `/endpoints` shows of one call: its pods, how busy and how fast they are, and which are left out and why. Looking
//! changes nothing: a name that rests is not looked up, and no probe is claimed.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::health::Ejected;
use super::peer::Peer;

/// The endpoints of one call.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Endpoints {
    /// Where the call goes: scheme, host and port.
    pub(super) target: String,
    pub(super) discovery: Discovery,
    /// Why DNS gives no address; only where `discovery` is `Unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    /// In the order of their addresses.
    pub(super) endpoints: Vec<Endpoint>,
}

/// Where the addresses come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Discovery {
    /// The target is an address.
    Fixed,
    /// DNS, which is asked again before its answer expires.
    Known,
    /// DNS, at some time before: nobody has called for a minute, and the next call looks again.
    Resting,
    /// There are none.
    Unknown,
}

/// One pod, or one address of an external host.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Endpoint {
    address: SocketAddr,
    /// Requests whose answer is not complete.
    in_flight: usize,
    /// Moving average of the time to a good answer's head; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_microseconds: Option<u64>,
    connections: Connections,
    /// Absent while it is in service.
    #[serde(skip_serializing_if = "Option::is_none")]
    ejected: Option<Ejection>,
}

/// Open connections to one endpoint.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Connections {
    /// HTTP/1.1, waiting for a request. One that carries a request is among `inFlight`.
    http1_idle: usize,
    /// HTTP/2, each for many requests.
    http2: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Ejection {
    /// `NoAnswer` (connections that failed, answers that did not come) or `ServerErrors` (clearly more than the others).
    reason: &'static str,
    /// Then one request is let through as a probe; in seconds since 1970-01-01 UTC.
    until_unix_seconds: u64,
    /// Whether the probe is under way.
    probing: bool,
    /// How often in a row, less what is forgiven.
    times: u32,
}

impl Endpoint {
    pub(super) fn of(peer: &Peer) -> Self {
        let (http1_idle, http2) = peer.connections();
        Self {
            address: peer.address(),
            in_flight: peer.in_flight(),
            latency_microseconds: Some(peer.latency()).filter(|latency| *latency > 0),
            connections: Connections { http1_idle, http2 },
            ejected: peer.health().ejected().map(Ejection::from),
        }
    }
}

impl From<Ejected> for Ejection {
    fn from(Ejected { reason, left, probing, times }: Ejected) -> Self {
        let until = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO) + left;
        Self { reason, until_unix_seconds: until.as_secs(), probing, times }
    }
}
