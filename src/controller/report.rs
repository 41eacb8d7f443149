//! The one place that writes a status, and the Events that tell of its changes.

use goodgo_api::{FIELD_MANAGER, GROUP, GoodGoService, GoodGoServiceStatus, VERSION};
use goodgo_render::{ChildKind, NotActive, Violation, canary_name};
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::time::Instant;

use super::apply::{Ownership, ownership};
use super::cache::ChildKey;
use super::child::{Observed, Rollout};
use super::children::{Applied, Children};
use super::dereference::Input;
use super::events;
use super::status::{self, Facts};
use super::{Context, Service};
use crate::error::Error;

/// How far a reconcile came.
pub enum Outcome {
    /// The service asks to be left alone.
    Suspended,
    /// The spec can't be carried out: nothing was touched.
    Invalid(Vec<Violation>),
    /// A request failed.
    Failed(Error),
    /// Everything was tried.
    Applied {
        /// What the server has.
        children: Box<Children<Applied>>,
        /// What was declared and is not acted on yet.
        not_active: Vec<NotActive>,
    },
}

/// When to look at the service again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// When a watch says so.
    Settled,
    /// At this instant at the latest.
    At(Instant),
    /// Now and then: what is in the way is not watched.
    Blocked,
}

impl Next {
    /// The label in metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Settled => "ok",
            Self::At(_) => "contended",
            Self::Blocked => "blocked",
        }
    }
}

/// Writes the status if it differs from the one that stands, publishes what changed, and says when to look again.
///
/// # Errors
/// The failure of the outcome itself, or [`Error::Status`].
pub async fn report(input: &Input, outcome: Outcome, context: &Context) -> Result<Next, Error> {
    let previous = context.status(&input.service.key, &input.object);
    let rollout = rollout(&input.service, &input.service.key.name, context);
    let canary = canary(&input.service, context).filter(|_| input.object.spec.canary.is_some());
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let status = status::status(&Facts {
        input,
        outcome: &outcome,
        rollout: rollout.as_ref(),
        canary: canary.as_ref(),
        in_force: context.in_force.verdict(&input.service.key, &input.service.uid),
        previous: &previous,
        now,
    });
    if status != previous {
        write(input, &status, context).await?;
        events::publish_changes(&input.object, &previous, &status, context).await;
    }
    next(outcome)
}

fn next(outcome: Outcome) -> Result<Next, Error> {
    match outcome {
        Outcome::Failed(error) if error.is_namespace_terminating() => Ok(Next::Settled),
        Outcome::Failed(error) => Err(error),
        Outcome::Suspended | Outcome::Invalid(_) => Ok(Next::Settled),
        Outcome::Applied { children, not_active: _ } => {
            // Conflicts and leaving children that are watched wait for their event, as does the migrate step.
            let Applied { contended, unwatched, .. } = children.state;
            let earliest = contended.iter().map(|(_, until)| *until).min();
            Ok(if unwatched { Next::Blocked } else { earliest.map_or(Next::Settled, Next::At) })
        }
    }
}

/// The canary's Deployment as it was seen last.
pub(super) fn canary(service: &Service, context: &Context) -> Option<Rollout> {
    rollout(service, &canary_name(&service.key.name), context)
}

/// The Deployment of this name as it was seen last, if it is the service's.
pub(super) fn rollout(service: &Service, name: &str, context: &Context) -> Option<Rollout> {
    let key = ChildKey::new(ChildKind::Deployment, &service.key.namespace, name);
    let child = context.children.get(&key)?;
    let ours = ownership(&child, service) == Ownership::Ours;
    match child.observed {
        Observed::Rollout(rollout) if ours => Some(*rollout),
        _ => None,
    }
}

async fn write(input: &Input, status: &GoodGoServiceStatus, context: &Context) -> Result<(), Error> {
    let key = &input.service.key;
    let api: Api<GoodGoService> = Api::namespaced(context.client.clone(), &key.namespace);
    // With the uid, so that a successor of the same name never gets its predecessor's status.
    let object = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"), "kind": "GoodGoService",
        "metadata": {"name": key.name, "namespace": key.namespace, "uid": input.service.uid},
        "status": status,
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    match api.patch_status(&key.name, &params, &Patch::Apply(object)).await {
        Ok(answer) => {
            context.metrics.status_written();
            context.status_written(key, &answer, status.clone());
            Ok(())
        }
        // Deleted meanwhile: nobody is left to be told.
        Err(kube::Error::Api(answer)) if answer.code == 404 || answer.code == 409 => Ok(()),
        Err(source) => Err(Error::Status(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_watch_covers_is_polled() {
        let key = ChildKey::new(ChildKind::Service, "shop", "a");
        let next_of = |state: Applied| {
            let children = Children {
                foundation: vec![],
                migration: None,
                workload: vec![],
                gateway: vec![],
                in_pod: true,
                routes: vec![],
                url: None,
                config_revision: None,
                state,
            };
            next(Outcome::Applied { children: Box::new(children), not_active: vec![] }).unwrap()
        };
        let (until, none) = (Instant::now(), Applied::default);
        assert_eq!(next_of(none()), Next::Settled);
        assert_eq!(next_of(Applied { leaving: vec![key.clone()], ..none() }), Next::Settled);
        assert_eq!(next_of(Applied { conflicts: vec![key.clone()], ..none() }), Next::Settled);
        let unwatched = Applied { conflicts: vec![key.clone()], unwatched: true, ..none() };
        assert_eq!(next_of(unwatched), Next::Blocked);
        assert_eq!(next_of(Applied { contended: vec![(key, until)], ..none() }), Next::At(until));
    }
}
