//! What all reconciles and watches share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use futures::channel::mpsc::UnboundedSender;
use goodgo_api::{GoodGoService, GoodGoServiceStatus};
use goodgo_fleet::{Fleet, ServiceKey};
use goodgo_render::{ChildKind, PlatformConfig};
use kube::core::ApiResource;
use kube::runtime::events::Recorder;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client};

use super::backoff::Backoff;
use super::cache::{ChildCache, ChildKey};
use super::child::Seen;
use super::contention::Applications;
use super::in_force::InForce;
use super::kinds::Kinds;
use crate::identity::Issuers;
use crate::metrics::Metrics;

/// Caches, memories and handles; everything in it may be used from any task.
pub struct Context {
    /// For the few requests that are made.
    pub client: Client,
    /// All services.
    pub services: Store<GoodGoService>,
    /// All children, as digests.
    pub children: ChildCache,
    /// Which kinds the API server serves.
    pub kinds: Kinds,
    /// What was applied, and how often.
    pub applications: Applications,
    /// Services that failed.
    pub backoff: Backoff,
    /// The configuration in force.
    pub platform: Arc<ArcSwap<PlatformConfig>>,
    /// Whose tokens the runtimes believe.
    pub issuers: Issuers,
    /// Whether pods run what was applied.
    pub in_force: InForce,
    /// What is measured.
    pub metrics: Metrics,
    /// Publishes Events.
    pub recorder: Recorder,
    fleet: Mutex<Fleet>,
    queue: UnboundedSender<ObjectRef<GoodGoService>>,
    /// The last status written, by service: the cache learns of it later.
    written: Mutex<HashMap<ServiceKey, Written>>,
}

struct Written {
    uid: Option<String>,
    /// The resourceVersion of the answer.
    version: Option<u64>,
    status: GoodGoServiceStatus,
}

/// A service, as its children and the fleet know it.
#[derive(Clone, Debug)]
pub struct Service {
    /// Namespace and name.
    pub key: ServiceKey,
    /// Identity of the object.
    pub uid: Box<str>,
    /// Generation of its spec.
    pub generation: Option<i64>,
}

impl Context {
    /// Puts the parts together, with empty caches.
    #[must_use]
    pub fn new(
        client: Client,
        services: Store<GoodGoService>,
        platform: Arc<ArcSwap<PlatformConfig>>,
        issuers: Issuers,
        metrics: Metrics,
        recorder: Recorder,
        queue: UnboundedSender<ObjectRef<GoodGoService>>,
    ) -> Self {
        Self {
            in_force: InForce::new(client.clone(), metrics.clone(), queue.clone()),
            client,
            services,
            platform,
            issuers,
            metrics,
            recorder,
            queue,
            children: ChildCache::default(),
            kinds: Kinds::default(),
            applications: Applications::default(),
            backoff: Backoff::default(),
            fleet: Mutex::default(),
            written: Mutex::default(),
        }
    }

    /// The graph of all services. Never held across an await.
    pub fn fleet(&self) -> MutexGuard<'_, Fleet> {
        self.fleet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a reconcile of a service. Several requests become one.
    pub fn queue(&self, service: &ServiceKey) {
        // Nobody receives any more only while the process ends.
        let _ = self.queue.unbounded_send(ObjectRef::new(&service.name).within(&service.namespace));
    }

    /// Asks for a reconcile of every service, failed ones too, as after a change of the configuration.
    pub fn queue_all(&self) {
        self.backoff.reset_all();
        let services: Vec<ServiceKey> = self.fleet().keys().cloned().collect();
        services.iter().for_each(|service| self.queue(service));
    }

    /// Requests for the kind and namespace of a child; answers are digested as they are decoded.
    #[must_use]
    pub fn api(&self, key: &ChildKey) -> Api<Seen> {
        Api::namespaced_with(self.client.clone(), &key.namespace, &api_resource(key.kind))
    }

    /// The status as it is known best: the one written last, or the object's.
    #[must_use]
    pub fn status(&self, key: &ServiceKey, object: &GoodGoService) -> GoodGoServiceStatus {
        let written = self.written();
        let last =
            written.get(key).filter(|last| last.uid == object.metadata.uid).map(|last| last.status.clone());
        last.or_else(|| object.status.clone()).unwrap_or_default()
    }

