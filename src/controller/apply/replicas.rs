//! The number of pods where an autoscaler or `kubectl scale` owns it: written once, by a field manager of its own.
//!
//! If our main manager simply stopped sending `spec.replicas`, the server would reset it to 1. So the second manager takes
//! the live number first, and writes the minimum where nobody has written a number yet; whoever scales takes it over from
//! there, and it is never written again.

use goodgo_api::INITIAL_REPLICAS_MANAGER;
use serde_json::json;
use tracing::info;

use super::super::child::{Child, Observed};
use super::super::children::Manifest;
use super::super::{Context, Service};
use super::{Coverage, Ownership, Refused, Settled, live, ownership, send};
use crate::error::Error;

/// Settles a Deployment whose manifest leaves the number of pods to others.
pub(super) async fn settle(
    manifest: &Manifest,
    minimum: i32,
    service: &Service,
    context: &Context,
) -> Result<Settled, Error> {
    let known = context.children.get(&manifest.key);
    if let Some(child) = known.filter(|child| is_ours_alone(child, service)) {
        // Scaling was switched on: the number is handed over before the main manager lets go of it.
        match write(manifest, &child, minimum, context).await? {
            Settled::Live(_) => {}
            settled => return Ok(settled),
        }
    }
    match super::settle(manifest, service, context).await? {
        Settled::Live(child) if !child.replicas.others => write(manifest, &child, minimum, context).await,
        settled => Ok(settled),
    }
}

fn is_ours_alone(child: &Child, service: &Service) -> bool {
    let held_by_us_alone = child.replicas.ours && !child.replicas.others;
    held_by_us_alone && !child.deleting && ownership(child, service) == Ownership::Ours
}

async fn write(
    manifest: &Manifest,
    child: &Child,
    minimum: i32,
    context: &Context,
) -> Result<Settled, Error> {
    let running = match &child.observed {
        Observed::Rollout(rollout) => rollout.desired,
        Observed::Nothing | Observed::Job(_) => 0,
    };
    let Manifest { key, object, .. } = manifest;
    let replicas = running.max(minimum);
    let number = json!({
        "apiVersion": object.get("apiVersion"), "kind": object.get("kind"),
        "metadata": {"name": key.name, "namespace": key.namespace, "uid": child.uid},
        "spec": {"replicas": replicas},
    });
    match send(key, number, INITIAL_REPLICAS_MANAGER, context).await {
        Ok(answer) => {
            info!(child = &*key.name, replicas, "wrote the first number of replicas");
            Ok(live(&answer))
        }
        // Gone or recreated since: the event that says so is on its way.
        Err(Refused::Precondition) => Ok(Settled::Leaving(Coverage::Watched)),
        Err(Refused::Other(error)) => Err(error),
    }
}
