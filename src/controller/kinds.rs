//! Kinds of children that are not Kubernetes' own: Traefik's and cert-manager's are there once somebody has installed
//! their CustomResourceDefinitions, which may be before us, after us, or never.
//!
//! A watch on a kind without a definition is answered with 404 for ever. So the definitions are watched, their metadata
//! alone, and a kind is watched while its definition is there.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use futures::StreamExt;
use goodgo_render::ChildKind;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::{Barrier, oneshot};
use tokio::task::JoinSet;
use tracing::info;

use super::Context;
use super::watch::{self, Listed, Watch};

/// The name of the definitions' own kind in metrics and logs.
const DEFINITIONS: &str = "CustomResourceDefinition";

/// Kinds that are not Kubernetes' own and that the API server serves now.
#[derive(Default)]
pub struct Kinds(RwLock<HashSet<ChildKind>>);

impl Kinds {
    /// Whether children of this kind can be applied.
    #[must_use]
    pub fn are_served(&self, kind: ChildKind) -> bool {
        kind.is_built_in() || self.0.read().unwrap_or_else(PoisonError::into_inner).contains(&kind)
    }

    fn set(&self, kind: ChildKind, served: bool) {
        let mut kinds = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if served {
            kinds.insert(kind);
        } else {
            kinds.remove(&kind);
        }
    }
}

/// The kind that a definition of this name is of.
fn kind_of(definition: &str) -> Option<ChildKind> {
    let (plural, group) = definition.split_once('.')?;
    ChildKind::ALL
        .into_iter()
        .find(|kind| !kind.is_built_in() && kind.plural() == plural && kind.group() == group)
}

/// Follows the definitions, and the kinds of those that are there.
pub(super) async fn watch_definitions(
    client: Client,
    namespaces: Vec<Option<String>>,
    listed: Arc<Barrier>,
    context: Arc<Context>,
) {
    let api: Api<PartialObjectMeta<CustomResourceDefinition>> = Api::all(client.clone());
    let config = watcher::Config::default().page_size(watch::PAGE).timeout(watch::WATCH_SECONDS);
    let mut events = watcher(api, config).default_backoff().boxed();
    let mut watch = Watch::new(DEFINITIONS, None, Listed::of(&listed), &context);
    let mut kinds = Watched { client, namespaces, context, tasks: HashMap::new(), first: Vec::new() };
    let mut seen = HashSet::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => {
                seen.clear();
                kinds.context.metrics.relisted(DEFINITIONS);
            }
            Ok(Event::InitApply(definition)) => seen.extend(kinds.there(&definition)),
            Ok(Event::InitDone) => {
                let gone: Vec<_> = kinds.tasks.keys().filter(|kind| !seen.contains(*kind)).copied().collect();
                for kind in gone {
                    kinds.gone(kind).await;
                }
                // What is there from the start counts from the first reconcile on: no status says otherwise for a moment.
                for first in kinds.first.drain(..) {
                    let _ = first.await;
                }
                watch.listed().await;
            }
            Ok(Event::Apply(definition)) => kinds.changed(&definition).await,
            Ok(Event::Delete(definition)) => {
                if let Some(kind) = kind_of(&definition.name_any()) {
                    kinds.gone(kind).await;
                }
            }
            Err(error) => {
                watch.failed(&error);
                if is_forbidden(&error) {
                    // Without the right to look nothing is known to be there; everything else goes on.
                    watch.listed().await;
                }
            }
        }
    }
}

fn is_forbidden(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 403)
}

/// The kinds that are watched.
struct Watched {
    client: Client,
    namespaces: Vec<Option<String>>,
    context: Arc<Context>,
    tasks: HashMap<ChildKind, JoinSet<()>>,
    /// Each is done when a new watch has listed, or failed to.
    first: Vec<oneshot::Receiver<()>>,
}

