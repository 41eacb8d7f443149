use super::*;
use goodgo_api::GoodGoService;
use goodgo_fleet::{Declaration, Fleet, ServiceKey};
use serde_json::{Value, json};

/// What is said of a service `a` of these fields beside a TCP service `ldap`, each as `Part field`.
fn said(spec: &Value, platform: &PlatformConfig) -> Vec<String> {
    let service = |name: &str, spec: &Value| -> GoodGoService {
        let mut spec = spec.clone();
        spec["image"] = "registry.example/a:1".into();
        let object = json!({
            "apiVersion": "goodgo.io/v1alpha1", "kind": "GoodGoService",
            "metadata": {"name": name, "namespace": "shop"}, "spec": spec,
        });
        serde_json::from_value(object).unwrap()
    };
    let a = service("a", spec);
    let mut fleet = Fleet::default();
    for (name, service) in [("a", a.clone()), ("ldap", service("ldap", &json!({"protocol": "TCP"})))] {
        fleet.upsert(ServiceKey::new("shop", name), Declaration::from_service(&service));
    }
    let valid = ValidatedService::new(&a, platform).unwrap();
    let found = not_active(&valid, &fleet.view(&ServiceKey::new("shop", "a")), platform);
    found.iter().map(|NotActive { part, field }| format!("{part:?} {field}")).collect()
}

fn everything_of_a_call() -> Value {
    json!({
        "service": "iam", "timeout": "2s", "connectTimeout": "2s", "perTryTimeout": "1s", "idleTimeout": "1s",
        "priority": "Low", "retries": {"attempts": 2}, "circuitBreaker": {"minRequests": 9},
        "cache": {"maxAge": "1s"}, "concurrency": 9, "forwardAuthorization": true, "routes": [{"path": "/a"}],
    })
}

const OF_A_CALL: [&str; 11] = [
    "cache",
    "circuitBreaker",
    "concurrency",
    "connectTimeout",
    "forwardAuthorization",
    "idleTimeout",
    "perTryTimeout",
    "priority",
    "retries",
    "routes",
    "timeout",
];

#[test]
fn without_the_runtime_all_that_it_would_do_is_said() {
    let spec = json!({
        "runtime": {"enabled": false, "resources": {"requests": {"cpu": "1"}}},
        "calls": [everything_of_a_call()],
        "externalCalls": [{
            "name": "pay", "host": "pay.example", "timeout": "9s", "concurrency": 1, "retries": {}, "circuitBreaker": {},
        }],
        "access": {"keys": {"secret": "keys"}},
        "dependencies": {
            "database": {"urlFrom": {"secret": "db", "key": "url"}},
            "redis": {"urlFrom": {"secret": "redis", "key": "url"}, "required": false},
        },
        "observability": {"metrics": {}},
    });
    let mut expected = vec!["Runtime spec.access.keys".to_owned()];
    expected.extend(OF_A_CALL.map(|field| format!("Runtime spec.calls[iam].{field}")));
    expected.push("Runtime spec.dependencies.database.required".to_owned());
    let external = ["circuitBreaker", "concurrency", "retries", "timeout"];
    expected.extend(external.map(|field| format!("Runtime spec.externalCalls[pay].{field}")));
    expected.push("Runtime spec.observability.metrics".to_owned());
    expected.push("Runtime spec.runtime.resources".to_owned());
    assert_eq!(said(&spec, &PlatformConfig::default()), expected);
}

#[test]
fn with_the_runtime_the_same_is_acted_on() {
    let spec = json!({
        "runtime": {"resources": {"requests": {"cpu": "1"}}},
        "calls": [everything_of_a_call()],
        "access": {"keys": {"secret": "keys"}},
        "dependencies": {"database": {"urlFrom": {"secret": "db", "key": "url"}}},
    });
    assert_eq!(said(&spec, &PlatformConfig::default()), [""; 0]);
}

