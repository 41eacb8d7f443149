//! The chart and the plain manifests: generated parts are current, every profile renders, and a mistake in the values is
//! refused. `make generate` rewrites what is generated.

#![cfg(test)]

use goodgo_e2e::tools;
use goodgo_operator::rbac;
use goodgo_render::PlatformConfig;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// What the chart's roles permit, from the operator's own table.
fn rules() -> String {
    let (services, cluster) = (rbac::service_rules(), rbac::cluster_rules());
    let leader = rbac::role("", "").rules.unwrap();
    serde_saphyr::to_string(&json!({"services": services, "cluster": cluster, "leader": leader})).unwrap()
}

fn helm(args: &[&str]) -> Output {
    tools::ensure(&[tools::HELM]).unwrap();
    Command::new(tools::HELM.path().unwrap())
        .args(["template", "goodgo-operator"])
        .arg(root().join("helm/goodgo-operator"))
        .args(["--namespace", "goodgo-system", "--kube-version", "1.33.0"])
        .args(args)
        .output()
        .unwrap()
}

fn values(profile: &str) -> String {
    root().join(format!("helm/goodgo-operator/values-{profile}.yaml")).to_string_lossy().into_owned()
}

/// Compares a committed file with what it should be, or writes it when `UPDATE_GOLDEN` is set.
fn current(path: &Path, wanted: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, wanted).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == wanted,
        "{} is not current: run `make generate` and look at the difference",
        path.display()
    );
}