impl Watched {
    fn there(&mut self, definition: &PartialObjectMeta<CustomResourceDefinition>) -> Option<ChildKind> {
        let kind = kind_of(&definition.name_any())?;
        if definition.metadata.deletion_timestamp.is_some() {
            return None;
        }
        if self.tasks.contains_key(&kind) {
            return Some(kind);
        }
        let mut tasks = JoinSet::new();
        let left = Arc::new(AtomicUsize::new(self.namespaces.len()));
        for namespace in &self.namespaces {
            let (tell, first) = oneshot::channel();
            self.first.push(first);
            let listed = Listed::Kind { kind, left: left.clone(), tell: Some(tell) };
            let watch = Watch::new(kind.as_str(), namespace.clone(), listed, &self.context);
            tasks.spawn(watch::watch_children(self.client.clone(), kind, watch));
        }
        self.tasks.insert(kind, tasks);
        Some(kind)
    }

    /// A definition that is being deleted takes no objects any more, and those that are there go with it.
    async fn changed(&mut self, definition: &PartialObjectMeta<CustomResourceDefinition>) {
        if definition.metadata.deletion_timestamp.is_none() {
            self.there(definition);
        } else if let Some(kind) = kind_of(&definition.name_any()) {
            self.gone(kind).await;
        }
    }

    async fn gone(&mut self, kind: ChildKind) {
        let Some(mut tasks) = self.tasks.remove(&kind) else { return };
        // One that lists at this moment would say that the kind is served after all.
        tasks.shutdown().await;
        info!(kind = kind.as_str(), "the definition is gone, and with it what was made");
        self.context.kinds.set(kind, false);
        for (key, _) in self.context.children.retain(kind, None, &HashSet::new()) {
            self.context.applications.forget(&key);
        }
        self.context.queue_all();
    }
}

/// A watch of a kind has listed: the kind is served when that of every namespace has.
pub(super) fn listed(kind: ChildKind, left: &AtomicUsize, context: &Context) {
    if left.fetch_sub(1, Ordering::AcqRel) == 1 {
        info!(kind = kind.as_str(), "the definition is there");
        context.kinds.set(kind, true);
        context.queue_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_known_by_plural_and_group() {
        assert_eq!(kind_of("ingressroutes.traefik.io"), Some(ChildKind::IngressRoute));
        assert_eq!(kind_of("certificates.cert-manager.io"), Some(ChildKind::Certificate));
        for other in
            ["ingressroutes.traefik.containo.us", "certificates.networking.internal.knative.dev", "x", ""]
        {
            assert_eq!(kind_of(other), None, "{other}");
        }
        assert_eq!(kind_of("services."), None, "Kubernetes' own kinds have no definition");
    }

    #[tokio::test]
    async fn a_definition_that_is_being_deleted_serves_no_more() {
        let context = Arc::new(super::super::context::tests::context());
        let (client, namespaces) = (context.client.clone(), vec![None]);
        let mut kinds = Watched {
            client,
            namespaces,
            context: context.clone(),
            tasks: HashMap::new(),
            first: Vec::new(),
        };
        let definition = |deleted: Option<&str>| -> PartialObjectMeta<CustomResourceDefinition> {
            serde_json::from_value(serde_json::json!({
                "metadata": {"name": "ingressroutes.traefik.io", "deletionTimestamp": deleted},
            }))
            .unwrap()
        };
        kinds.changed(&definition(None)).await;
        context.kinds.set(ChildKind::IngressRoute, true);
        kinds.changed(&definition(Some("2026-11-30T10:00:00Z"))).await;
        assert!(kinds.tasks.is_empty() && !context.kinds.are_served(ChildKind::IngressRoute));
        assert_eq!(Arc::strong_count(&context), 2, "its watches have ended, and hold nothing");
    }

    #[test]
    fn what_kubernetes_has_itself_is_always_there() {
        let kinds = Kinds::default();
        assert!(kinds.are_served(ChildKind::Deployment) && !kinds.are_served(ChildKind::IngressRoute));
        kinds.set(ChildKind::IngressRoute, true);
        assert!(kinds.are_served(ChildKind::IngressRoute) && !kinds.are_served(ChildKind::Certificate));
        kinds.set(ChildKind::IngressRoute, false);
        assert!(!kinds.are_served(ChildKind::IngressRoute));
    }
}
