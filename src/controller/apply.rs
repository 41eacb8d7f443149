//! Makes the server have every child, with a request for those alone whose live state differs.
//!
//! Never overwrites what this operator did not create for this service, and without a race: a child that was not seen is
//! sent with `resourceVersion: "1"`, which the server refuses with 409 when *anything* stands there, even to a forced
//! apply; a child that was seen is sent with its `uid`, refused with 409 when it is gone and with 422 when somebody
//! recreated it. So a decision taken from the cache can't hit another object than the one it was taken on.

mod replicas;

use std::slice;
use std::time::Duration;

use goodgo_api::FIELD_MANAGER;
use goodgo_managed_fields::Digest;
use goodgo_render::ChildKind;
use kube::api::{Patch, PatchParams};
use kube::core::Status;
use serde_json::Value;
use tokio::time::{Instant, sleep};
use tracing::info;

use super::cache::ChildKey;
use super::child::{Child, JobState, Observed, Seen};
use super::children::{Applied, Children, Manifest, Migration, Prepared};
use super::contention::Verdict;
use super::{Context, Service, prune};
use crate::error::Error;

/// The cache may be wrong about a child once or twice while others write; more often would be a fault.
const ATTEMPTS: usize = 4;

/// Traefik follows each kind by a watch of its own, and takes a route whose step it hasn't seen for a mistake, as it does one
/// whose step is gone already. So what a route names is there for so long before it, and after it.
pub(super) const NOTICED: Duration = Duration::from_millis(250);

/// Applies the children in four steps, each only after the one before is there: what pods need, the migrate step, the
/// workload, the gateway's routes. Within a step every child is tried, also after one was refused, so that a refusal keeps no other child from
/// being repaired and all conflicts are reported at once.
///
/// # Errors
/// When a request fails or is refused; what was applied until then stays and is found by the next attempt.
pub async fn apply(
    children: Children<Prepared>,
    service: &Service,
    context: &Context,
) -> Result<Children<Applied>, Error> {
    let mut applied = Applied::default();
    step(&children.foundation, &mut applied, service, context).await?;
    if applied.is_clear()
        && let Some(job) = &children.migration
    {
        if prune::end_older_migrations(&children, service, context).await? {
            applied.migration = Migration::Waiting;
        } else {
            step(slice::from_ref(job), &mut applied, service, context).await?;
        }
    }
    if applied.is_clear() {
        step(&children.workload, &mut applied, service, context).await?;
    }
    if applied.lets_routes() {
        open(&children, &mut applied, service, context).await?;
    } else {
        let kinds = children.routes.iter().map(|manifest| manifest.key.kind);
        applied.missing.extend(kinds.filter(|kind| !context.kinds.are_served(*kind)));
    }
    Ok(children.with(applied))
}

/// Routes, and where the gateway finds the pods. With the runtime the pods authenticate, without it the gateway does: so the
/// pods are shown to the gateway before its routes ask less, and after they ask more. Should one not come about, the other
/// stays as it was, and requests are refused on one side.
async fn open(
    children: &Children<Prepared>,
    applied: &mut Applied,
    service: &Service,
    context: &Context,
) -> Result<(), Error> {
    let is_there = |manifest: &Manifest| context.children.get(&manifest.key).is_some();
    // What isn't there yet is followed by nobody, and needs no pause.
    let changes = |manifests: &[Manifest]| {
        let owned = |manifest: &Manifest| context.children.get(&manifest.key).map(|child| child.owned);
        manifests.iter().any(|manifest| owned(manifest).is_some_and(|owned| owned != Some(manifest.digest)))
    };
    if applied.made_what_routes_name && changes(&children.routes) {
        sleep(NOTICED).await;
    }
    // What isn't there is named by no route yet.
    let pods_first = children.in_pod || !children.gateway.iter().all(is_there);
    let (first, then) = if pods_first {
        (&children.gateway, &children.routes)
    } else {
        (&children.routes, &children.gateway)
    };
    let both_change = changes(first) && changes(then);
    step(first, applied, service, context).await?;
    if applied.lets_routes() {
        if both_change {
            sleep(NOTICED).await;
        }
        step(then, applied, service, context).await?;
    }
    Ok(())
}

/// Settles every child of a step; fails with the first refusal when all were tried, or at once without an answer.
async fn step(
    manifests: &[Manifest],
    applied: &mut Applied,
    service: &Service,
    context: &Context,
) -> Result<(), Error> {
    let mut refused = None;
    for manifest in manifests {
        if !context.kinds.are_served(manifest.key.kind) {
            applied.missing.insert(manifest.key.kind);
            continue;
        }
        let before = context.children.get(&manifest.key).map(|child| child.owned);
        let settled = match manifest.initial_replicas {
            Some(minimum) => replicas::settle(manifest, minimum, service, context).await,
            None => settle(manifest, service, context).await,
        };
        match settled {
            Ok(settled) => {
                applied.touch(manifest.key.kind, before, &settled);
                applied.record(&manifest.key, settled, context);
            }
            Err(error) if error.is_refusal() => refused = refused.or(Some(error)),
            Err(error) => return Err(error),
        }
    }
    refused.map_or(Ok(()), Err)
}

