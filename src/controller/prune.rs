//! Deletes what the service owns and should no longer own.
//!
//! Every kind is covered by construction: candidates come from the cache of all watched kinds, not from a list of kinds
//! here. Preconditions on uid and resourceVersion keep a decision from hitting an object that changed since.

use goodgo_render::ChildKind;
use kube::api::{DeleteParams, Preconditions, PropagationPolicy};
use tokio::time::sleep;
use tracing::info;

use super::apply::{NOTICED, Ownership, ownership};
use super::cache::ChildKey;
use super::child::{Child, JobState, Observed};
use super::children::{Applied, Children};
use super::{Context, Service};
use crate::error::Error;

/// The cache may be behind once or twice while others write; more often would be a fault.
const ATTEMPTS: usize = 4;

/// Deletes the service's children that `children` doesn't want, as soon as nothing needs them any more.
///
/// That is after everything else is applied: until then the pods run as they were, with what they had. And what pods of an
/// earlier template start with stays until the last of them is replaced; the event of the Deployment that says so brings
/// us here again.
///
/// # Errors
/// When a deletion is refused; the next attempt tries again.
pub async fn prune(children: &Children<Applied>, service: &Service, context: &Context) -> Result<(), Error> {
    if !children.state.is_clear() || children.state.held_back {
        return Ok(());
    }
    let replaced = old_pods_are_gone(service, context);
    let left_over = left_over(children, service, context);
    if children.state.rerouted && !left_over.is_empty() {
        // Requests still come the old way until the gateway has noticed; pods that end go on for longer than it takes then.
        sleep(NOTICED).await;
    }
    for (key, child) in left_over {
        if !child.deleting && (replaced || !pods_start_with(key.kind)) {
            delete(&key, child, PropagationPolicy::Background, service, context).await?;
        }
    }
    Ok(())
}

/// Ends the migrate Jobs of earlier templates, so that two never run at once; says whether one is still ending.
///
/// One that runs is deleted in the foreground: it is listed until its pods are gone, and its last event brings us here
/// again.
///
/// # Errors
/// When a deletion is refused; the next attempt tries again.
pub async fn end_older_migrations<State>(
    children: &Children<State>,
    service: &Service,
    context: &Context,
) -> Result<bool, Error> {
    let mut ending = false;
    for (key, child) in left_over(children, service, context) {
        if key.kind != ChildKind::Job {
            continue;
        }
        let runs = child.observed == Observed::Job(JobState::Running);
        ending |= child.deleting || runs;
        if !child.deleting {
            let policy = if runs { PropagationPolicy::Foreground } else { PropagationPolicy::Background };
            delete(&key, child, policy, service, context).await?;
        }
    }
    Ok(ending)
}

fn left_over<State>(
    children: &Children<State>,
    service: &Service,
    context: &Context,
) -> Vec<(ChildKey, Child)> {
    let mut all = context.children.of_service(&service.key);
    all.retain(|(key, child)| is_ours(child, service) && !children.wants(key));
    all
}

fn is_ours(child: &Child, service: &Service) -> bool {
    ownership(child, service) == Ownership::Ours && child.owned.is_some()
}

/// A pod of an earlier template that is evicted or restarted in the middle of a rollout must find it.
const fn pods_start_with(kind: ChildKind) -> bool {
    matches!(kind, ChildKind::ConfigMap | ChildKind::ServiceAccount)
}

fn old_pods_are_gone(service: &Service, context: &Context) -> bool {
    let all = context.children.of_service(&service.key);
    let mut rollouts = all.into_iter().filter_map(|(_, child)| match child.observed {
        Observed::Rollout(rollout) => Some(rollout),
        _ => None,
    });
    rollouts.next().is_some_and(|first| first.is_replaced() && rollouts.all(|rollout| rollout.is_replaced()))
}

async fn delete(
    key: &ChildKey,
    mut child: Child,
    policy: PropagationPolicy,
    service: &Service,
    context: &Context,
) -> Result<(), Error> {
    for _ in 0..ATTEMPTS {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(child.uid.to_string()),
                resource_version: Some(child.resource_version.to_string()),
            }),
            // A Job's pods go with it.
            propagation_policy: Some(policy.clone()),
            ..DeleteParams::default()
        };
        match context.api(key).delete(&key.name, &params).await {
            Ok(_) => {
                info!(kind = key.kind.as_str(), child = &*key.name, "deleted a child");
                context.metrics.deleted(key.kind.as_str());
                context.applications.forget(key);
                if !matches!(policy, PropagationPolicy::Foreground) {
                    context.children.remove(key, &child.uid);
                }
                return Ok(());
            }
            Err(kube::Error::Api(status)) if status.code == 404 => {
                context.children.remove(key, &child.uid);
                return Ok(());
            }
            // Changed since, perhaps in its status alone, of which no event would bring us here again.
            Err(kube::Error::Api(status)) if status.code == 409 => {
                let found = context.api(key).get_opt(&key.name).await;
                let found = found.map_err(|source| Error::prune(key, source))?.and_then(|seen| seen.child);
                match found {
                    Some(now) if now.uid == child.uid && !now.deleting && is_ours(&now, service) => {
                        child = now
                    }
                    // Gone, another's or on its way out: the watch says so.
                    _ => return Ok(()),
                }
            }
            Err(source) => return Err(Error::prune(key, source)),
        }
    }
    Err(Error::Unsettled { kind: key.kind, name: key.name.to_string() })
}
