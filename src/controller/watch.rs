//! The watches: they keep the caches and say which services to look at. Nothing else ever reads from the API server.
//!
//! One watch per kind and watched namespace, each a task of its own. A watch lists once in pages of 50 and then follows;
//! it is renewed after 290 s with the last bookmark's version, so an idle operator lists nothing again. Children are
//! selected by our label: one that loses it is a deletion to us, and is found and repaired like one.

use std::collections::HashSet;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use goodgo_api::GoodGoService;
use goodgo_fleet::{Declaration, ServiceKey};
use goodgo_render::ChildKind;
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{ObjectRef, store::Writer};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::{Barrier, oneshot};
use tokio::task::JoinSet;
use tracing::warn;

use super::cache::{ChildKey, services_of};
use super::child::{Child, Seen};
use super::{Context, api_resource, kinds};

/// Selects what this operator made.
const OURS: &str = "app.kubernetes.io/managed-by=goodgo-operator";
/// Objects in one page of a list: few full objects are in memory at once.
pub(super) const PAGE: u32 = 50;
/// Seconds after which the server ends a watch; it is renewed without a list.
pub(super) const WATCH_SECONDS: u32 = 290;
/// The name of the services' own kind in metrics and logs.
const SERVICES: &str = "GoodGoService";

/// Starts all watches and waits until every one has listed once. They end when the returned set is dropped.
pub async fn start(client: &Client, services: Writer<GoodGoService>, context: &Arc<Context>) -> JoinSet<()> {
    let services = Arc::new(Services::new(services));
    let namespaces = namespaces(&context.platform.load().watch_namespaces);
    let built_in: Vec<_> = ChildKind::ALL.into_iter().filter(|kind| kind.is_built_in()).collect();
    // Of each namespace the children and the services, and of the cluster the definitions of other kinds.
    let watches = namespaces.len() * (built_in.len() + 1) + 1;
    let listed = Arc::new(Barrier::new(watches + 1));
    let mut tasks = JoinSet::new();
    let definitions =
        kinds::watch_definitions(client.clone(), namespaces.clone(), listed.clone(), context.clone());
    tasks.spawn(definitions);
    for namespace in namespaces {
        for kind in &built_in {
            let (kind, listed) = (*kind, Listed::of(&listed));
            let watch = Watch::new(kind.as_str(), namespace.clone(), listed, context);
            tasks.spawn(watch_children(client.clone(), kind, watch));
        }
        let watch = Watch::new(SERVICES, namespace, Listed::of(&listed), context);
        tasks.spawn(watch_services(client.clone(), services.clone(), watch));
    }
    listed.wait().await;
    tasks
}

/// The namespaces to watch: each by itself, or all with one watch.
fn namespaces(configured: &[String]) -> Vec<Option<String>> {
    if configured.is_empty() { vec![None] } else { configured.iter().cloned().map(Some).collect() }
}

/// What one watch covers, and where it says that it has listed.
pub(super) struct Watch {
    kind: &'static str,
    namespace: Option<String>,
    listed: Listed,
    context: Arc<Context>,
}

/// Where a watch says that its first list is complete.
pub(super) enum Listed {
    /// Once to all others, which wait for each other, so that no reconcile sees half a cluster.
    Together(Arc<Barrier>),
    /// For a kind that came while others are at work.
    Kind {
        /// The kind.
        kind: ChildKind,
        /// Watches of it that have not listed.
        left: Arc<AtomicUsize>,
        /// Who waits for the first attempt.
        tell: Option<oneshot::Sender<()>>,
    },
    /// It was said.
    Said,
}

impl Listed {
    /// Together with all others that get this barrier.
    pub(super) fn of(barrier: &Arc<Barrier>) -> Self {
        Self::Together(barrier.clone())
    }
}

impl Watch {
    pub(super) fn new(
        kind: &'static str,
        namespace: Option<String>,
        listed: Listed,
        context: &Arc<Context>,
    ) -> Self {
        Self { kind, namespace, listed, context: context.clone() }
    }

    /// A list is complete; the first is said.
    pub(super) async fn listed(&mut self) {
        match std::mem::replace(&mut self.listed, Listed::Said) {
            Listed::Together(barrier) => {
                barrier.wait().await;
            }
            Listed::Kind { kind, left, tell } => {
                kinds::listed(kind, &left, &self.context);
                drop(tell); // which is what its receiver waits for
            }
            Listed::Said => {}
        }
    }

    pub(super) fn failed(&mut self, error: &watcher::Error) {
        // Nobody waits for a kind whose definition is there and which can't be listed.
        if let Listed::Kind { tell, .. } = &mut self.listed {
            *tell = None;
        }
        warn!(kind = self.kind, namespace = self.namespace, %error, "a watch broke and is started again");
        self.context.metrics.watch_failed(self.kind);
    }
}

