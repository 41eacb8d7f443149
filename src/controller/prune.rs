//! Deletes what the service owns and should no longer own.
//!
//! Every kind is covered by construction: candidates come from the cache of all watched kinds, not from a list of kinds
//! here. Preconditions on uid and resourceVersion keep a decision from hitting an object that changed since.

use kube::api::{DeleteParams, Preconditions, PropagationPolicy};
use tracing::info;

use super::apply::{Ownership, ownership};
use super::cache::ChildKey;
use super::child::Child;
use super::children::{Applied, Children};
use super::{Context, Service};
use crate::error::Error;

/// Deletes the service's children that `children` doesn't want.
///
/// # Errors
/// When a deletion is refused; the next attempt tries again.
pub async fn prune(children: &Children<Applied>, service: &Service, context: &Context) -> Result<(), Error> {
    for (key, child) in context.children.of_service(&service.key) {
        let ours = ownership(&child, service) == Ownership::Ours && child.owned.is_some();
        if ours && !child.deleting && !children.wants(&key) {
            delete(&key, &child, context).await?;
        }
    }
    Ok(())
}

async fn delete(key: &ChildKey, child: &Child, context: &Context) -> Result<(), Error> {
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(child.uid.to_string()),
            resource_version: Some(child.resource_version.to_string()),
        }),
        // A Job's pods go with it.
        propagation_policy: Some(PropagationPolicy::Background),
        ..DeleteParams::default()
    };
    match context.api(key).delete(&key.name, &params).await {
        Ok(_) => {
            info!(kind = key.kind.as_str(), child = &*key.name, "deleted a child");
            context.metrics.deleted(key.kind.as_str());
            context.applications.forget(key);
            context.children.remove(key, &child.uid);
            Ok(())
        }
        // Gone already, or changed since: the watch will say which, and bring us here again.
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        Err(source) => Err(Error::prune(key, source)),
    }
}
