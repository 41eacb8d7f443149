//! What is refused, where, and with which remedy. Each line is a spec that the API server alone would let through, or
//! that was stored before a rule existed.
#![cfg(test)]

use goodgo_api::GoodGoService;
use goodgo_render::platform::{Environment, HostDomain};
use goodgo_render::{PlatformConfig, ValidatedService, Violation};

fn validate(spec: &str, platform: &PlatformConfig) -> Vec<Violation> {
    let text = format!(
        "apiVersion: goodgo.io/v1alpha1\nkind: GoodGoService\nmetadata: {{name: user-service, namespace: shop}}\nspec:\n  image: x:1\n{spec}\n"
    );
    let service: GoodGoService =
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    ValidatedService::new(&service, platform).err().unwrap_or_default()
}

fn local() -> PlatformConfig {
    PlatformConfig { environment: Environment::Local, ..PlatformConfig::default() }
}

/// Spec, path of the one violation, and what its sentence says.
const REFUSED: &[(&str, &str, &str)] = &[
    ("  calls: [{service: user-service}]", "spec.calls[0]", "127.0.0.1"),
    ("  calls: [{service: user-service, namespace: shop}]", "spec.calls[0]", "can't call itself"),
    (
        "  calls: [{service: iam}, {service: iam, namespace: shop, as: again}]",
        "spec.calls[1]",
        "write its namespace in both calls or in none",
    ),
    ("  calls: [{service: a}, {service: b, as: a}]", "spec.calls", "rename one with 'as'"),
    ("  calls: [{service: Iam}]", "spec.calls[0]", "lower case"),
    (
        "  calls: [{service: iam-service}]\n  env: [{name: IAM_SERVICE_URL, value: x}]",
        "spec.env[0].name",
        "rename the call with 'as'",
    ),
    ("  env: [{name: EVENTS_URL}]", "spec.env[0].name", "platform's own"),
    ("  env: [{name: A}, {name: GOODGO_X}]", "spec.env[1].name", "platform's own"),
    (
        "  externalCalls: [{name: dir, protocol: TCP, host: ldap.example.com, port: 636}]\n  env: [{name: DIR_HOST}]",
        "spec.env[0].name",
        "rename the call",
    ),
    (
        "  calls: [{service: iam}]\n  initContainers: [{name: i, env: [{name: IAM_URL}]}]",
        "spec.initContainers[0].env[0].name",
        "rename the call with 'as'",
    ),
    ("  terminationGracePeriod: 9s", "spec.terminationGracePeriod", "at least 10s"),
    ("  terminationGracePeriod: soon", "spec.terminationGracePeriod", "no duration"),
    ("  port: 14001", "spec.port", "14000 to 14999"),
    (
        "  additionalPorts: [{name: http, port: 9000}]",
        "spec.additionalPorts[0].name",
        "the service's own port",
    ),
    ("  additionalPorts: [{name: admin, port: 9000}]", "spec.additionalPorts[0].name", "platform's own"),
    (
        "  servicePort: 80\n  additionalPorts: [{name: more, port: 80}]",
        "spec.additionalPorts[0].port",
        "choose another",
    ),
    (
        "  additionalPorts: [{name: a, port: 90}, {name: b, port: 90}]",
        "spec.additionalPorts[1].port",
        "choose another",
    ),
    (
        "  files: [{path: /tmp, emptyDir: {}}, {path: /tmp/, emptyDir: {}}]",
        "spec.files[1].path",
        "mounted there already",
    ),
    ("  files: [{path: /etc/goodgo/x, emptyDir: {}}]", "spec.files[0].path", "platform's own"),
    ("  files: [{path: /a, emptyDir: {sizeLimit: big}}]", "spec.files[0].emptyDir.sizeLimit", "128Mi"),
    ("  labels: {\"a b\": x}", "spec.labels[a b]", "a key is a name"),
    ("  podLabels: {goodgo.io/track: canary}", "spec.podLabels[goodgo.io/track]", "operator's own"),
    ("  resources: {requests: {cpu: '-1'}}", "spec.resources.requests.cpu", "positive quantity"),
    ("  resources: {requests: {cores: '1'}}", "spec.resources.requests.cores", "name cpu, memory"),
    (
        "  resources: {requests: {memory: 1Gi}, limits: {memory: 1G}}",
        "spec.resources.requests.memory",
        "raise the limit",
    ),
    (
        "  runtime: {resources: {limits: {memory: x}}}",
        "spec.runtime.resources.limits.memory",
        "positive quantity",
    ),
    (
        "  strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 0}}",
        "spec.strategy.rollingUpdate",
        "above 0",
    ),
    ("  scaling: {max: 3, scaleDownAfter: 2h}", "spec.scaling.scaleDownAfter", "1h or less"),
    ("  scaling: {min: 4, max: 3}", "spec.scaling.min", "greater than max"),
    ("  scaling: {max: 3}\n  replicas: 2", "spec.replicas", "not both"),
    ("  preStop: {exec: {command: [x]}}", "spec.preStop.exec", "preStop.http"),
    ("  preStop: {http: {path: \"/a?b\"}}", "spec.preStop.http.path", "must be a path"),
    ("  health: {live: {successThreshold: 2}}", "spec.health.live.successThreshold", "leave it out"),
    ("  health: {ready: {period: 5}}", "spec.health.ready.period", "no duration"),
    ("  health: {via: Runtime}\n  runtime: {enabled: false}", "spec.health.via", "switch the runtime on"),
    (
        "  topologySpread: [{topologyKey: rack}, {topologyKey: rack, maxSkew: 2}]",
        "spec.topologySpread[1].topologyKey",
        "join the two",
    ),
    ("  externalCalls: [{name: x, host: a.b, cidrs: [10.0.0.0]}]", "spec.externalCalls[0].cidrs[0]", "CIDR"),
    ("  externalCalls: [{name: x}]", "spec.externalCalls[0].host", "name the host"),
    (
        "  dependencies: {redis: {urlFrom: {secret: a, key: b}, to: [{port: 1, cidrs: [x]}]}}",
        "spec.dependencies.redis.to[0].cidrs[0]",
        "CIDR",
    ),
    ("  calls: [{service: iam, cache: {maxAge: 31d}}]", "spec.calls[iam].cache.maxAge", "1ms to 30d"),
    (
        "  calls: [{service: iam, routes: [{path: /a}, {path: /b, timeout: soon}]}]",
        "spec.calls[iam].routes[1].timeout",
        "1ms to 30d",
    ),
    ("  calls: [{service: iam, retries: {backoff: 0s}}]", "spec.calls[iam].retries.backoff", "1ms to 30d"),
    ("  externalCalls: [{name: x, host: a.123}]", "spec.externalCalls[x].host", "DNS name"),
    (
        "  dependencies: {redis: {urlFrom: {secret: a, key: b}, every: 60d}}",
        "spec.dependencies.redis.every",
        "1ms to 30d",
    ),
    ("  health: {via: Runtime, ready: {exec: {command: [x]}}}", "spec.health.ready.exec", "use path or grpc"),
    (
        "  gateway: {hosts: [a.b], routes: [{name: r, path: /users, auth: {none: {}}}, {name: s, path: /users/, auth: {none: {}}}]}",
        "spec.gateway.routes[s].path",
        "the route r has this path already",
    ),
    (
        "  gateway: {hosts: [a.b], routes: [{name: r, path: /, maxBody: big, auth: {none: {}}}]}",
        "spec.gateway.routes[r].maxBody",
        "such as 1Mi",
    ),
    (
        "  gateway: {hosts: [a.b], routes: [{name: r, path: /, contentTypes: [json], auth: {none: {}}}]}",
        "spec.gateway.routes[r].contentTypes[0]",
        "type/subtype",
    ),
    (
        "  gateway: {hosts: [a.b], routes: [{name: r, path: /, auth: {jwt: {issuer: i, audience: a, jwks: 'https://a.b/k?x'}}}]}",
        "spec.gateway.routes[r].auth.jwt.jwks",
        "URL",
    ),
    (
        "  calls: [{service: iam}]\n  gateway: {hosts: [a.b], routes: [{name: r, path: /, auth: {forward: {service: iam, namespace: auth, path: /v}}}]}",
        "spec.gateway.routes[r].auth.forward.service",
        "declare it in spec.calls",
    ),
    (
        "  runtime: {enabled: false}\n  gateway: {hosts: [a.b], routes: [{name: r, path: /, auth: {jwt: {issuer: i, audience: a, jwks: 'https://a.b/k'}}}]}",
        "spec.gateway.routes[r].auth",
        "switch the runtime on",
    ),
    (
        "  gateway: {hosts: ['*.goodgo.example'], routes: [{name: r, path: /, auth: {none: {}}}]}",
        "spec.gateway.hosts[0]",
        "DNS name",
    ),
    (
        "  gateway: {hosts: [Api.goodgo.example], routes: [{name: r, path: /, auth: {none: {}}}]}",
        "spec.gateway.hosts[0]",
        "DNS name",
    ),
    (
        "  gateway: {hosts: [localhost], routes: [{name: r, path: /, auth: {none: {}}}]}",
        "spec.gateway.hosts[0]",
        "DNS name",
    ),
    (
        "  gateway: {hosts: [10.0.0.1], routes: [{name: r, path: /, auth: {none: {}}}]}",
        "spec.gateway.hosts[0]",
        "DNS name",
    ),
    (
        "  gateway: {hosts: ['a`) || Host(`b.c'], routes: [{name: r, path: /, auth: {none: {}}}]}",
        "spec.gateway.hosts[0]",
        "DNS name",
    ),
    (
        "  gateway: {hosts: [a..b], routes: [{name: r, path: /, auth: {none: {}}}]}",
        "spec.gateway.hosts[0]",
        "DNS name",
    ),
    (
        "  gateway: {hosts: [-a.b], routes: [{name: r, path: /, auth: {none: {}}}]}",
        "spec.gateway.hosts[0]",
        "DNS name",
    ),
    (
        "  gateway: {hosts: [a.b], redirectFrom: [old], routes: [{name: r, path: /, auth: {none: {}}}]}",
        "spec.gateway.redirectFrom[0]",
        "DNS name",
    ),
    (
        "  gateway: {hosts: [a.b], routes: [{name: r, path: '/a`) || PathPrefix(`/', auth: {none: {}}}]}",
        "spec.gateway.routes[r].path",
        "path",
    ),
    (
        "  gateway: {hosts: [a.b], routes: [{name: r, path: /, headers: {'X A': b}, auth: {none: {}}}]}",
        "spec.gateway.routes[r].headers[X A]",
        "letters",
    ),
    (
        "  gateway: {hosts: [a.b], routes: [{name: r, path: /, headers: {X-A: ''}, auth: {none: {}}}]}",
        "spec.gateway.routes[r].headers[X-A]",
        "not empty",
    ),
    (
        "  gateway: {hosts: [a.b], routes: [{name: r, path: /, rateLimit: {average: 1, period: soon}, auth: {none: {}}}]}",
        "spec.gateway.routes[r].rateLimit.period",
        "no duration",
    ),
    (
        "  tolerations: [{key: a, effect: NoExecute, seconds: now}]",
        "spec.tolerations[0].seconds",
        "no duration",
    ),
];

