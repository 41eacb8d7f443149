//! What must hold for every service: the order of lists means nothing, names fit and never meet, and both sides of a call
//! open together or not at all.
#![cfg(test)]

mod support;

use goodgo_api::GoodGoService;
use goodgo_render::{ChildKind, PlatformConfig};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use support::Case;

fn name() -> impl Strategy<Value = String> {
    "[a-z]([a-z0-9]|-[a-z0-9]){0,19}"
}

fn service(namespace: &str, name: &str, spec: &Value) -> GoodGoService {
    serde_json::from_value(json!({
        "apiVersion": "goodgo.io/v1alpha1", "kind": "GoodGoService",
        "metadata": {"namespace": namespace, "name": name, "uid": "u"}, "spec": spec,
    }))
    .unwrap()
}

fn case(services: Vec<GoodGoService>) -> Case {
    Case { services, platform: PlatformConfig::default() }
}

fn objects(case: &Case) -> Vec<goodgo_render::Child> {
    case.children().objects().unwrap()
}

/// A callee's access, as written; `null` is absent.
fn access() -> impl Strategy<Value = Value> {
    let callers = prop_oneof![
        Just(Value::Null),
        Just(json!([])),
        Just(json!([{"service": "caller"}])),
        Just(json!([{"service": "caller", "namespace": "a"}])),
    ];
    let namespaces = prop_oneof![Just(json!([])), Just(json!(["a"])), Just(json!(["*"])), Just(json!(["z"]))];
    prop_oneof![
        1 => Just(Value::Null),
        4 => (callers, namespaces).prop_map(|(callers, namespaces)| {
            let mut access = json!({"namespaces": namespaces});
            if !callers.is_null() {
                access["callers"] = callers;
            }
            access
        }),
    ]
}

/// The ports of the rules in `side` (`ingress`/`from` or `egress`/`to`) whose peers are pods of `service`.
fn opened(case: &Case, side: &str, peers: &str, namespace: &str, service: &str) -> Option<BTreeSet<String>> {
    let policy = objects(case).into_iter().find(|child| child.kind == ChildKind::NetworkPolicy).unwrap();
    let rules = policy.object["spec"][side].as_array().cloned().unwrap_or_default();
    let matching = rules.into_iter().filter(|rule| {
        rule[peers].as_array().unwrap().iter().any(|peer| {
            peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] == namespace
                && peer["podSelector"]["matchExpressions"][0]["values"]
                    .as_array()
                    .is_some_and(|names| names.iter().any(|name| name == service))
        })
    });
    let ports: Vec<_> = matching.flat_map(|rule| rule["ports"].as_array().unwrap().clone()).collect();
    (!ports.is_empty()).then(|| ports.iter().map(Value::to_string).collect())
}

/// The runtime's configuration, with the runtime on.
fn runtime_file(case: &Case) -> Option<Value> {
    let map = objects(case).into_iter().find(|child| child.kind == ChildKind::ConfigMap)?;
    Some(serde_json::from_str(map.object["data"]["runtime.json"].as_str().unwrap()).unwrap())
}