#[test]
fn defaults_are_not_held_against_anybody() {
    let spec = json!({
        "runtime": {"enabled": false},
        "calls": [{
            "service": "iam", "timeout": "5000ms", "connectTimeout": "1s", "priority": "Normal", "concurrency": 256,
            "forwardAuthorization": false, "retries": {}, "circuitBreaker": {}, "routes": [],
        }],
        "externalCalls": [
            {"name": "pay", "host": "pay.example", "timeout": "5s", "concurrency": 256, "retries": {"attempts": 1}},
        ],
    });
    assert_eq!(said(&spec, &PlatformConfig::default()), [""; 0]);
}

#[test]
fn settings_of_a_call_to_a_tcp_app_are_said_where_the_runtime_is_on() {
    let call = json!({"service": "ldap", "timeout": "2s", "cache": {"maxAge": "1s"}});
    let expected = ["TcpCallee spec.calls[ldap].cache", "TcpCallee spec.calls[ldap].timeout"];
    assert_eq!(said(&json!({"calls": [call]}), &PlatformConfig::default()), expected);
    assert_eq!(said(&json!({"calls": [{"service": "ldap"}]}), &PlatformConfig::default()), [""; 0]);
}

#[test]
fn beside_a_tcp_app_calls_are_made_but_continue_no_request() {
    let spec = json!({"protocol": "TCP", "calls": [everything_of_a_call()]});
    let expected = ["Runtime spec.calls[iam].forwardAuthorization"];
    assert_eq!(said(&spec, &PlatformConfig::default()), expected);
}

#[test]
fn traces_need_a_collector_and_metrics_somebody_who_fetches_them() {
    let spec = json!({"observability": {"metrics": {}, "tracing": {"sampling": "50%"}}});
    let expected = ["Collector spec.observability.tracing", "Monitor spec.observability.metrics"];
    assert_eq!(said(&spec, &PlatformConfig::default()), expected);
    let platform = serde_json::from_value(json!({
        "tracing": {"otlpEndpoint": "http://collector.observability.svc:4317", "protocol": "grpc", "cidrs": ["10.0.0.0/8"]},
    }))
    .unwrap();
    assert_eq!(said(&spec, &platform), ["Monitor spec.observability.metrics"]);
}

#[test]
fn of_a_route_only_what_nobody_can_do_is_left_out() {
    let route = json!({
        "name": "all", "path": "/", "auth": {"none": {}}, "methods": ["GET"], "timeout": "1s", "maxBody": "1Mi",
        "contentTypes": ["application/json"], "rateLimit": {"average": 1}, "cors": {"origins": ["*"]},
        "retries": {"attempts": 2}, "compress": true, "inFlight": 1,
        "circuitBreaker": {"minRequests": 9, "window": "1m", "errorPercent": 20}, "ipAllow": ["10.0.0.0/8"],
        "headers": {"X-A": "b"}, "sticky": true,
    });
    let forward = json!({"forward": {"service": "iam", "path": "/verify"}});
    let asked = json!({"name": "asked", "path": "/asked", "auth": forward});
    let mut edge = json!({"name": "edge", "path": "/edge", "auth": forward});
    edge["auth"]["at"] = "Gateway".into();
    let mut spec = json!({"calls": [{"service": "iam"}], "gateway": {
        "hosts": ["a.example"], "redirectFrom": ["b.example"], "tls": {"secret": "cert"}, "routes": [route, edge, asked],
    }});
    let breaker = [
        "Gateway spec.gateway.routes[all].circuitBreaker.minRequests",
        "Gateway spec.gateway.routes[all].circuitBreaker.window",
    ];
    assert_eq!(said(&spec, &PlatformConfig::default()), breaker);

    spec["runtime"] = json!({"enabled": false});
    let expected = [breaker.as_slice(), &["Runtime spec.gateway.routes[all].contentTypes"]].concat();
    assert_eq!(said(&spec, &PlatformConfig::default()), expected, "the pods can ask nobody");
}