#[test]
fn each_fault_is_refused_once_with_its_path_and_remedy() {
    for (spec, path, remedy) in REFUSED {
        // An unquoted number is no duration; the type is text.
        let spec = spec.replace("period: 5}", "period: '5'}");
        match validate(&spec, &local()).as_slice() {
            [violation] => {
                assert_eq!(violation.path, *path, "{spec}");
                assert!(violation.message.contains(remedy), "{spec}: {violation}");
            }
            other => panic!("{spec}: {other:#?}"),
        }
    }
}

#[test]
fn all_faults_are_said_at_once() {
    let violations =
        validate("  port: 14001\n  calls: [{service: user-service}]\n  terminationGracePeriod: 1s", &local());
    assert_eq!(violations.len(), 3, "{violations:#?}");
}

#[test]
fn a_service_without_fault_passes() {
    for spec in [
        "",
        "  env: [{name: PORT, value: '1'}, {name: IAM_URL}]",
        "  calls: [{service: iam}, {service: iam, namespace: auth, as: auth}]",
        "  strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 1}}",
        "  preStop: {exec: {command: [x]}}\n  runtime: {enabled: false}",
        "  additionalPorts: [{name: dns, port: 3000, protocol: UDP}]",
        "  calls: [{service: iam}]\n  gateway: {hosts: [a.b], routes: [{name: r, path: /, auth: {forward: {service: iam, path: /v}}}]}",
        "  gateway: {hosts: [a.b], routes: [{name: r, path: /a, auth: {none: {}}}, {name: s, path: /a/, pathType: Exact, auth: {none: {}}}, {name: t, path: /a, pathType: Exact, auth: {none: {}}}]}",
        "  gateway: {hosts: [a.b], routes: [{name: r, path: /, auth: {at: Gateway, forward: {service: iam, path: /v}}}]}",
        "  runtime: {enabled: false}\n  gateway: {hosts: [a.b], routes: [{name: r, path: /, auth: {forward: {service: iam, path: /v}}}]}",
    ] {
        assert_eq!(validate(spec, &local()), [], "{spec}");
    }
}

