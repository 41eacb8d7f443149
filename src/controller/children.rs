//! What a service should own, and proof of how far the server has it.
//!
//! [`Children<Prepared>`] are manifests; only [`super::apply`] turns them into [`Children<Applied>`], and only from those
//! can a status be computed. Both conversions name every kind: a new one can't be forgotten.

use std::collections::BTreeSet;

use goodgo_managed_fields::{Digest, digest};
use goodgo_render::ChildKind;
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use super::cache::ChildKey;
use crate::error::Error;

/// A child as it should be.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Where it stands.
    pub key: ChildKey,
    /// The whole object, as it is sent.
    pub object: Value,
    /// Hash of the object.
    pub digest: Digest,
    /// Of a Deployment that leaves the number of its pods to an autoscaler or to `kubectl scale`: pods to start with.
    pub initial_replicas: Option<i32>,
}

/// Everything that a service should own, in a state of being applied.
#[derive(Clone, Debug)]
pub struct Children<State> {
    /// What pods need before they start, in this order: ServiceAccount, NetworkPolicy, ConfigMap, Services.
    pub foundation: Vec<Manifest>,
    /// The migrate step, which gates the workload.
    pub migration: Option<Manifest>,
    /// Deployment, autoscaler, disruption budget; then what the gateway's routes name.
    pub workload: Vec<Manifest>,
    /// The Services by which the gateway finds the pods.
    pub gateway: Vec<Manifest>,
    /// Whether the pods decide over what comes through it: see [`super::apply`].
    pub in_pod: bool,
    /// The gateway's routes, once everything that they name is there.
    pub routes: Vec<Manifest>,
    /// Address from outside, when the routes are served.
    pub url: Option<String>,
    /// Revision of the runtime's configuration; none with the runtime off.
    pub config_revision: Option<String>,
    /// How far it is applied.
    pub state: State,
}

/// Rendered, not sent.
#[derive(Clone, Copy, Debug)]
pub struct Prepared;

/// Sent as far as possible; what the server has of it.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// Where the migrate step stands.
    pub migration: Migration,
    /// Objects of somebody else where a child belongs.
    pub conflicts: Vec<ChildKey>,
    /// Children that are on their way out and will be made anew.
    pub leaving: Vec<ChildKey>,
    /// Kinds that the API server doesn't serve: their children wait until somebody installs their definition.
    pub missing: BTreeSet<ChildKind>,
    /// Children that somebody keeps undoing, and until when they are left alone or count as contended.
    pub contended: Vec<(ChildKey, Instant)>,
    /// Whether one of the conflicts or leaving children is in no watch: nobody will tell when it is gone.
    pub unwatched: bool,
    /// Whether a contended child is left as it is for now.
    pub held_back: bool,
    /// Whether something that routes name was not there before.
    pub made_what_routes_name: bool,
    /// Whether requests go another way than before.
    pub rerouted: bool,
}

/// Where the migrate step stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Migration {
    /// None is declared, or it succeeded.
    #[default]
    Done,
    /// It is held back until one of an earlier template is ended.
    Waiting,
    /// It runs.
    Running,
    /// It failed after all its retries.
    Failed,
}

impl Applied {
    /// Whether nothing holds the next step back.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        let Self { migration, conflicts, leaving, .. } = self;
        *migration == Migration::Done && conflicts.is_empty() && leaving.is_empty()
    }

    /// Whether everything that the gateway's routes name is there and ours. A route with somebody else's step, or none,
    /// could be open where it is declared closed, and one that Traefik can't serve leaves its path to the next wider route.
    #[must_use]
    pub fn lets_routes(&self) -> bool {
        let named = [ChildKind::Middleware, ChildKind::ServersTransport, ChildKind::TraefikService];
        self.is_clear() && !self.held_back && !named.iter().any(|kind| self.missing.contains(kind))
    }

    /// What is not as it should be and holds the routes back.
    pub fn before_routes(&self) -> impl Iterator<Item = &ChildKey> {
        let contended = self.contended.iter().filter(|_| self.held_back).map(|(key, _)| key);
        self.conflicts.iter().chain(&self.leaving).chain(contended)
    }
}

impl Children<Prepared> {
    /// Takes what was rendered; fails only when an object can't be written as JSON.
    ///
    /// # Errors
    /// [`Error::Render`].
    pub fn prepare(rendered: goodgo_render::Children) -> Result<Self, Error> {
        let goodgo_render::Children {
            service_account,
            network_policy,
            config_map,
            service,
            headless_service,
            gateway_service,
            in_pod,
            migration_job,
            deployment,
            horizontal_pod_autoscaler,
            pod_disruption_budget,
            canary,
            certificate,
            middlewares,
            servers_transports,
            traefik_services,
            ingress_routes,
            initial_replicas,
            url,
            config_revision,
        } = rendered;
        let canary = canary.unwrap_or_default();
        let foundation = [
            manifest(ChildKind::ServiceAccount, service_account)?,
            manifest(ChildKind::NetworkPolicy, network_policy)?,
            manifest(ChildKind::ConfigMap, config_map)?,
            manifest(ChildKind::Service, service)?,
            manifest(ChildKind::Service, headless_service)?,
        ];
        let gateway = [
            manifest(ChildKind::Service, gateway_service)?,
            manifest(ChildKind::Service, canary.gateway_service)?,
        ];
        let mut workload = vec![
            starting_with(initial_replicas, manifest(ChildKind::Deployment, deployment)?),
            manifest(ChildKind::HorizontalPodAutoscaler, horizontal_pod_autoscaler)?,
            manifest(ChildKind::PodDisruptionBudget, pod_disruption_budget)?,
            starting_with(canary.initial_replicas, manifest(ChildKind::Deployment, canary.deployment)?),
            manifest(ChildKind::HorizontalPodAutoscaler, canary.horizontal_pod_autoscaler)?,
            manifest(ChildKind::Certificate, certificate)?,
        ];
        workload.extend(manifests(ChildKind::Middleware, middlewares)?);
        workload.extend(manifests(ChildKind::ServersTransport, servers_transports)?);
        workload.extend(manifests(ChildKind::TraefikService, traefik_services)?);
        Ok(Self {
            foundation: foundation.into_iter().flatten().collect(),
            migration: manifest(ChildKind::Job, migration_job)?,
            workload: workload.into_iter().flatten().collect(),
            gateway: gateway.into_iter().flatten().collect(),
            in_pod,
            routes: manifests(ChildKind::IngressRoute, ingress_routes)?.into_iter().flatten().collect(),
            url,
            config_revision,
            state: Prepared,
        })
    }
}

