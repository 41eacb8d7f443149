//! The file as text: what is accepted, what is refused and how, and that the committed schema is this type's.

#![cfg(test)]

use goodgo_runtime_config::{
    AppProbe, AppProbes, Asked, Authentication, Cache, Call, CallPolicy, CallRoute, Caller, Check,
    CircuitBreaker, Drain, Error, ForwardAuth, GatewayAuth, Health, Inbound, Issuer, Jwt, MAX_FILE_BYTES,
    Observability, Protocol, Retries, Route, RouteAuth, RuntimeConfig, Scheme, ServiceRef, Target,
    TargetService, Tracing, Version, json_schema, parse,
};

const WHOLE: &str = r#"{
  "version": "v1alpha1",
  "revision": "9f86d081884c7d65",
  "service": {
    "name": "user-service",
    "namespace": "shop"
  },
  "protocol": "HTTP",
  "calls": {
    "iam-service": {
      "target": {
        "scheme": "http",
        "host": "iam-service.shop.svc.cluster.local.",
        "port": 3001
      }
    },
    "missing-one": {
      "unavailable": {
        "reason": "CalleeMissing",
        "message": "no GoodGoService missing-one in namespace shop; create it"
      }
    },
    "payments": {
      "target": {
        "scheme": "https",
        "host": "api.example.com",
        "port": 443
      }
    }
  },
  "inbound": {
    "authentication": {
      "required": true,
      "audience": "",
      "keys": false
    }
  },
  "drain": {
    "settleSeconds": 5,
    "timeoutSeconds": 25
  }
}
"#;

fn whole() -> RuntimeConfig {
    RuntimeConfig {
        version: Version::V1Alpha1,
        revision: "9f86d081884c7d65".to_owned(),
        service: ServiceRef { name: "user-service".to_owned(), namespace: "shop".to_owned() },
        protocol: Protocol::Http,
        calls: [
            ("payments", Call::to(Scheme::Https, "api.example.com", 443)),
            ("iam-service", Call::to(Scheme::Http, "iam-service.shop.svc.cluster.local.", 3001)),
            (
                "missing-one",
                Call::unavailable(
                    "CalleeMissing",
                    "no GoodGoService missing-one in namespace shop; create it",
                ),
            ),
        ]
        .map(|(name, call)| (name.to_owned(), call))
        .into(),
        inbound: Inbound::default(),
        health: Health::default(),
        observability: Observability::default(),
        drain: Drain::default(),
    }
}

/// Every part set.
fn rich() -> RuntimeConfig {
    let policy = CallPolicy {
        retries: Some(Retries::default()),
        circuit_breaker: Some(CircuitBreaker::default()),
        cache: Some(Cache { max_age_ms: 30_000 }),
        routes: vec![CallRoute {
            path: "/reports".to_owned(),
            methods: vec!["GET".to_owned()],
            timeout_ms: Some(30_000),
            retries: None,
        }],
        ..CallPolicy::default()
    };
    let target = Target {
        scheme: Scheme::Http,
        host: "iam-service.shop.svc.cluster.local.".to_owned(),
        port: 3001,
        service: Some(TargetService {
            pods: Some("_service._tcp.iam-service--pods.shop.svc.cluster.local.".to_owned()),
            identity: true,
        }),
    };
    let route = |name: &str, auth| Route {
        name: name.to_owned(),
        path: format!("/api/{name}"),
        exact: false,
        methods: vec!["GET".to_owned()],
        strip_prefix: Some("/api".to_owned()),
        auth,
        timeout_ms: Some(1_000),
        max_body_bytes: Some(1 << 20),
        content_types: vec!["application/json".to_owned()],
    };
    let jwt = Jwt {
        issuer: "https://id.example".to_owned(),
        audience: "shop".to_owned(),
        jwks: "https://id.example/keys".to_owned(),
        claims: [("sub".to_owned(), "x-user-id".to_owned())].into(),
    };
    let forward = ForwardAuth {
        call: "iam-service".to_owned(),
        path: "/auth/verify".to_owned(),
        headers: vec!["X-User-Id".to_owned()],
    };
    let at_gateway = GatewayAuth { headers: vec!["X-User-Id".to_owned()] };
    let probe = AppProbe { port: 3000, path: Some("/health/live".to_owned()), grpc: None, timeout_ms: 1_000 };
    RuntimeConfig {
        calls: [("iam-service".to_owned(), Call { target: Some(target), unavailable: None, policy })].into(),
        inbound: Inbound {
            authentication: Authentication {
                required: true,
                audience: "goodgo.io/shop/user-service".to_owned(),
                issuers: vec![Issuer { issuer: "https://cluster".to_owned(), keys: Vec::new() }],
                keys: true,
            },
            callers: vec![Caller {
                name: "shop/order-service".to_owned(),
                subject: "system:serviceaccount:shop:order-service".to_owned(),
            }],
            routes: vec![
                route("users", RouteAuth { jwt: Some(jwt), ..RouteAuth::default() }),
                route("orders", RouteAuth { forward: Some(forward), ..RouteAuth::default() }),
                route("open", RouteAuth { none: true, ..RouteAuth::default() }),
                route("edge", RouteAuth { gateway: Some(at_gateway), ..RouteAuth::default() }),
            ],
            asked: Some(Asked {
                host: "user-service.shop.svc.cluster.local".to_owned(),
                paths: vec!["/auth/verify".to_owned()],
            }),
            event_paths: vec!["/events/order-placed".to_owned()],
        },
        health: Health {
            database: Some(Check { required: true, every_ms: 30_000 }),
            app: Some(AppProbes { live: probe.clone(), ready: probe, startup: None }),
            ..Health::default()
        },
        observability: Observability {
            tracing: Some(Tracing { endpoint: "http://collector:4317".to_owned(), sampling_percent: 10 }),
            app_metrics: None,
        },
        ..whole()
    }
}

