//! The chart's admission policy on a real API server: it refuses what the operator's own validation refuses, in the same
//! sentences, and nothing else.

#![cfg(test)]

use goodgo_api::GoodGoService;
use goodgo_e2e::control_plane::ControlPlaneOptions;
use goodgo_e2e::{ControlPlane, tools};
use goodgo_render::{PlatformConfig, ValidatedService};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Long enough for a loaded machine; nothing waits longer than it needs.
const PATIENCE: Duration = Duration::from_secs(60);

const PRODUCTION: &str = "
config:
  environment: production
  watchNamespaces: [shop]
  gateway: {domains: [{domain: goodgo.example}, {domain: goodgo.internal}]}
";
/// A domain that would end the text that it stands in.
const STAGING: &str = r#"
config:
  environment: staging
  gateway: {domains: [{domain: 'a"] + ["goodgo.example'}, {domain: "b\\'{{ c"}]}
"#;
const ISSUER: &str = "
config:
  environment: production
  gateway: {defaultIssuer: letsencrypt}
";
const LOCAL: &str = "config: {environment: local}";

const SELF_CALL: &str =
    "a service can't call itself through the platform: remove the call and use 127.0.0.1 in the app";
const NO_TLS: &str = "spec.gateway.tls: production needs TLS: name a secret or an issuer";

