//! How Traefik connects to the pods, for routes that bound that.

use crate::edge::Edge;
use crate::labels;
use crate::traefik::ServersTransport;
use std::collections::BTreeMap;

/// Sorted by name.
pub(crate) fn servers_transports(edge: Option<&Edge<'_>>) -> Vec<ServersTransport> {
    let Some(edge) = edge else { return Vec::new() };
    let routers = edge.routers().into_values().flatten();
    let transports: BTreeMap<_, _> = routers.filter_map(|router| router.transport).collect();
    let objects = transports.into_iter();
    objects.map(|(name, spec)| ServersTransport::new(labels::metadata(edge.service, &name), spec)).collect()
}