#[test]
fn a_file_with_every_part_is_read_as_it_was_written() {
    let text = rich().to_json().unwrap();
    assert_eq!(parse(text.as_bytes()).unwrap(), rich(), "{text}");
}

/// The paths of what is wrong with the rich file after `change`.
fn wrong(change: impl FnOnce(&mut RuntimeConfig)) -> Vec<String> {
    let mut config = rich();
    change(&mut config);
    let Error::Invalid(violations) = config.to_json().unwrap_err() else { unreachable!() };
    violations.into_iter().map(|violation| violation.path).collect()
}

#[test]
fn every_bound_is_checked_where_it_stands() {
    fn policy(config: &mut RuntimeConfig) -> &mut CallPolicy {
        &mut config.calls.get_mut("iam-service").unwrap().policy
    }
    fn route(config: &mut RuntimeConfig) -> &mut Route {
        &mut config.inbound.routes[0]
    }
    let call = "calls.iam-service";
    assert_eq!(wrong(|c| policy(c).timeout_ms = 0), [format!("{call}.policy.timeoutMs")]);
    assert_eq!(
        wrong(|c| policy(c).idle_timeout_ms = Some(u64::MAX)),
        [format!("{call}.policy.idleTimeoutMs")]
    );
    assert_eq!(wrong(|c| policy(c).concurrency = 0), [format!("{call}.policy.concurrency")]);
    assert_eq!(
        wrong(|c| policy(c).retries.as_mut().unwrap().attempts = 11),
        [format!("{call}.policy.retries.attempts")]
    );
    assert_eq!(
        wrong(|c| policy(c).circuit_breaker.as_mut().unwrap().error_percent = 101),
        [format!("{call}.policy.circuitBreaker.errorPercent")]
    );
    assert_eq!(
        wrong(|c| policy(c).routes[0].path = "reports".to_owned()),
        [format!("{call}.policy.routes[0].path")]
    );
    assert_eq!(wrong(|c| route(c).strip_prefix = Some("/ap".to_owned())), ["inbound.routes[0].stripPrefix"]);
    assert_eq!(wrong(|c| route(c).auth.none = true), ["inbound.routes[0].auth"]);
    assert_eq!(wrong(|c| route(c).auth.jwt = None), ["inbound.routes[0].auth"]);
    assert_eq!(wrong(|c| route(c).name = "open".to_owned()), ["inbound.routes[2].name"]);
    assert_eq!(
        wrong(|c| route(c).content_types.push("json".to_owned())),
        ["inbound.routes[0].contentTypes[1]"]
    );
    assert_eq!(
        wrong(|c| c.inbound.routes[1].auth.forward.as_mut().unwrap().call = "nobody".to_owned()),
        ["inbound.routes[1].auth.forward.call"]
    );
    for name in ["Host", "content_length", "TE", "Proxy-Authorization", "x-goodgo-caller", "X_Service_Auth"] {
        assert_eq!(
            wrong(|c| c.inbound.routes[1].auth.forward.as_mut().unwrap().headers.push(name.to_owned())),
            ["inbound.routes[1].auth.forward.headers[1]"],
            "{name}"
        );
        let claims = |c: &mut RuntimeConfig| {
            c.inbound.routes[0].auth.jwt.as_mut().unwrap().claims = [("a".to_owned(), name.to_owned())].into()
        };
        assert_eq!(wrong(claims), ["inbound.routes[0].auth.jwt.claims[0]"], "{name}");
    }
    assert_eq!(wrong(|c| c.inbound.authentication.audience.clear()), ["inbound.authentication.audience"]);
    assert_eq!(wrong(|c| c.inbound.callers[0].name = "order".to_owned()), ["inbound.callers[0].name"]);
    assert_eq!(
        wrong(|c| c.observability.tracing.as_mut().unwrap().endpoint = "collector:4317".to_owned()),
        ["observability.tracing.endpoint"]
    );
    assert_eq!(wrong(|c| c.health.app.as_mut().unwrap().live.port = 0), ["health.app.live.port"]);
}