/// Where one child ended up.
enum Settled {
    /// There, and as desired or as an admission plug-in makes it.
    Live(Box<Child>),
    /// Something that is not ours stands there.
    Foreign(Coverage),
    /// On its way out.
    Leaving(Coverage),
    /// Somebody keeps undoing it; left alone until then.
    Contended(Instant),
}

/// Whether the removal of what is in the way will be seen.
enum Coverage {
    /// The cache knows it, so its watch will tell.
    Watched,
    /// Found by a request: without our label no watch covers it.
    Unwatched,
}

/// To whom an object belongs.
#[derive(Debug, PartialEq, Eq)]
pub enum Ownership {
    /// This service's child, or one that lost its owner reference.
    Ours,
    /// A child of the same service's predecessor, which the garbage collector will remove.
    Predecessors,
    /// Somebody else's.
    Foreign,
}

/// Judges an object where a child of `service` belongs.
#[must_use]
pub fn ownership(child: &Child, service: &Service) -> Ownership {
    match &child.owner {
        Some(owner) if *owner.uid == *service.uid => Ownership::Ours,
        Some(owner) if &*owner.kind == "GoodGoService" && *owner.name == *service.key.name => {
            Ownership::Predecessors
        }
        Some(_) => Ownership::Foreign,
        // No controller at all: ours when our manager applied it (the reference was stripped, or the service was deleted
        // without its children), else somebody's own object.
        None if child.owned.is_some() => Ownership::Ours,
        None => Ownership::Foreign,
    }
}

async fn settle(manifest: &Manifest, service: &Service, context: &Context) -> Result<Settled, Error> {
    let Manifest { key, object, digest, initial_replicas: _ } = manifest;
    for _ in 0..ATTEMPTS {
        let known = context.children.get(key);
        if let Some(child) = &known {
            match ownership(child, service) {
                Ownership::Ours if child.deleting => return Ok(Settled::Leaving(Coverage::Watched)),
                Ownership::Ours if child.owned == Some(*digest) => return Ok(live(child)),
                // A Job can't be changed. One of this name was made for this pod template, and that is what counts.
                Ownership::Ours if key.kind == ChildKind::Job => return Ok(live(child)),
                Ownership::Ours => {}
                Ownership::Predecessors => return Ok(Settled::Leaving(Coverage::Watched)),
                Ownership::Foreign => return Ok(Settled::Foreign(Coverage::Watched)),
            }
        }
        let owned = known.as_ref().and_then(|child| child.owned);
        match (context.applications.judge(key, *digest, owned, Instant::now()), &known) {
            (Verdict::Accepted, Some(child)) => return Ok(live(child)),
            (Verdict::Wait(until), _) => return Ok(Settled::Contended(until)),
            _ => {}
        }
        let precondition = known.as_ref().map_or(("resourceVersion", "1"), |child| ("uid", &*child.uid));
        match send(key, with(object, precondition), FIELD_MANAGER, context).await {
            Ok(answer) => {
                let action = if known.is_some() { "changed" } else { "created" };
                info!(kind = key.kind.as_str(), child = &*key.name, action, "applied a child");
                context.applications.applied(key, *digest, answer.owned, Instant::now());
                return Ok(live(&answer));
            }
            Err(Refused::Precondition) => {
                if let Some(settled) = look_again(key, known.as_ref(), service, context).await? {
                    return Ok(settled);
                }
            }
            Err(Refused::Other(error)) => return Err(error),
        }
    }
    Err(Error::Unsettled { kind: key.kind, name: key.name.to_string() })
}

/// A precondition failed, so the cache is behind: the child that it knows is gone, or one stands where it knows none.
/// Gives where that leaves the child, or nothing when it can be tried again.
async fn look_again(
    key: &ChildKey,
    known: Option<&Child>,
    service: &Service,
    context: &Context,
) -> Result<Option<Settled>, Error> {
    if let Some(child) = known {
        context.children.remove(key, &child.uid);
        return Ok(None);
    }
    let found = context.api(key).get_opt(&key.name).await.map_err(|source| Error::apply(key, source))?;
    let Some(child) = found.and_then(|seen| seen.child) else { return Ok(None) };
    match ownership(&child, service) {
        Ownership::Ours => {
            context.children.upsert(key.clone(), child);
            Ok(None)
        }
        // Not into the cache: without our label no watch would ever tell that it is gone.
        Ownership::Predecessors => Ok(Some(Settled::Leaving(Coverage::Unwatched))),
        Ownership::Foreign => Ok(Some(Settled::Foreign(Coverage::Unwatched))),
    }
}

/// Why a request was not carried out.
enum Refused {
    /// The object is not the one that the decision was taken on.
    Precondition,
    /// Anything else.
    Other(Error),
}

