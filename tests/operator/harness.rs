//! A control plane, an operator process on it, and the few verbs that scenarios are made of.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use goodgo_api::GoodGoService;
use goodgo_api::conditions::{Condition, ConditionType};
use goodgo_e2e::ControlPlane;
use goodgo_e2e::control_plane::ControlPlaneOptions;
use goodgo_operator::rbac;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const NAMESPACE: &str = "goodgo-system";
/// Long enough for a loaded machine; nothing waits longer than it needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The control plane, with the CRD and the operator's rights on it.
#[derive(Clone)]
pub struct World {
    plane: Arc<ControlPlane>,
    /// The administrator.
    pub client: Client,
}

impl World {
    pub async fn start() -> Self {
        let plane = Arc::new(ControlPlane::start(ControlPlaneOptions::default()).await.unwrap());
        let kubectl = plane.kubectl();
        kubectl.apply(&goodgo_api::schema::crd_yaml().unwrap()).unwrap();
        let world = Self { client: plane.client().await.unwrap(), plane };
        world.namespace(NAMESPACE);
        for manifest in operators_rights() {
            kubectl.apply(&serde_json::to_string(&manifest).unwrap()).unwrap();
        }
        let services: Api<GoodGoService> = Api::all(world.client.clone());
        eventually("the CRD is served", || async {
            services.list(&ListParams::default().limit(1)).await.map(drop).map_err(|error| error.to_string())
        })
        .await;
        std::fs::write(world.config(), "environment: production\n").unwrap();
        std::fs::write(world.kubeconfig(), world.kubeconfig_of_the_operator()).unwrap();
        world
    }

    /// Makes a namespace.
    pub fn namespace(&self, name: &str) {
        self.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    }

    /// Applies a manifest as a person would, and expects it to be accepted.
    pub fn apply(&self, manifest: &Value) {
        self.plane.kubectl().apply(&manifest.to_string()).unwrap();
    }

    /// Applies a file of manifests, however large.
    pub fn apply_text(&self, manifests: &str) {
        self.plane.kubectl().apply_over("default", manifests).unwrap();
    }

    /// Runs kubectl as the administrator.
    pub fn kubectl(&self, args: &[&str]) -> String {
        self.plane.kubectl().run(args).unwrap()
    }

    /// Applies a GoodGoService of these fields, in a namespace that exists.
    pub fn service(&self, namespace: &str, name: &str, spec: &Value) {
        let mut merged = json!({"image": "demo:1.0.0"});
        for (field, value) in spec.as_object().unwrap() {
            merged[field] = value.clone();
        }
        self.apply(&json!({
            "apiVersion": "goodgo.io/v1alpha1", "kind": "GoodGoService",
            "metadata": {"name": name, "namespace": namespace}, "spec": merged,
        }));
    }

    /// Requests for one namespace.
    pub fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The object, if it is there.
    pub async fn get<K>(&self, namespace: &str, name: &str) -> Option<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        self.api::<K>(namespace).get_opt(name).await.unwrap()
    }

    /// Waits until the object is there and `holds` of it.
    pub async fn until<K>(&self, namespace: &str, name: &str, what: &str, holds: impl Fn(&K) -> bool) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let api = self.api::<K>(namespace);
        let label = format!("{} {namespace}/{name}: {what}", K::kind(&()));
        eventually(&label, || async {
            match api.get_opt(name).await {
                Ok(Some(object)) if holds(&object) => Ok(object),
                found => Err(format!("{found:?}")),
            }
        })
        .await
    }

    /// Waits until the object is gone.
    pub async fn until_gone<K>(&self, namespace: &str, name: &str)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let api = self.api::<K>(namespace);
        let label = format!("{} {namespace}/{name} is gone", K::kind(&()));
        eventually(&label, || async {
            match api.get_opt(name).await {
                Ok(None) => Ok(()),
                found => Err(format!("{found:?}")),
            }
        })
        .await;
    }

    /// Waits until a condition has this status and reason.
    pub async fn until_condition(
        &self,
        namespace: &str,
        name: &str,
        type_: ConditionType,
        status: &str,
        reason: &str,
    ) -> Condition {
        let what = format!("{} is {status}/{reason}", type_.as_str());
        let wanted = |found: &Condition| format!("{:?}", found.status) == status && found.reason == reason;
        let service = self
            .until::<GoodGoService>(namespace, name, &what, |service| {
                condition(service, type_).is_some_and(wanted)
            })
            .await;
        condition(&service, type_).unwrap().clone()
    }

    /// Merges fields into an object as the field manager `who`.
    pub async fn edit<K>(&self, namespace: &str, name: &str, who: &str, change: &Value)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let params = PatchParams { field_manager: Some(who.to_owned()), ..PatchParams::default() };
        self.api::<K>(namespace).patch(name, &params, &Patch::Merge(change)).await.unwrap();
    }

    /// Plays the Deployment controller: all pods of the current template run.
    pub async fn pods_are_ready(&self, namespace: &str, name: &str) {
        let deployment = self.until::<Deployment>(namespace, name, "there", |_| true).await;
        let replicas = deployment.spec.unwrap().replicas;
        let status = json!({"status": {
            "observedGeneration": deployment.metadata.generation, "replicas": replicas, "updatedReplicas": replicas,
            "readyReplicas": replicas, "availableReplicas": replicas,
            "conditions": [{"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"}],
        }});
        let api = self.api::<Deployment>(namespace);
        api.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    }

    /// Requests of the operator that the server has answered so far: verb, resource and path, leases left out.
    pub fn requests(&self) -> Vec<Request> {
        let log = std::fs::read_to_string(self.plane.audit_log()).unwrap();
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events
            .filter(|event| {
                event["user"]["username"] == format!("system:serviceaccount:{NAMESPACE}:goodgo-operator")
            })
            .filter(|event| {
                event["objectRef"]["resource"] != "leases" && event["stage"] == "ResponseComplete"
            })
            .map(|event| Request {
                verb: event["verb"].as_str().unwrap_or_default().to_owned(),
                uri: event["requestURI"].as_str().unwrap_or_default().to_owned(),
                code: event["responseStatus"]["code"].as_i64().unwrap_or_default(),
            })
            .collect()
    }

    /// Requests of the operator that change something.
    pub fn writes(&self) -> Vec<Request> {
        self.requests()
            .into_iter()
            .filter(|request| !["get", "list", "watch"].contains(&&*request.verb))
            .collect()
    }

    /// Waits until no write came for some seconds.
    pub async fn until_quiet(&self) {
        let mut writes = self.writes().len();
        let started = Instant::now();
        loop {
            tokio::time::sleep(Duration::from_secs(3)).await;
            let now = self.writes();
            if now.len() == writes {
                return;
            }
            assert!(started.elapsed() < PATIENCE * 2, "it keeps writing: {:?}", now.get(writes..));
            writes = now.len();
        }
    }

    /// The operator's configuration file.
    pub fn config(&self) -> PathBuf {
        self.plane.dir().join("operator.yaml")
    }

    fn kubeconfig(&self) -> PathBuf {
        self.plane.dir().join("operator.kubeconfig")
    }

    fn kubeconfig_of_the_operator(&self) -> String {
        let token = self.kubectl(&["create", "token", "goodgo-operator", "-n", NAMESPACE]);
        let admin = std::fs::read_to_string(self.plane.kubeconfig()).unwrap();
        let mut config: Value = serde_saphyr::from_str(&admin).unwrap();
        config["users"][0]["user"] = json!({"token": token.trim()});
        config.to_string()
    }
}