/// The violations' paths of `WHOLE` with one piece of text replaced.
fn paths_after(from: &str, to: &str) -> Vec<String> {
    assert!(WHOLE.contains(from), "{from} is not in the fixture");
    let error = parse(WHOLE.replacen(from, to, 1).as_bytes()).unwrap_err();
    let Error::Invalid(violations) = error else { unreachable!("after {from} -> {to}: {error}") };
    violations.into_iter().map(|v| v.path).collect()
}

fn decode_error(text: &str) -> String {
    let error = parse(text.as_bytes()).unwrap_err();
    assert!(matches!(error, Error::Decode(_)), "{error}");
    error.to_string()
}

#[test]
fn writes_the_same_bytes_that_it_reads() {
    assert_eq!(whole().to_json().unwrap(), WHOLE);
    assert_eq!(parse(WHOLE.as_bytes()).unwrap(), whole());
}

#[test]
fn optional_parts_have_defaults() {
    let config =
        parse(br#"{"version":"v1alpha1","revision":"0","service":{"name":"a","namespace":"b"}}"#).unwrap();
    assert_eq!(config.protocol, Protocol::Http);
    assert!(config.calls.is_empty());
    assert_eq!(config.drain, Drain { settle_seconds: 5, timeout_seconds: 25, pre_stop: None });
}

#[test]
fn values_out_of_bounds_are_named_by_path() {
    for (from, to, path) in [
        ("9f86d081884c7d65", "not hex", "revision"),
        ("9f86d081884c7d65", "", "revision"),
        ("user-service", "User", "service.name"),
        (r#""namespace": "shop""#, r#""namespace": "-""#, "service.namespace"),
        (r#""iam-service": {"#, r#""iam_service": {"#, "calls.iam_service"),
        ("3001", "0", "calls.iam-service.target.port"),
        ("api.example.com", "api.example.com:443", "calls.payments.target.host"),
        ("api.example.com", "", "calls.payments.target.host"),
        ("api.example.com", "10.0.0.999", "calls.payments.target.host"),
        ("api.example.com", "a..b", "calls.payments.target.host"),
        ("CalleeMissing", "callee missing", "calls.missing-one.unavailable.reason"),
        (r#""settleSeconds": 5"#, r#""settleSeconds": 3601"#, "drain.settleSeconds"),
        (r#""timeoutSeconds": 25"#, r#""timeoutSeconds": 86401"#, "drain.timeoutSeconds"),
    ] {
        assert_eq!(paths_after(from, to), [path], "after {from} -> {to}");
    }
}

#[test]
fn a_call_is_exactly_one_of_target_and_unavailable() {
    let mut config = whole();
    let call = config.calls.get_mut("payments").unwrap();
    call.unavailable = Call::unavailable("A", "").unavailable;
    let error = config.to_json().unwrap_err().to_string();
    assert_eq!(
        error,
        "failed to validate the runtime configuration: calls.payments: set exactly one of target and unavailable; \
         both are set"
    );
    config.calls.insert("payments".to_owned(), Call::default());
    assert!(config.to_json().unwrap_err().to_string().contains("none is set"));
}

#[test]
fn addresses_are_hosts_too() {
    for host in ["10.0.0.1", "::1", "localhost", "a.b."] {
        let text = WHOLE.replacen("api.example.com", host, 1);
        assert!(parse(text.as_bytes()).is_ok(), "{host}");
    }
}

#[test]
fn unknown_fields_versions_and_types_are_refused_with_line_and_column() {
    let error = decode_error(&WHOLE.replacen("settleSeconds", "settle", 1));
    assert!(error.contains("unknown field `settle`") && error.contains("line 39 column"), "{error}");
    assert!(decode_error(&WHOLE.replacen("v1alpha1", "v9", 1)).contains("expected `v1alpha1`"));
    assert!(decode_error(&WHOLE.replacen("\"HTTP\"", "\"SMTP\"", 1)).contains("SMTP"));
    assert!(decode_error(&WHOLE.replacen("3001", "70000", 1)).contains("70000"));
    assert!(decode_error("").contains("line 1 column 0"));
}

#[test]
fn a_file_larger_than_a_config_map_is_refused_unread() {
    let error = parse(&vec![b' '; MAX_FILE_BYTES + 1]).unwrap_err();
    assert!(matches!(error, Error::TooLarge { bytes } if bytes == MAX_FILE_BYTES + 1));
}

#[test]
fn content_does_not_depend_on_the_revision() {
    let other = RuntimeConfig { revision: "ff".to_owned(), ..whole() };
    assert_eq!(whole().content().unwrap(), other.content().unwrap());
    let changed = RuntimeConfig { drain: Drain { settle_seconds: 6, ..Drain::default() }, ..whole() };
    assert_ne!(whole().content().unwrap(), changed.content().unwrap());
}

#[test]
fn the_committed_schema_has_no_drift() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/runtime-config.schema.json");
    let generated = json_schema().unwrap();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(committed, generated, "rewrite it with UPDATE_GOLDEN=1 cargo test -p goodgo-runtime-config");
}