async fn send(key: &ChildKey, object: Value, manager: &str, context: &Context) -> Result<Child, Refused> {
    let params = PatchParams::apply(manager).force();
    match context.api(key).patch(&key.name, &params, &Patch::Apply(object)).await {
        Ok(Seen { child: Some(child), .. }) => {
            context.metrics.applied(key.kind.as_str());
            context.children.upsert(key.clone(), child.clone());
            Ok(child)
        }
        Ok(Seen { child: None, .. }) => {
            Err(Refused::Other(Error::Answer { kind: key.kind, name: key.name.to_string() }))
        }
        Err(kube::Error::Api(status)) if is_precondition(&status) => Err(Refused::Precondition),
        Err(source) => Err(Refused::Other(Error::apply(key, source))),
    }
}

/// 409: gone, or something stands there; 422 on the uid: recreated.
fn is_precondition(status: &Status) -> bool {
    let names_uid = || {
        let causes = status.details.iter().flat_map(|details| &details.causes);
        causes.into_iter().any(|cause| cause.field == "metadata.uid")
    };
    status.code == 409 || (status.code == 422 && names_uid())
}

fn with(object: &Value, (field, value): (&str, &str)) -> Value {
    let mut object = object.clone();
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.insert(field.to_owned(), value.into());
    }
    object
}

fn live(child: &Child) -> Settled {
    Settled::Live(Box::new(child.clone()))
}

impl Applied {
    /// Remembers what the gateway has to notice; `before` is what was owned of the child, if it was there.
    fn touch(&mut self, kind: ChildKind, before: Option<Option<Digest>>, settled: &Settled) {
        use ChildKind::{IngressRoute, Middleware, ServersTransport, TraefikService};
        let Settled::Live(child) = settled else { return };
        let named = matches!(kind, Middleware | ServersTransport | TraefikService);
        self.made_what_routes_name |= named && before.is_none();
        self.rerouted |= matches!(kind, IngressRoute | TraefikService) && before != Some(child.owned);
    }

    fn record(&mut self, key: &ChildKey, settled: Settled, context: &Context) {
        match settled {
            Settled::Live(child) => match child.observed {
                Observed::Job(JobState::Running) => self.migration = Migration::Running,
                Observed::Job(JobState::Failed) => self.migration = Migration::Failed,
                Observed::Job(JobState::Succeeded) | Observed::Rollout(_) | Observed::Nothing => {}
            },
            Settled::Foreign(coverage) => {
                self.unwatched |= matches!(coverage, Coverage::Unwatched);
                self.conflicts.push(key.clone());
            }
            Settled::Leaving(coverage) => {
                self.unwatched |= matches!(coverage, Coverage::Unwatched);
                self.leaving.push(key.clone());
            }
            Settled::Contended(until) => {
                self.held_back = true;
                return self.contended.push((key.clone(), until));
            }
        }
        if let Some(until) = context.applications.contended_until(key, Instant::now()) {
            self.contended.push((key.clone(), until));
        }
    }
}

#[cfg(test)]
mod tests {
    use goodgo_fleet::ServiceKey;
    use goodgo_managed_fields::digest;
    use serde_json::json;

    use super::super::child::{Owner, ReplicaOwners};
    use super::*;

    fn child(owner: Option<(&str, &str, &str)>, applied: bool) -> Child {
        let owner =
            owner.map(|(kind, name, uid)| Owner { kind: kind.into(), name: name.into(), uid: uid.into() });
        Child {
            uid: "u".into(),
            resource_version: "1".into(),
            owner,
            service: None,
            deleting: false,
            owned: applied.then(|| digest(&json!({}))),
            replicas: ReplicaOwners::default(),
            observed: Observed::Nothing,
        }
    }

    #[test]
    fn whose_an_object_is_depends_on_its_controller_and_on_who_applied_it() {
        let service = Service { key: ServiceKey::new("shop", "a"), uid: "now".into(), generation: Some(1) };
        let judged = |owner, applied| ownership(&child(owner, applied), &service);
        assert_eq!(judged(Some(("GoodGoService", "a", "now")), false), Ownership::Ours);
        assert_eq!(judged(Some(("GoodGoService", "a", "before")), true), Ownership::Predecessors);
        assert_eq!(judged(Some(("GoodGoService", "b", "other")), true), Ownership::Foreign);
        assert_eq!(judged(Some(("ReplicaSet", "a", "other")), true), Ownership::Foreign);
        assert_eq!(judged(None, true), Ownership::Ours);
        assert_eq!(judged(None, false), Ownership::Foreign);
    }

    #[test]
    fn only_a_refusal_about_the_uid_or_a_conflict_is_a_precondition() {
        let status = |code: u16, field: &str| -> Status {
            serde_json::from_value(json!({
                "code": code, "reason": "x", "details": {"causes": [{"field": field, "message": "m", "reason": "r"}]},
            }))
            .unwrap()
        };
        assert!(is_precondition(&status(409, "")));
        assert!(is_precondition(&status(422, "metadata.uid")));
        assert!(!is_precondition(&status(422, "spec.selector")));
        assert!(!is_precondition(&status(403, "metadata.uid")));
    }
}