/// One template of the chart with these values.
fn template(values: &str, name: &str) -> String {
    let mut helm = Command::new(tools::HELM.path().unwrap())
        .args(["template", "goodgo-operator"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("helm/goodgo-operator"))
        .args(["--namespace", "goodgo-system", "--kube-version", "1.33.0", "--values", "-"])
        .args(["--set", "admissionPolicy.enabled=true", "--show-only", &format!("templates/{name}.yaml")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    helm.stdin.take().unwrap().write_all(values.as_bytes()).unwrap();
    let output = helm.wait_with_output().unwrap();
    assert!(output.status.success(), "helm refuses {values}");
    String::from_utf8(output.stdout).unwrap()
}

/// What the operator of these values reads.
fn platform(values: &str) -> PlatformConfig {
    let config: ConfigMap = serde_saphyr::from_str(&template(values, "configmap")).unwrap();
    serde_saphyr::from_str(&config.data.unwrap()["config.yaml"]).unwrap()
}

fn service(namespace: &str, spec: &Value) -> GoodGoService {
    let mut merged = json!({"image": "demo:1"});
    for (field, value) in spec.as_object().unwrap() {
        merged[field] = value.clone();
    }
    serde_json::from_value(json!({
        "apiVersion": "goodgo.io/v1alpha1", "kind": "GoodGoService",
        "metadata": {"name": "cart", "namespace": namespace}, "spec": merged,
    }))
    .unwrap()
}

/// A gateway with these fields.
fn gateway(fields: &Value) -> Value {
    let mut merged = json!({"hosts": ["api.goodgo.example"],
                            "routes": [{"name": "all", "path": "/", "auth": {"none": {}}}]});
    for (field, value) in fields.as_object().unwrap() {
        merged[field] = value.clone();
    }
    json!({"gateway": merged})
}

/// All that the operator has against it, as its status says it.
fn stalled(service: &GoodGoService, platform: &PlatformConfig) -> Option<String> {
    let violations = ValidatedService::new(service, platform).err()?;
    Some(violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}

/// Tries until it holds, and says what was found last when it never did.
async fn eventually<F>(what: &str, attempt: impl Fn() -> F)
where
    F: Future<Output = Result<(), String>>,
{
    let started = Instant::now();
    while let Err(found) = attempt().await {
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}; found {found}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

struct World {
    plane: ControlPlane,
    client: kube::Client,
}

impl World {
    async fn start() -> Self {
        tools::ensure(&[tools::HELM]).unwrap();
        let plane = ControlPlane::start(ControlPlaneOptions::default()).await.unwrap();
        let kubectl = plane.kubectl();
        kubectl.apply(&goodgo_api::schema::crd_yaml().unwrap()).unwrap();
        for namespace in ["shop", "elsewhere"] {
            let manifest = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            kubectl.apply(&manifest.to_string()).unwrap();
        }
        let world = Self { client: plane.client().await.unwrap(), plane };
        eventually("the CRD is served", || async {
            let list = world.services("shop").list(&ListParams::default().limit(1)).await;
            list.map(drop).map_err(|error| error.to_string())
        })
        .await;
        world
    }

    fn services(&self, namespace: &str) -> Api<GoodGoService> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// What the policy says of a new service.
    async fn refusal(&self, service: &GoodGoService) -> Option<String> {
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        let namespace = service.metadata.namespace.as_deref().unwrap();
        said(self.services(namespace).create(&dry_run, service).await)
    }

    /// Merges fields into the service that was stored before the policy.
    async fn edit(&self, change: Value) -> Option<String> {
        let params = PatchParams::default();
        said(self.services("shop").patch("stored", &params, &Patch::Merge(change)).await)
    }

    /// Applies the policy of these values and waits until the API server goes by it.
    async fn enforce(&self, values: &str) -> PlatformConfig {
        let platform = platform(values);
        self.plane.kubectl().apply(&template(values, "validatingadmissionpolicy")).unwrap();
        // Policies that differ say something different of it.
        let gateway = gateway(&json!({"hosts": ["probe.invalid"]}));
        let probe = service("shop", &json!({"calls": [{"service": "cart"}], "gateway": gateway["gateway"]}));
        let wanted = stalled(&probe, &platform);
        eventually("the policy is in force", || async {
            let found = self.refusal(&probe).await;
            if found == wanted { Ok(()) } else { Err(format!("{found:?} instead of {wanted:?}")) }
        })
        .await;
        platform
    }

    /// Creates each service in a dry run: the policy says what the table and the operator say.
    async fn check(&self, platform: &PlatformConfig, table: &[(Value, &[&str])]) {
        for (spec, says) in table {
            let service = service("shop", spec);
            let wanted = (!says.is_empty()).then(|| says.join("; "));
            assert_eq!(stalled(&service, platform), wanted, "the operator, of {spec}");
            assert_eq!(self.refusal(&service).await, wanted, "the policy, of {spec}");
        }
    }
}

/// The policy's own words.
fn said(answer: kube::Result<GoodGoService>) -> Option<String> {
    match answer {
        Ok(_) => None,
        Err(kube::Error::Api(status)) => {
            let says =
                "ValidatingAdmissionPolicy 'goodgo-operator' with binding 'goodgo-operator' denied request: ";
            let (_, words) = status.message.split_once(says).unwrap_or_else(|| panic!("{}", status.message));
            Some(words.to_owned())
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refuses_what_the_operator_refuses_in_the_same_sentences() {
    let world = World::start().await;
    // Stored before there was a policy.
    let mut violating = service("shop", &gateway(&json!({})));
    violating.metadata.name = Some("stored".to_owned());
    world.services("shop").create(&PostParams::default(), &violating).await.unwrap();

    let platform = world.enforce(PRODUCTION).await;
    in_production(&world, &platform).await;
    as_large_as_the_schema_permits(&world, &platform).await;
    namespaces_that_are_not_watched_are_left_alone(&world, &platform).await;
    what_is_stored_already_can_still_be_handled(&world).await;

    let platform = world.enforce(STAGING).await;
    let domains = "use a\"] + [\"goodgo.example, b\\'{{ c or a name below";
    let outside =
        format!("spec.gateway.hosts[0]: api.goodgo.example is outside the platform's domains: {domains}");
    assert_eq!(stalled(&violating, &platform), Some(outside));

    let platform = world.enforce(ISSUER).await;
    world.check(&platform, &[(gateway(&json!({"hosts": ["api.anywhere.example"]})), &[])]).await;
    let platform = world.enforce(LOCAL).await;
    world
        .check(
            &platform,
            &[
                (gateway(&json!({})), &[]),
                (json!({"calls": [{"service": "cart"}]}), &[&format!("spec.calls[0]: {SELF_CALL}")]),
            ],
        )
        .await;
}

async fn in_production(world: &World, platform: &PlatformConfig) {
    let tls = json!({"secret": "cart-tls"});
    let outside = |path: &str, host: &str| {
        format!(
            "spec.gateway.{path}: {host} is outside the platform's domains: use goodgo.example, goodgo.internal or a name below"
        )
    };
    let spelt = |index: usize, callee: &str, namespace: &str| {
        format!(
            "spec.calls[{index}]: {callee} is in namespace {namespace} already: write its namespace in both calls or in none"
        )
    };
    let itself = |index: usize| format!("spec.calls[{index}]: {SELF_CALL}");
    world
        .check(
            platform,
            &[
                (json!({}), &[]),
                (gateway(&json!({"tls": tls})), &[]),
                (gateway(&json!({"tls": {"issuer": "own"}})), &[]),
                (gateway(&json!({})), &[NO_TLS]),
                (gateway(&json!({"tls": tls, "hosts": ["goodgo.example", "a.b.goodgo.internal"]})), &[]),
                (
                    gateway(&json!({"tls": tls, "hosts": ["goodgo.example", "notgoodgo.example"],
                                    "redirectFrom": ["goodgo.example.evil", "old.goodgo.example", "old.example"]})),
                    &[
                        &outside("hosts[1]", "notgoodgo.example"),
                        &outside("redirectFrom[0]", "goodgo.example.evil"),
                        &outside("redirectFrom[2]", "old.example"),
                    ],
                ),
                (
                    json!({"calls": [{"service": "iam"}, {"service": "cart"}],
                           "gateway": gateway(&json!({"hosts": ["api.example"]}))["gateway"]}),
                    &[&itself(1), &outside("hosts[0]", "api.example"), NO_TLS],
                ),
                // A cart elsewhere is another service.
                (json!({"calls": [{"service": "cart", "namespace": "elsewhere"}]}), &[]),
                (json!({"calls": [{"service": "cart", "namespace": "shop"}]}), &[&itself(0)]),
                (
                    json!({"calls": [{"service": "iam"}, {"service": "iam", "as": "users"},
                                     {"service": "iam", "namespace": "elsewhere", "as": "others"}]}),
                    &[],
                ),
                (
                    json!({"calls": [{"service": "iam", "namespace": "shop"}, {"service": "iam", "as": "users"},
                                     {"service": "mail"}, {"service": "iam", "as": "roles"},
                                     {"service": "iam", "namespace": "shop", "as": "rights"}]}),
                    &[&spelt(1, "iam", "shop"), &spelt(4, "iam", "shop")],
                ),
                (
                    json!({"calls": [{"service": "cart"}, {"service": "cart", "namespace": "shop", "as": "own"}]}),
                    &[&itself(0), &itself(1), &spelt(1, "cart", "shop")],
                ),
            ],
        )
        .await;
}

/// The costs of the expressions stay within the API server's bounds, and the sentences within its length.
async fn as_large_as_the_schema_permits(world: &World, platform: &PlatformConfig) {
    let callee = "a".repeat(40);
    let call = |call: usize| json!({"service": callee, "namespace": "shop", "as": format!("a{call:0>39}")});
    let calls: Vec<_> = (0..64).map(call).collect();
    let host = |index: usize| {
        let label = "a".repeat(63);
        format!("{label}.{label}.{label}.{}{index:0>2}.example", "a".repeat(43))
    };
    let gateway = gateway(&json!({"hosts": (0..16).map(host).collect::<Vec<_>>(),
                                  "redirectFrom": (16..32).map(host).collect::<Vec<_>>()}));
    let mut spec = json!({"calls": calls, "gateway": gateway["gateway"]});
    let wanted = stalled(&service("shop", &spec), platform).unwrap();
    assert!(wanted.len() > 5000, "{wanted}");
    let first = wanted.split("; ").next().map(str::to_owned);
    assert_eq!(world.refusal(&service("shop", &spec)).await, first);

    spec.as_object_mut().unwrap().remove("gateway");
    assert_eq!(world.refusal(&service("shop", &spec)).await, None);
    spec["calls"][63].as_object_mut().unwrap().remove("namespace");
    let service = service("shop", &spec);
    let wanted = stalled(&service, platform).unwrap();
    assert!(wanted.starts_with("spec.calls[63]: "), "{wanted}");
    assert_eq!(world.refusal(&service).await, Some(wanted));
}

async fn namespaces_that_are_not_watched_are_left_alone(world: &World, platform: &PlatformConfig) {
    let service = service("elsewhere", &gateway(&json!({})));
    assert_eq!(stalled(&service, platform).as_deref(), Some(NO_TLS));
    assert_eq!(world.refusal(&service).await, None);
}

/// Of a service that was stored before the policy.
async fn what_is_stored_already_can_still_be_handled(world: &World) {
    let refused = Some(NO_TLS.to_owned());
    let metadata = json!({"labels": {"team": "shop"}, "finalizers": ["example.com/kept"]});
    assert_eq!(world.edit(json!({"metadata": metadata})).await, None);
    let status = json!({"status": {"url": "https://api.goodgo.example"}});
    let params = PatchParams::default();
    let answer = world.services("shop").patch_status("stored", &params, &Patch::Merge(status)).await;
    assert_eq!(said(answer), None);
    assert_eq!(world.edit(json!({"spec": {"image": "demo:2"}})).await, refused);

    // The operator does not look at it until it is to reconcile it again.
    assert_eq!(world.edit(json!({"spec": {"suspend": true}})).await, None);
    assert_eq!(world.edit(json!({"spec": {"image": "demo:2"}})).await, None);
    assert_eq!(world.edit(json!({"spec": {"suspend": false}})).await, refused);

    world.services("shop").delete("stored", &DeleteParams::default()).await.unwrap();
    assert_eq!(world.edit(json!({"spec": {"suspend": false}})).await, None);
    assert_eq!(world.edit(json!({"metadata": {"finalizers": null}})).await, None);
    assert!(world.services("shop").get_opt("stored").await.unwrap().is_none());
}