/// In this order: Helm reads the generated parts from the chart's folder.
#[test]
fn chart_and_manifests_have_no_drift() {
    let files = root().join("helm/goodgo-operator/files");
    current(&files.join("crd.yaml"), &goodgo_api::schema::crd_yaml().unwrap());
    current(&files.join("rules.yaml"), &rules());
    for profile in ["local", "staging", "production"] {
        let output = helm(&["--values", &values(profile)]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let rendered = String::from_utf8(output.stdout).unwrap();
        // What belongs to Helm has no meaning without it.
        let plain: String = rendered
            .lines()
            .filter(|line| !line.contains("helm.sh/"))
            .map(|line| {
                line.replace("app.kubernetes.io/managed-by: Helm", "app.kubernetes.io/managed-by: kubectl")
            })
            .fold(String::new(), |text, line| text + &line + "\n");
        let namespace = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: goodgo-system\n";
        current(&root().join(format!("manifests/{profile}.yaml")), &format!("{namespace}{plain}"));
    }
}

#[test]
fn a_mistake_in_the_values_is_refused() {
    for (set, says) in [
        ("config.enviroment=local", "additional properties 'enviroment' not allowed"),
        ("config.environment=test", "value must be one of"),
        ("config.dns.port=53", "additional properties 'port' not allowed"),
        ("config.kafka.brokers.ports={kafka}", "got string, want integer"),
        ("runtime.image.pullPolicy=Always", "additional properties 'pullPolicy' not allowed"),
        ("replicas=none", "got string, want integer"),
        ("admissionPolicy.enable=true", "additional properties 'enable' not allowed"),
    ] {
        let output = helm(&["--set", set]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(says), "{set}: {error}");
    }
}

/// What the cluster of a chart with a gateway serves.
const DEFINITIONS: [&str; 4] =
    ["--api-versions", "traefik.io/v1alpha1/TLSOption", "--set", "gateway.enabled=true"];

#[test]
fn a_gateway_that_would_not_work_is_refused_with_the_next_step() {
    for (set, says) in [
        ("config.gateway.pods.namespace=traefik", "gateway.enabled brings another: set one of them"),
        (
            "gateway.service.type=ClusterIP,gateway.service.sourceRanges={10.0.0.0/8}",
            "set gateway.service.type to LoadBalancer",
        ),
        ("gateway.replicas=0", "minimum: got 0, want 1"),
        ("gateway.replica=3", "additional properties 'replica' not allowed"),
    ] {
        let output = helm(&[&DEFINITIONS[..], &["--set", set]].concat());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(says), "{set}: {error}");
    }
    let output = helm(&["--set", "gateway.enabled=true"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && error.contains("needs Traefik's definitions in the cluster"),
        "{error}"
    );
}

#[test]
fn the_gateway_follows_the_profile_and_policies_let_it_in() {
    for (profile, replicas, scaled, spared) in [
        ("local", "replicas: 1", false, false),
        ("staging", "replicas: 2", false, true),
        ("production", "minReplicas: 3", true, true),
    ] {
        let output = helm(&[&DEFINITIONS[..], &["--values", &values(profile)]].concat());
        let rendered = String::from_utf8(output.stdout).unwrap();
        let all: Vec<_> = rendered.split("\n---").collect();
        let of = |kind: &str| {
            let mut found = all.iter().filter(|text| text.contains(&format!("\nkind: {kind}\n")));
            found.find(|text| text.contains("  name: goodgo-gateway\n")).copied()
        };
        let counted = of(if scaled { "HorizontalPodAutoscaler" } else { "Deployment" }).unwrap();
        assert!(counted.contains(replicas), "{profile}: {counted}");
        assert_eq!(of("HorizontalPodAutoscaler").is_some(), scaled, "{profile}");
        assert_eq!(of("PodDisruptionBudget").is_some(), spared, "{profile}");
        // The operator opens services to these pods.
        let config = all.iter().find(|text| text.contains("config.yaml: |")).unwrap();
        assert!(config.contains("app.kubernetes.io/name: traefik"), "{config}");
        assert!(of("Deployment").unwrap().contains("app.kubernetes.io/name: traefik"), "{profile}");
    }
}

#[test]
fn rights_are_bounded_to_the_watched_namespaces() {
    let output = helm(&["--set", "config.watchNamespaces={shop,billing}"]);
    let rendered = String::from_utf8(output.stdout).unwrap();
    // In the cluster itself it may look at definitions, and at nothing else.
    let bindings: Vec<_> =
        rendered.split("\n---").filter(|text| text.contains("kind: ClusterRoleBinding")).collect();
    assert!(bindings.len() == 1 && bindings[0].contains("name: goodgo-operator-cluster}"), "{bindings:?}");
    for namespace in ["shop", "billing"] {
        assert!(
            rendered.contains(&format!("  name: goodgo-operator\n  namespace: {namespace}\n")),
            "{namespace}"
        );
    }
}

/// `tests/admission_policy.rs` shows on a real API server what it does.
#[test]
fn the_admission_policy_follows_the_configuration() {
    const POLICY: &str = "\nkind: ValidatingAdmissionPolicy\n";
    let policy = |args: &[&str]| {
        let output = helm(args);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let rendered = String::from_utf8(output.stdout).unwrap();
        let found = rendered.split("\n---").find(|text| text.contains(POLICY)).map(str::to_owned);
        let binding =
            rendered.split("\n---").find(|text| text.contains("kind: ValidatingAdmissionPolicyBinding"));
        assert_eq!(binding.is_some(), found.is_some(), "{args:?}");
        found.map(|found| found + binding.unwrap())
    };
    assert_eq!(policy(&[]), None);
    assert_eq!(policy(&["--values", &values("local")]), None);

    let production = policy(&["--values", &values("production")]).unwrap();
    assert!(production.contains("production needs TLS"), "{production}");
    assert!(!production.contains("platform's domains"), "{production}");
    assert!(!production.contains("namespaceSelector"), "{production}");
    let staging = policy(&["--values", &values("staging")]).unwrap();
    assert!(!staging.contains("production needs TLS"), "{staging}");
    let issuer = ["--values", &values("production"), "--set", "config.gateway.defaultIssuer=letsencrypt"];
    assert!(!policy(&issuer).unwrap().contains("production needs TLS"));

    let set = r#"config.gateway.domains[0].domain=a"b,config.watchNamespaces={shop,billing}"#;
    let bounded = policy(&["--set", "admissionPolicy.enabled=true", "--set", set]).unwrap();
    assert!(bounded.contains(r#"expression: "[\"a\\\"b\"]""#), "{bounded}");
    assert!(bounded.contains(r#"operator: In, values: ["shop","billing"]}"#), "{bounded}");
}

#[test]
fn no_right_on_secrets_and_no_wildcard() {
    let rules = rules();
    assert!(!rules.contains("secrets") && !rules.contains('*'), "{rules}");
}

/// The values' schema refuses what it does not know, so it has to know all that the operator reads.
#[test]
fn the_schema_knows_the_whole_configuration() {
    let schema: Value =
        serde_json::from_str(include_str!("../helm/goodgo-operator/values.schema.json")).unwrap();
    let known = schema.pointer("/properties/config/properties").unwrap().as_object().unwrap();
    let config = serde_json::to_value(PlatformConfig::default()).unwrap();
    for field in config.as_object().unwrap().keys() {
        assert!(known.contains_key(field), "values.schema.json lacks config.{field}");
    }
    assert_eq!(
        known.len(),
        config.as_object().unwrap().len(),
        "values.schema.json has fields that nobody reads"
    );
}