    /// Remembers a status that was written, with the server's `answer` to it.
    pub fn status_written(&self, key: &ServiceKey, answer: &GoodGoService, status: GoodGoServiceStatus) {
        let (uid, version) = (answer.metadata.uid.clone(), version(answer));
        self.written().insert(key.clone(), Written { uid, version, status });
    }

    /// Whether an event of a service needs a reconcile: everything does but the echo of our own status, be it of the one
    /// written last or of one before.
    #[must_use]
    pub fn is_news(&self, key: &ServiceKey, before: &GoodGoService, after: &GoodGoService) -> bool {
        let (old, new) = (&before.metadata, &after.metadata);
        let same = (&old.uid, old.generation, &old.deletion_timestamp)
            == (&new.uid, new.generation, &new.deletion_timestamp);
        let mut written = self.written();
        let echo = written.get(key).is_some_and(|last| {
            let overtaken =
                last.uid == new.uid && version(after).is_some_and(|seen| Some(seen) <= last.version);
            overtaken || after.status.as_ref() == Some(&last.status)
        });
        if !echo && before.status != after.status {
            // Somebody else wrote the status: what we remember is no longer what stands there.
            written.remove(key);
        }
        !same || (!echo && before.status != after.status)
    }

    /// Forgets a service that is gone.
    pub fn forget(&self, key: &ServiceKey) {
        self.backoff.reset(key);
        self.in_force.forget(key);
        self.written().remove(key);
        for (child, _) in self.children.of_service(key) {
            self.applications.forget(&child);
        }
    }

    fn written(&self) -> MutexGuard<'_, HashMap<ServiceKey, Written>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Kubernetes promises since 1.35 that versions of one resource compare as numbers; etcd's always did.
fn version(object: &GoodGoService) -> Option<u64> {
    object.metadata.resource_version.as_deref()?.parse().ok()
}

/// Group, version and plural of a kind, for requests.
#[must_use]
pub fn api_resource(kind: ChildKind) -> ApiResource {
    let (group, version) = (kind.group(), kind.version());
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") },
        kind: kind.as_str().to_owned(),
        plural: kind.plural().to_owned(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use kube::runtime::events::Reporter;
    use kube::runtime::reflector;
    use serde_json::json;

    use super::*;

    /// Empty, and with an API server where nobody listens.
    pub(in super::super) fn context() -> Context {
        let client = Client::try_from(kube::Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
        let recorder = Recorder::new(client.clone(), Reporter { controller: "test".into(), instance: None });
        let (store, _) = reflector::store();
        let (queue, _) = futures::channel::mpsc::unbounded();
        Context::new(client, store, Arc::default(), Issuers::default(), Metrics::default(), recorder, queue)
    }

    fn service(version: u32, said: &str) -> GoodGoService {
        serde_json::from_value(json!({
            "apiVersion": "goodgo.io/v1alpha1", "kind": "GoodGoService",
            "metadata": {"name": "a", "namespace": "shop", "uid": "u", "generation": 1,
                         "resourceVersion": version.to_string()},
            "spec": {"image": "demo:1"}, "status": {"selector": said},
        }))
        .unwrap()
    }

    #[tokio::test]
    async fn the_late_echo_of_an_earlier_status_is_no_news() {
        let (context, key) = (context(), ServiceKey::new("shop", "a"));
        let (start, first, second) = (service(9, "-"), service(10, "first"), service(11, "second"));
        for answer in [&first, &second] {
            context.status_written(&key, answer, answer.status.clone().unwrap());
        }
        assert!(!context.is_news(&key, &start, &first));
        assert_eq!(Some(context.status(&key, &first)), second.status, "still what stands");
        assert!(!context.is_news(&key, &first, &second));
        let vandals = service(12, "vandal's");
        assert!(context.is_news(&key, &second, &vandals));
        assert_eq!(Some(context.status(&key, &vandals)), vandals.status);
    }
}
