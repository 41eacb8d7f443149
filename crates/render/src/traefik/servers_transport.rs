//! Traefik's ServersTransport. Its durations are Go's, which have no days.

use serde::Serialize;

/// How Traefik connects to pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServersTransportSpec {
    pub(crate) forwarding_timeouts: ForwardingTimeouts,
}

/// Bounds of one try.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ForwardingTimeouts {
    /// Until the connection is made; 30 s unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dial_timeout: Option<String>,
    /// From the request's last byte to the answer's head; unbounded unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) response_header_timeout: Option<String>,
}