const GATEWAY: &str =
    "  gateway:\n    hosts: [api.goodgo.example]\n    routes: [{name: all, path: /, auth: {none: {}}}]";

#[test]
fn hosts_stay_in_the_platforms_domains() {
    let mut platform = local();
    assert_eq!(validate(GATEWAY, &platform), []);
    platform.gateway.domains = vec![HostDomain {
        domain: "other.example".to_owned(),
        entry_points: vec![],
        plain_entry_points: vec![],
    }];
    match validate(GATEWAY, &platform).as_slice() {
        [violation] => {
            assert_eq!(violation.path, "spec.gateway.hosts[0]");
            assert!(violation.message.contains("other.example"), "the list is named: {violation}");
        }
        other => panic!("{other:#?}"),
    }
}

#[test]
fn production_has_tls() {
    let mut platform = PlatformConfig { environment: Environment::Production, ..PlatformConfig::default() };
    let paths: Vec<_> = validate(GATEWAY, &platform).into_iter().map(|violation| violation.path).collect();
    assert_eq!(paths, ["spec.gateway.tls"]);
    assert_eq!(validate(&format!("{GATEWAY}\n    tls: {{issuer: letsencrypt}}"), &platform), []);
    platform.gateway.default_issuer = Some("letsencrypt".to_owned());
    assert_eq!(validate(GATEWAY, &platform), []);
}

#[test]
fn a_name_that_would_not_fit_is_refused() {
    for name in ["", "User", "a--b", "-a", "a-", "1a", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
        let mut service = GoodGoService::new(name, serde_saphyr::from_str("image: x:1").unwrap());
        service.metadata.namespace = Some("shop".to_owned());
        let violations = ValidatedService::new(&service, &local()).unwrap_err();
        assert_eq!(violations.len(), 1, "{name}");
        assert_eq!(violations[0].path, "metadata.name", "{name}");
    }
}