/// One answered request.
#[derive(Debug)]
#[allow(dead_code, reason = "shown when a test fails")]
pub struct Request {
    pub verb: String,
    pub uri: String,
    pub code: i64,
}

/// ServiceAccount, roles and bindings, from the operator's own table.
fn operators_rights() -> Vec<Value> {
    let bind = |kind: &str, to: &str, namespace: Option<&str>| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
               "metadata": {"name": "goodgo-operator", "namespace": namespace},
               "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": to, "name": "goodgo-operator"},
               "subjects": [{"kind": "ServiceAccount", "name": "goodgo-operator", "namespace": NAMESPACE}]})
    };
    vec![
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "goodgo-operator", "namespace": NAMESPACE}}),
        serde_json::to_value(rbac::cluster_role("goodgo-operator")).unwrap(),
        serde_json::to_value(rbac::role("goodgo-operator", NAMESPACE)).unwrap(),
        bind("ClusterRoleBinding", "ClusterRole", None),
        bind("RoleBinding", "Role", Some(NAMESPACE)),
    ]
}

/// A condition of a service, if it is listed.
pub fn condition(service: &GoodGoService, type_: ConditionType) -> Option<&Condition> {
    service.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == type_.as_str())
}

/// Tries until it holds, and says what was found last when it never did.
pub async fn eventually<T, F>(what: &str, attempt: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let started = Instant::now();
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(found) if started.elapsed() > PATIENCE => {
                panic!("not within {PATIENCE:?}: {what}; found {found}")
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// A running operator; ends with the value.
pub struct Operator {
    process: Child,
    admin: String,
    log: PathBuf,
}

impl Operator {
    /// Starts one and waits until it leads and its caches are filled.
    pub async fn start(world: &World, identity: &str) -> Self {
        let operator = Self::standby(world, identity);
        operator.until_leading().await;
        operator
    }

    /// Starts one.
    pub fn standby(world: &World, identity: &str) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let log = world.plane.dir().join(format!("{identity}.log"));
        let process = Command::new(env!("CARGO_BIN_EXE_goodgo-operator"))
            .args(["run", "--admin-address", &free.to_string(), "--identity", identity, "--config"])
            .arg(world.config())
            .env("KUBECONFIG", world.kubeconfig())
            .env("RUST_LOG", "info,goodgo_operator=debug")
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { process, admin: format!("http://{free}"), log }
    }

    pub async fn until_leading(&self) {
        eventually("the operator leads and is ready", || async {
            let ready = self.get("/readyz").await.0 == 200;
            let leads =
                self.metrics().await.get("goodgo_operator_leader").is_some_and(|leader| *leader == 1.0);
            if ready && leads { Ok(()) } else { Err(self.last_log()) }
        })
        .await;
    }

    /// Asks it to end as the kubelet would, and waits.
    pub fn stop(mut self) {
        let id = self.process.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().unwrap();
        let ended = self.process.wait().unwrap();
        assert!(ended.success(), "{ended}: {}", self.last_log());
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        goodgo_e2e::http::get(&format!("{}{path}", self.admin), Duration::from_secs(5))
            .await
            .unwrap_or_default()
    }

    /// Every sample without labels, and with them as written.
    pub async fn metrics(&self) -> BTreeMap<String, f64> {
        let (_, text) = self.get("/metrics").await;
        let samples =
            text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
        samples.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
    }

    pub fn last_log(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