/// A volume of the pods.
fn volume(case: &Case, name: &str) -> Value {
    let pods = objects(case).into_iter().find(|child| child.kind == ChildKind::Deployment).unwrap();
    let volumes = pods.object["spec"]["template"]["spec"]["volumes"].as_array().cloned().unwrap_or_default();
    volumes.into_iter().find(|volume| volume["name"] == name).unwrap_or_default()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_sides_of_a_call_open_the_same_ports_or_none(
        access in access(),
        same_namespace in any::<bool>(),
        exists in any::<bool>(),
        runtime in any::<bool>(),
        protocol in prop::sample::select(vec!["HTTP", "GRPC", "TCP"]),
        more in any::<bool>(),
    ) {
        let namespace = if same_namespace { "a" } else { "b" };
        let mut spec = json!({
            "image": "x:1", "port": 8080, "servicePort": 80, "protocol": protocol, "runtime": {"enabled": runtime},
        });
        if !access.is_null() {
            spec["access"] = access;
        }
        if more {
            spec["additionalPorts"] = json!([{"name": "more", "port": 9100, "protocol": "UDP"}]);
        }
        let caller = service("a", "caller", &json!({
            "image": "x:1", "calls": [{"service": "callee", "namespace": namespace}],
        }));
        let callee = service(namespace, "callee", &spec);
        if !exists {
            let egress = opened(&case(vec![caller]), "egress", "to", namespace, "callee");
            prop_assert_eq!(egress, None);
            return Ok(());
        }
        let egress = opened(&case(vec![caller.clone(), callee.clone()]), "egress", "to", namespace, "callee");
        let ingress = opened(&case(vec![callee, caller]), "ingress", "from", "a", "caller");
        prop_assert_eq!(&egress, &ingress);
        let app_port = json!({"port": 8080, "protocol": "TCP"}).to_string();
        let behind_runtime = runtime && protocol != "TCP";
        prop_assert!(egress.is_none_or(|ports| ports.contains(&app_port) != behind_runtime));
    }

    #[test]
    fn a_caller_is_let_in_exactly_when_its_own_runtime_sends_it_there(
        access in access(),
        keys in any::<bool>(),
        same_namespace in any::<bool>(),
        caller_runtime in any::<bool>(),
        callee_runtime in any::<bool>(),
        account in prop::option::of("[a-z]{1,8}"),
    ) {
        let namespace = if same_namespace { "a" } else { "b" };
        let mut spec = json!({"image": "x:1", "access": access, "runtime": {"enabled": callee_runtime}});
        if keys {
            spec["access"]["keys"] = json!({"secret": "keys"});
        }
        let mut calling = json!({
            "image": "x:1", "runtime": {"enabled": caller_runtime},
            "calls": [{"service": "callee", "namespace": namespace}],
        });
        if let Some(account) = &account {
            calling["serviceAccountName"] = json!(account);
        }
        let caller = service("a", "caller", &calling);
        let callee = service(namespace, "callee", &spec);
        let (near, far) = (case(vec![caller.clone(), callee.clone()]), case(vec![callee, caller]));
        let accepted = near.view().calls["callee"].endpoint().is_some();
        prop_assert!(!accepted || caller_runtime || keys || !callee_runtime, "somebody must be able to prove it");
        if let Some(file) = runtime_file(&far) {
            let subject = format!("system:serviceaccount:a:{}", account.as_deref().unwrap_or("caller--app"));
            let callers = file["inbound"]["callers"].as_array().cloned().unwrap_or_default();
            let expected = if accepted { vec![json!({"name": "a/caller", "subject": subject})] } else { vec![] };
            prop_assert_eq!(callers, expected);
            prop_assert_eq!(&file["inbound"]["authentication"]["required"], true);
            prop_assert_eq!(&file["inbound"]["authentication"]["keys"], keys);
        }
        let Some(file) = runtime_file(&near) else { return Ok(()) };
        let call = &file["calls"]["callee"];
        prop_assert_eq!(call["target"].is_object(), accepted);
        prop_assert!(!accepted || call["target"]["service"]["identity"] == callee_runtime);
        let token = &volume(&near, "goodgo-tokens")["projected"]["sources"][0]["serviceAccountToken"];
        let audience = runtime_file(&far).map(|file| file["inbound"]["authentication"]["audience"].clone());
        prop_assert!(audience.is_none_or(|audience| audience == token["audience"]), "{}", token);
    }

    #[test]
    fn the_order_of_lists_means_nothing(
        calls in prop::collection::btree_set("c[a-z]{1,8}", 0..6),
        external in prop::collection::btree_set("e[a-z]{1,8}", 0..4),
        files in prop::collection::btree_set("[a-z]{1,6}", 0..6),
        turn in 0..6_usize,
    ) {
        let manifest = |turn: usize| {
            let order = |mut list: Vec<Value>| {
                let by = if list.is_empty() { 0 } else { turn % list.len() };
                list.rotate_left(by);
                list
            };
            let spec = json!({
                "image": "x:1",
                "calls": order(calls.iter().map(|name| json!({"service": name})).collect()),
                "externalCalls": order(
                    external.iter().map(|name| json!({"name": name, "host": "api.example.com"})).collect(),
                ),
                "files": order(
                    files.iter().map(|name| json!({"path": format!("/{name}"), "configMap": {"name": name}})).collect(),
                ),
                "additionalPorts": order(
                    vec![json!({"name": "one", "port": 9001}), json!({"name": "two", "port": 9002})],
                ),
            });
            case(vec![service("a", "caller", &spec)]).manifest()
        };
        prop_assert_eq!(manifest(0), manifest(turn));
    }

    #[test]
    fn names_fit_and_never_meet(first in name(), second in name(), namespace in "[a-z][a-z0-9-]{0,8}[a-z]") {
        let spec = json!({
            "image": "x:1", "scaling": {"max": 9}, "migrate": {"command": ["m"]},
            "canary": {"image": "x:2", "weight": 5}, "gateway": {
                "hosts": ["a.b"], "tls": {"issuer": "ca"}, "routes": [
                    {"name": "r", "path": "/", "auth": {"none": {}}, "retries": {"attempts": 2}},
                    {"name": "abcdefghijklmnopqrst", "path": "/a", "auth": {"none": {}}, "retries": {"attempts": 2}},
                ],
            },
        });
        let children = |name: &str| objects(&case(vec![service(&namespace, name, &spec)]));
        let named: BTreeSet<_> = children(&first).into_iter().map(|child| (child.kind, child.name)).collect();
        let kinds: BTreeSet<_> = named.iter().map(|(kind, _)| *kind).collect();
        prop_assert_eq!(kinds, BTreeSet::from(ChildKind::ALL));
        prop_assert_eq!(named.len(), 25, "the Services, those of gateway and canary's, of the steps, transports and shares one each, and both IngressRoutes");
        for child in children(&first) {
            prop_assert!(child.name.len() <= 63, "{}", child.name);
            prop_assert_eq!(&child.object["metadata"]["namespace"], namespace.as_str());
            prop_assert_eq!(&child.object["metadata"]["ownerReferences"][0]["uid"], "u");
            prop_assert_eq!(child.object["kind"].as_str(), Some(child.kind.as_str()));
        }
        if first != second {
            let other: BTreeSet<_> = children(&second).into_iter().map(|child| (child.kind, child.name)).collect();
            prop_assert!(named.is_disjoint(&other));
        }
    }
}

