//! Traefik's TraefikService.

use super::ingress_route::{RouteService, Sticky};
use serde::Serialize;

/// How requests are shared out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TraefikServiceSpec {
    pub(crate) weighted: Weighted,
}

/// By weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Weighted {
    /// Never empty: that would be answered by 503.
    pub(crate) services: Vec<WeightedService>,
    /// How a client is kept at one of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sticky: Option<Sticky>,
}

/// One of them, with its share of all weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WeightedService {
    #[serde(flatten)]
    pub(crate) service: RouteService,
    pub(crate) weight: u8,
}