/// Follows one kind of children and queues the services of each that changed.
pub(super) async fn watch_children(client: Client, kind: ChildKind, mut watch: Watch) {
    let resource = api_resource(kind);
    let api: Api<Seen> = match &watch.namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    };
    let config = watcher::Config::default().labels(OURS).page_size(PAGE).timeout(WATCH_SECONDS);
    let mut events = watcher(api, config).default_backoff().boxed();
    let mut seen = HashSet::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => {
                seen.clear();
                watch.context.metrics.relisted(watch.kind);
            }
            Ok(Event::InitApply(object)) => {
                if let Some((key, child)) = identify(kind, &object) {
                    child_seen(&key, &child, &watch.context);
                    seen.insert(key);
                }
            }
            Ok(Event::InitDone) => {
                let gone = watch.context.children.retain(
                    kind,
                    watch.namespace.as_deref(),
                    &std::mem::take(&mut seen),
                );
                gone.iter().for_each(|(key, child)| queue_services_of(key, child, &watch.context));
                watch.listed().await;
            }
            Ok(Event::Apply(object)) => {
                if let Some((key, child)) = identify(kind, &object) {
                    child_seen(&key, &child, &watch.context);
                }
            }
            Ok(Event::Delete(object)) => {
                if let Some((key, child)) = identify(kind, &object) {
                    watch.context.children.remove(&key, &child.uid);
                    queue_services_of(&key, &child, &watch.context);
                }
            }
            Err(error) => watch.failed(&error),
        }
    }
}

fn identify(kind: ChildKind, object: &Seen) -> Option<(ChildKey, Child)> {
    let key = ChildKey::new(kind, object.metadata.namespace.as_deref()?, object.metadata.name.as_deref()?);
    Some((key, object.child.clone()?))
}

fn child_seen(key: &ChildKey, child: &Child, context: &Context) {
    let mut services = services_of(key, child);
    let before = context.children.upsert(key.clone(), child.clone());
    // Our own write comes back as an event; it brings nothing that the answer didn't.
    if before.as_ref().is_none_or(|before| !before.same_apart_from_version(child)) {
        services.extend(before.iter().flat_map(|before| services_of(key, before)));
        services.iter().for_each(|service| context.queue(service));
    }
}

fn queue_services_of(key: &ChildKey, child: &Child, context: &Context) {
    services_of(key, child).iter().for_each(|service| context.queue(service));
}

/// Follows the services and queues each that changed, with the neighbours that see the change.
async fn watch_services(client: Client, services: Arc<Services>, mut watch: Watch) {
    let api: Api<DeserializeGuard<GoodGoService>> = match &watch.namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let config = watcher::Config::default().page_size(PAGE).timeout(WATCH_SECONDS);
    let mut events = watcher(api, config).default_backoff().boxed();
    let mut seen = HashSet::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => {
                seen.clear();
                watch.context.metrics.relisted(watch.kind);
            }
            Ok(Event::InitApply(object)) => {
                seen.insert(key_of(&object));
                services.seen(object, &watch.context);
            }
            Ok(Event::InitDone) => {
                let seen = std::mem::take(&mut seen);
                services.retain(watch.namespace.as_deref(), &seen, &watch.context);
                watch.listed().await;
            }
            Ok(Event::Apply(object)) => services.seen(object, &watch.context),
            Ok(Event::Delete(object)) => services.gone(&key_of(&object), &watch.context),
            Err(error) => watch.failed(&error),
        }
    }
}

fn key_of(object: &DeserializeGuard<GoodGoService>) -> ServiceKey {
    ServiceKey::new(object.namespace().unwrap_or_default(), object.name_any())
}

/// The store's one writer; the watches of several namespaces share it.
struct Services(Mutex<Writer<GoodGoService>>);

impl Services {
    fn new(mut writer: Writer<GoodGoService>) -> Self {
        // The store counts as filled at once: that everything is listed is what the barrier is for.
        writer.apply_watcher_event(&Event::Init);
        writer.apply_watcher_event(&Event::InitDone);
        Self(Mutex::new(writer))
    }

    /// A service was made or changed. One that can't be decoded is skipped: it must not stop the others.
    fn seen(&self, object: DeserializeGuard<GoodGoService>, context: &Context) {
        let key = key_of(&object);
        let mut service = match object.0 {
            Ok(service) => service,
            Err(invalid) => {
                warn!(
                    namespace = key.namespace,
                    service = key.name,
                    error = invalid.error,
                    "skipped a service that can't be decoded"
                );
                context.metrics.undecodable();
                return;
            }
        };
        // Nothing reads them, and they are the larger half of an object.
        service.metadata.managed_fields = None;
        service.metadata.annotations = None;
        let before = context.services.get(&ObjectRef::from_obj(&service));
        let news = before.is_none_or(|before| context.is_news(&key, &before, &service));
        let neighbours = context.fleet().upsert(key.clone(), Declaration::from_service(&service));
        self.write(&Event::Apply(service));
        if news {
            context.queue(&key);
        }
        neighbours.iter().for_each(|neighbour| context.queue(neighbour));
    }

    /// A service is gone. Its children follow through their owner references; its neighbours must look again.
    fn gone(&self, key: &ServiceKey, context: &Context) {
        if let Some(service) = context.services.get(&ObjectRef::new(&key.name).within(&key.namespace)) {
            self.write(&Event::Delete((*service).clone()));
        }
        context.forget(key);
        let neighbours = context.fleet().remove(key);
        neighbours.iter().for_each(|neighbour| context.queue(neighbour));
    }

    /// A full list of a namespace (or of all) is complete: what it did not contain is gone.
    fn retain(&self, namespace: Option<&str>, seen: &HashSet<ServiceKey>, context: &Context) {
        let known: Vec<ServiceKey> = context.fleet().keys().cloned().collect();
        let in_scope = |key: &&ServiceKey| namespace.is_none_or(|namespace| key.namespace == namespace);
        known
            .iter()
            .filter(in_scope)
            .filter(|key| !seen.contains(*key))
            .for_each(|key| self.gone(key, context));
    }

    fn write(&self, event: &Event<GoodGoService>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).apply_watcher_event(event);
    }
}