impl<State> Children<State> {
    /// Whether the service should own the object at `key`.
    #[must_use]
    pub fn wants(&self, key: &ChildKey) -> bool {
        let Self {
            foundation,
            migration,
            workload,
            gateway,
            in_pod: _,
            routes,
            url: _,
            config_revision: _,
            state: _,
        } = self;
        foundation
            .iter()
            .chain(migration)
            .chain(workload)
            .chain(gateway)
            .chain(routes)
            .any(|manifest| manifest.key == *key)
    }

    /// The same children, in another state.
    pub fn with<Next>(self, state: Next) -> Children<Next> {
        let Self { foundation, migration, workload, gateway, in_pod, routes, url, config_revision, state: _ } =
            self;
        Children { foundation, migration, workload, gateway, in_pod, routes, url, config_revision, state }
    }
}

fn manifests(kind: ChildKind, objects: Vec<impl Serialize>) -> Result<Vec<Option<Manifest>>, Error> {
    objects.into_iter().map(|object| manifest(kind, Some(object))).collect()
}

fn starting_with(initial_replicas: Option<i32>, manifest: Option<Manifest>) -> Option<Manifest> {
    manifest.map(|manifest| Manifest { initial_replicas, ..manifest })
}

fn manifest(kind: ChildKind, object: Option<impl Serialize>) -> Result<Option<Manifest>, Error> {
    let Some(object) = object else { return Ok(None) };
    let object = serde_json::to_value(object).map_err(goodgo_render::RenderError::Encode)?;
    let field = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let key = ChildKey::new(kind, field("/metadata/namespace"), field("/metadata/name"));
    Ok(Some(Manifest { key, digest: digest(&object), object, initial_replicas: None }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_wait_for_every_step_that_they_name() {
        let key = || ChildKey::new(ChildKind::Middleware, "shop", "a--all--ip-allow-0a1b2c3d");
        let none = Applied::default;
        assert!(none().lets_routes());
        let waiting = [
            Applied { conflicts: vec![key()], ..none() },
            Applied { leaving: vec![key()], ..none() },
            Applied { contended: vec![(key(), Instant::now())], held_back: true, ..none() },
        ];
        for state in waiting {
            assert!(!state.lets_routes(), "{state:?}");
            assert_eq!(state.before_routes().collect::<Vec<_>>(), [&key()], "{state:?}");
        }
        for kind in [ChildKind::Middleware, ChildKind::ServersTransport, ChildKind::TraefikService] {
            assert!(!Applied { missing: [kind].into(), ..none() }.lets_routes(), "{kind:?}");
        }
        assert!(Applied { missing: [ChildKind::Certificate].into(), ..none() }.lets_routes());
        let repaired = Applied { contended: vec![(key(), Instant::now())], ..none() };
        assert!(repaired.lets_routes() && repaired.before_routes().next().is_none());
    }

    #[test]
    fn routes_are_a_step_of_their_own() {
        let service = serde_json::from_value(serde_json::json!({
            "apiVersion": "goodgo.io/v1alpha1", "kind": "GoodGoService",
            "metadata": {"name": "a", "namespace": "shop", "uid": "u"},
            "spec": {"image": "x:1", "gateway": {"hosts": ["a.b"], "tls": {"secret": "s"}, "routes": [
                {"name": "all", "path": "/", "auth": {"none": {}}, "ipAllow": ["10.0.0.0/8"]},
            ]}},
        }))
        .unwrap();
        let platform = goodgo_render::PlatformConfig::default();
        let valid = goodgo_render::ValidatedService::new(&service, &platform).unwrap();
        let rendered = goodgo_render::render(&valid, &Default::default(), &platform, &[], Default::default());
        let children = Children::prepare(rendered.unwrap()).unwrap();
        let kinds =
            |manifests: &[Manifest]| manifests.iter().map(|manifest| manifest.key.kind).collect::<Vec<_>>();
        assert_eq!(kinds(&children.routes), [ChildKind::IngressRoute, ChildKind::IngressRoute]);
        assert!(kinds(&children.workload).contains(&ChildKind::Middleware));
        assert!(!kinds(&children.workload).contains(&ChildKind::IngressRoute));
        assert!(
            children.routes.iter().all(|manifest| children.wants(&manifest.key)),
            "or they would be pruned"
        );
    }
}