/// Reads `Host(`a`) && (Path(`/b`) || PathPrefix(`/b/`))`, as it is written for one host.
fn fits(rule: &str, path: &str) -> bool {
    let paths = rule.split_once(" && ").unwrap().1;
    paths.trim_matches(['(', ')']).split(" || ").any(|part| {
        let (kind, text) = part.split_once("(`").unwrap();
        let text = text.trim_end_matches(['`', ')']);
        if kind == "Path" { path == text } else { path.starts_with(text) }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// The routes are asked in the order of their priorities, as Traefik does; what should be met is found without any.
    #[test]
    fn the_more_specific_route_wins_whatever_the_order(
        routes in prop::collection::btree_map("(/[ab]{1,2}){1,3}|/", any::<bool>(), 1..6),
        asked in prop::collection::vec("(/[ab]{1,2}){0,4}/?", 1..8),
        turn in 0..6_usize,
    ) {
        let mut declared: Vec<_> = routes.iter().enumerate().map(|(index, (path, exact))| json!({
            "name": format!("r{index}"), "path": path, "pathType": if *exact { "Exact" } else { "Prefix" },
            "auth": {"none": {}}, "compress": true,
        })).collect();
        let length = declared.len();
        declared.rotate_left(turn % length);
        let spec = json!({"image": "x:1", "gateway": {"hosts": ["a.b"], "tls": {"secret": "s"}, "routes": declared}});
        let objects = objects(&case(vec![service("a", "a", &spec)]));
        let object = objects.into_iter().find(|child| child.name == "a--routes").unwrap().object;
        let mut rules = object["spec"]["routes"].as_array().unwrap().clone();
        rules.sort_by_key(|rule| std::cmp::Reverse(rule["priority"].as_u64()));
        for path in asked.iter().filter(|path| path.starts_with('/')) {
            let below = |prefix: &str| {
                let rest = path.strip_prefix(prefix.trim_end_matches('/'));
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            let fitting = routes.iter().enumerate().filter(|(_, (route, exact))| {
                if **exact { path == *route } else { below(route) }
            });
            let expected = fitting.max_by_key(|(_, (route, _))| route.len()).map(|(index, _)| format!("a--r{index}--compress"));
            let met = rules.iter().find(|rule| fits(rule["match"].as_str().unwrap(), path));
            let met = met.map(|rule| rule["middlewares"].as_array().unwrap().last().unwrap()["name"].as_str().unwrap().to_owned());
            // Its name ends in a hash.
            let met = met.map(|name| name.rsplit_once('-').unwrap().0.to_owned());
            prop_assert_eq!(met, expected, "{}", path);
        }
    }

    #[test]
    fn what_another_service_holds_is_in_no_rule(lost in prop::collection::btree_set(0..4_usize, 0..4)) {
        let claims: Vec<_> = lost.iter().map(|index| format!("{}/{}", ["a.b", "c.d"][index / 2], ["x", "y"][index % 2])).collect();
        let route = |path: &str| json!({"name": path, "path": format!("/{path}"), "auth": {"none": {}}});
        let spec = json!({"image": "x:1", "gateway": {
            "hosts": ["a.b", "c.d"], "tls": {"secret": "s"}, "routes": [route("x"), route("y")],
        }});
        // The same spec, and the status that says what it holds.
        let mut holder = service("b", "holder", &spec);
        let routes = json!({"routes": [{"name": "x", "claims": claims, "state": "Ok"}]});
        holder.status = Some(serde_json::from_value(routes).unwrap());
        let mut mine = service("a", "a", &spec);
        mine.metadata.creation_timestamp = None;
        let objects = objects(&case(vec![mine, holder]));
        let rules: Vec<_> = objects
            .iter()
            .filter(|child| child.name == "a--routes")
            .flat_map(|child| child.object["spec"]["routes"].as_array().unwrap())
            .map(|rule| rule["match"].as_str().unwrap().to_owned())
            .collect();
        for index in 0..4 {
            let (host, path) = (["a.b", "c.d"][index / 2], ["/x", "/y"][index % 2]);
            let there = rules.iter().any(|rule| {
                rule.contains(&format!("Host(`{host}`)")) && rule.contains(&format!("Path(`{path}`)"))
            });
            prop_assert_eq!(there, !lost.contains(&index), "{} {}", host, path);
        }
    }
}

#[test]
fn a_callee_that_appears_or_moves_replaces_no_pod_and_runs_no_migration_again() {
    let caller = service(
        "a",
        "caller",
        &json!({
            "image": "x:1", "calls": [{"service": "callee"}], "migrate": {"command": ["migrate"]},
        }),
    );
    // The Job's name carries the hash of the pod template: equal names are equal pods.
    let job = |others: Vec<GoodGoService>| {
        let case = case([vec![caller.clone()], others].concat());
        let job = objects(&case).into_iter().find(|child| child.kind == ChildKind::Job).unwrap();
        job.object["metadata"]["name"].clone()
    };
    let callee = |port: u16| service("a", "callee", &json!({"image": "x:1", "port": port}));
    let alone = job(vec![]);
    assert_eq!(alone, job(vec![callee(3001)]));
    assert_eq!(alone, job(vec![callee(3002)]));
}

#[test]
fn a_certificate_is_of_hosts_that_the_service_holds() {
    let spec = |hosts: &[&str], old: &[&str]| {
        json!({"image": "x:1", "gateway": {
            "hosts": hosts, "redirectFrom": old, "tls": {"issuer": "ca"},
            "routes": [{"name": "r", "path": "/", "auth": {"none": {}}}],
        }})
    };
    let names = |hosts: &[&str], old: &[&str]| {
        let mut holder = service("b", "holder", &spec(&["c.d"], &["old.c"]));
        let routes = json!({"routes": [{"name": "r", "claims": ["c.d/", "old.c"], "state": "Ok"}]});
        holder.status = Some(serde_json::from_value(routes).unwrap());
        let objects = objects(&case(vec![service("a", "a", &spec(hosts, old)), holder]));
        let found = objects.into_iter().find(|child| child.kind == ChildKind::Certificate);
        found.map(|child| child.object["spec"]["dnsNames"].clone())
    };
    assert_eq!(names(&["a.b", "c.d"], &["old.b", "old.c"]), Some(json!(["a.b", "old.b"])));
    assert_eq!(names(&["c.d"], &[]), None, "a certificate without names is refused");
}

#[test]
fn of_domains_within_each_other_the_closest_says_where_a_host_is_served() {
    let domain = |domain: &str, entry_point: &str| goodgo_render::platform::HostDomain {
        domain: domain.to_owned(),
        entry_points: vec![entry_point.to_owned()],
        plain_entry_points: vec![],
    };
    let spec = json!({"image": "x:1", "gateway": {
        "hosts": ["a.internal.example.com"], "tls": {"secret": "s"},
        "routes": [{"name": "r", "path": "/", "auth": {"none": {}}}],
    }});
    let (outer, inner) = (domain("example.com", "public"), domain("internal.example.com", "private"));
    for domains in [vec![outer.clone(), inner.clone()], vec![inner, outer]] {
        let mut case = case(vec![service("a", "a", &spec)]);
        case.platform.gateway.domains = domains;
        let objects = objects(&case);
        let routes = objects.iter().find(|child| child.name == "a--routes").unwrap();
        assert_eq!(routes.object["spec"]["entryPoints"], json!(["private"]));
    }
}
