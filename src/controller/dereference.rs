//! What a reconcile works on: taken from caches alone, without I/O, and not changing under its hands.

use std::sync::Arc;

use goodgo_api::GoodGoService;
use goodgo_fleet::{FleetView, ServiceKey};
use goodgo_render::{Observed, PlatformConfig};
use goodgo_runtime_config::Issuer;

use super::{Context, Service, report};
use crate::error::Error;

/// One service, what it sees of the others, the platform's configuration and the issuers of identities.
pub struct Input {
    /// The object.
    pub object: Arc<GoodGoService>,
    /// Who it is.
    pub service: Service,
    /// What it sees of the fleet.
    pub view: FleetView,
    /// What was seen of its pods.
    pub observed: Observed,
    /// The configuration at this moment.
    pub platform: Arc<PlatformConfig>,
    /// Whose tokens are believed.
    pub issuers: Arc<Vec<Issuer>>,
}

/// Collects the input of one reconcile.
///
/// # Errors
/// [`Error::Incomplete`] for an object that was never on a server.
pub fn dereference(object: Arc<GoodGoService>, context: &Context) -> Result<Input, Error> {
    let metadata = &object.metadata;
    let key = ServiceKey::new(
        metadata.namespace.as_deref().ok_or(Error::Incomplete("metadata.namespace"))?,
        metadata.name.as_deref().ok_or(Error::Incomplete("metadata.name"))?,
    );
    let uid = metadata.uid.as_deref().ok_or(Error::Incomplete("metadata.uid"))?.into();
    let generation = metadata.generation;
    let view = context.fleet().view(&key);
    let service = Service { key, uid, generation };
    let canary = report::canary(&service, context);
    let observed = Observed { canary_available: canary.map_or(0, |rollout| rollout.available_percent()) };
    let (platform, issuers) = (context.platform.load_full(), context.issuers.current());
    Ok(Input { object, service, view, observed, platform, issuers })
}
