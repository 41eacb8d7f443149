use std::sync::Arc;

use goodgo_api::GoodGoService;
use goodgo_api::conditions::Condition;
use goodgo_fleet::{Declaration, Fleet, Identity, Refusal, ServiceKey};
use goodgo_render::{ChildKind, NotActive, Part, PlatformConfig, Violation};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::Service;
use super::super::cache::ChildKey;
use super::super::children::{Applied, Children, Migration};
use super::super::in_force::Verdict;
use super::*;

/// A service of these fields in generation 7, which sees nobody but itself.
#[allow(clippy::needless_pass_by_value, reason = "`input(json!(…))` reads as what it is")]
fn input(spec: Value) -> Input {
    let object: GoodGoService = serde_json::from_value(json!({
        "apiVersion": "goodgo.io/v1alpha1", "kind": "GoodGoService",
        "metadata": {"name": "a", "namespace": "shop", "uid": "u", "generation": 7}, "spec": spec,
    }))
    .unwrap();
    let key = ServiceKey::new("shop", "a");
    let mut fleet = Fleet::default();
    fleet.upsert(key.clone(), Declaration::from_service(&object));
    Input {
        view: fleet.view(&key),
        service: Service { key, uid: "u".into(), generation: Some(7) },
        object: Arc::new(object),
        observed: goodgo_render::Observed::default(),
        platform: Arc::new(PlatformConfig::default()),
        issuers: Arc::default(),
    }
}

fn applied(state: Applied) -> Outcome {
    let children = Children {
        foundation: vec![],
        migration: None,
        workload: vec![],
        gateway: vec![],
        in_pod: true,
        routes: vec![],
        url: Some("https://a.b".to_owned()),
        config_revision: None,
        state,
    };
    Outcome::Applied { children: Box::new(children), not_active: vec![] }
}

fn rollout(desired: i32, available: i32) -> Rollout {
    let (current, ready, updated) = (desired, available, desired);
    Rollout {
        desired,
        current,
        ready,
        updated,
        available,
        is_available: available == desired,
        ..Rollout::default()
    }
}

fn status_of(input: &Input, outcome: &Outcome, rollout: Option<&Rollout>) -> GoodGoServiceStatus {
    let previous = GoodGoServiceStatus { observed_generation: Some(6), ..GoodGoServiceStatus::default() };
    let now = "2026-01-01T00:00:00Z".to_owned();
    status(&Facts { input, outcome, rollout, canary: None, in_force: None, previous: &previous, now })
}

/// Every condition as `Type=Status/Reason`.
fn said(status: &GoodGoServiceStatus) -> Vec<String> {
    let line = |found: &Condition| format!("{}={:?}/{}", found.type_, found.status, found.reason);
    status.conditions.iter().map(line).collect()
}

fn minimal() -> Input {
    input(json!({"image": "demo:1", "runtime": {"enabled": false}}))
}

#[test]
fn a_service_that_runs_is_ready_and_lists_nothing_bad() {
    let status = status_of(&minimal(), &applied(Applied::default()), Some(&rollout(2, 2)));
    assert_eq!(said(&status), ["Ready=True/Ready", "WorkloadAvailable=True/Available"]);
    assert_eq!(status.observed_generation, Some(7));
    assert_eq!(status.endpoint.as_deref(), Some("a.shop.svc.cluster.local:3000"));
    let summary = status.summary.unwrap();
    assert_eq!((&*summary.replicas, &*summary.calls, &*summary.topics), ("2/2", "-", "-"));
}

#[test]
fn pods_on_their_way_are_said_and_counted() {
    let status = status_of(&minimal(), &applied(Applied::default()), Some(&rollout(3, 1)));
    let expected =
        ["Ready=False/Unavailable", "Progressing=True/RollingOut", "WorkloadAvailable=False/Unavailable"];
    assert_eq!(said(&status), expected);
    let message = "1 of 3 pods are available: look at `kubectl describe pods -l goodgo.io/service=a`";
    assert_eq!(status.summary.unwrap().message, message);
}

#[test]
fn what_was_not_applied_is_never_observed() {
    let key = ChildKey::new(ChildKind::ConfigMap, "shop", "a--runtime");
    let states = [
        (Applied { conflicts: vec![key.clone()], ..Applied::default() }, "ChildConflict"),
        (Applied { leaving: vec![key.clone()], ..Applied::default() }, "Recreating"),
        (Applied { migration: Migration::Waiting, ..Applied::default() }, "Migrating"),
        (Applied { migration: Migration::Running, ..Applied::default() }, "Migrating"),
        (Applied { migration: Migration::Failed, ..Applied::default() }, "MigrationFailed"),
        (
            Applied { contended: vec![(key, Instant::now())], held_back: true, ..Applied::default() },
            "Contended",
        ),
    ];
    for (state, reason) in states {
        let status = status_of(&minimal(), &applied(state), Some(&rollout(2, 2)));
        assert_eq!(said(&status)[0], format!("Ready=False/{reason}"));
        assert_eq!(status.observed_generation, Some(6), "{reason}");
    }
}

#[test]
fn a_repaired_contention_is_said_and_does_not_gate() {
    let contended = vec![(ChildKey::new(ChildKind::Service, "shop", "a"), Instant::now())];
    let outcome = applied(Applied { contended, ..Applied::default() });
    let status = status_of(&minimal(), &outcome, Some(&rollout(1, 1)));
    let expected = ["Ready=True/Ready", "WorkloadAvailable=True/Available", "Contended=True/Contended"];
    assert_eq!(said(&status), expected);
}

#[test]
fn an_invalid_spec_is_stalled_with_path_and_remedy() {
    let violation = Violation { path: "spec.port".to_owned(), message: "choose another".to_owned() };
    let status = status_of(&minimal(), &Outcome::Invalid(vec![violation]), Some(&rollout(1, 1)));
    assert_eq!(said(&status)[0], "Ready=False/Invalid");
    assert_eq!(status.summary.unwrap().message, "spec.port: choose another");
    assert_eq!(status.observed_generation, Some(6));
}

#[test]
fn a_missing_callee_holds_ready_back_and_is_listed() {
    let input = input(json!({"image": "demo:1", "calls": [{"service": "iam-service"}]}));
    let status = status_of(&input, &applied(Applied::default()), Some(&rollout(1, 1)));
    assert_eq!(said(&status)[0], "Ready=False/CalleeMissing");
    assert!(said(&status).contains(&"CallsResolved=False/CalleeMissing".to_owned()));
    assert_eq!(status.calls[0].service, "iam-service");
    assert_eq!(status.summary.unwrap().calls, "0/1");
}

#[test]
fn a_refused_caller_is_named_at_the_callee_and_does_not_gate() {
    let mut input = minimal();
    input.view.refused.insert(ServiceKey::new("shop", "b"), Refusal::CallerNotListed);
    input.view.refused.insert(ServiceKey::new("web", "c"), Refusal::NamespaceNotListed);
    let status = status_of(&input, &applied(Applied::default()), Some(&rollout(1, 1)));
    let expected = ["Ready=True/Ready", "WorkloadAvailable=True/Available", "CallsResolved=True/Resolved"];
    assert_eq!(said(&status), expected);
    assert_eq!(
        status.conditions[2].message,
        "no calls are declared; refused callers: b (CallerNotListed), web/c (NamespaceNotListed)"
    );
}

#[test]
fn accepted_callers_of_one_service_account_are_named_at_the_callee() {
    let mut input = input(json!({"image": "demo:1"}));
    let identity = |account: &str, proven| Identity { service_account: account.to_owned(), proven };
    let callers = [("b", identity("web", true)), ("c", identity("web", true)), ("d", identity("d", true))];
    input.view.callers.extend(callers.map(|(name, identity)| (ServiceKey::new("shop", name), identity)));
    // The same name elsewhere is another subject, and who proves nothing has none.
    input.view.callers.insert(ServiceKey::new("else", "e"), identity("web", true));
    input.view.callers.insert(ServiceKey::new("shop", "f"), identity("d", false));
    input.view.refused.insert(ServiceKey::new("shop", "g"), Refusal::CallerNotListed);
    let message_of = |input: &Input| {
        let status = status_of(input, &applied(Applied::default()), Some(&rollout(1, 1)));
        assert_eq!(said(&status)[0], "Ready=True/Ready");
        status.conditions[2].message.clone()
    };
    assert_eq!(
        message_of(&input),
        "no calls are declared; callers that share an identity and all count as the first: b, c \
         (ServiceAccount web); refused callers: g (CallerNotListed)"
    );
    input.object = minimal().object;
    assert_eq!(message_of(&input), "no calls are declared; refused callers: g (CallerNotListed)");
}

#[test]
fn what_is_not_acted_on_yet_is_unknown_and_does_not_gate() {
    let input = input(json!({"image": "demo:1", "events": {"publishes": [{"topic": "user.created"}]}}));
    let mut outcome = applied(Applied::default());
    if let Outcome::Applied { not_active, .. } = &mut outcome {
        not_active.push(NotActive { part: Part::Events, field: "spec.events.publishes".to_owned() });
        not_active.push(NotActive { part: Part::Scaling, field: "spec.scaling.consumerLag".to_owned() });
    }
    let status = status_of(&input, &outcome, Some(&rollout(1, 1)));
    let expected = [
        "Ready=True/Ready",
        "WorkloadAvailable=True/Available",
        "TopicsReady=Unknown/NotActive",
        "InForce=Unknown/NotActive",
    ];
    assert_eq!(said(&status), expected);
    assert!(status.conditions[3].message.contains("spec.scaling.consumerLag"));
    assert_eq!(
        (status.topics[0].name.as_str(), status.topics[0].state),
        ("user.created", PartState::Unknown)
    );
}

#[test]
fn a_suspended_service_keeps_what_was_said_before() {
    let before = status_of(&minimal(), &applied(Applied::default()), Some(&rollout(2, 2)));
    let input = minimal();
    let facts = Facts {
        input: &input,
        outcome: &Outcome::Suspended,
        rollout: None,
        canary: None,
        in_force: None,
        previous: &before,
        now: "2026-02-02T00:00:00Z".to_owned(),
    };
    let suspended = status(&facts);
    assert_eq!(
        said(&suspended),
        ["Ready=True/Ready", "WorkloadAvailable=True/Available", "Suspended=True/Suspended"]
    );
    assert_eq!(suspended.replicas, before.replicas);
    let again = status(&Facts { previous: &suspended, now: "2026-03-03T00:00:00Z".to_owned(), ..facts });
    assert_eq!(again, suspended, "said once");
}

#[test]
fn a_transition_time_changes_with_its_status_only() {
    let (input, outcome) = (minimal(), applied(Applied::default()));
    let before = status_of(&input, &outcome, Some(&rollout(2, 1)));
    let later = |rollout: &Rollout| {
        let now = "2026-02-02T00:00:00Z".to_owned();
        let (input, outcome, rollout) = (&input, &outcome, Some(rollout));
        status(&Facts { input, outcome, rollout, canary: None, in_force: None, previous: &before, now })
    };
    assert_eq!(later(&rollout(2, 1)), before);
    assert_eq!(later(&rollout(3, 1)).conditions[0].last_transition_time, "2026-01-01T00:00:00Z");
    assert_eq!(later(&rollout(2, 2)).conditions[0].last_transition_time, "2026-02-02T00:00:00Z");
}

#[test]
fn what_the_pods_run_is_said_with_its_revision_and_repeated_by_a_new_leader() {
    let (input, outcome, rollout) = (minimal(), applied(Applied::default()), rollout(2, 2));
    let mut previous = GoodGoServiceStatus::default();
    let pod = || "a-1".to_owned();
    let refused = || Verdict::Refused { pod: pod(), message: "no".into() };
    let verdicts = [
        (Verdict::NoReadyPods, "1a", "InForce=Unknown/NoReadyPods"),
        (Verdict::InForce, "1a", "InForce=True/InForce"),
        (Verdict::Unasked, "1a", "InForce=True/InForce"),
        (Verdict::Unasked, "2b", "InForce=False/Propagating"),
        (Verdict::Propagating, "2b", "InForce=False/Propagating"),
        (refused(), "2b", "InForce=False/ConfigRefused"),
        (Verdict::Unreachable { pod: pod() }, "2b", "InForce=Unknown/Unreachable"),
        (Verdict::Unasked, "2b", "InForce=Unknown/Unreachable"),
    ];
    for (verdict, revision, condition) in verdicts {
        let facts = Facts {
            input: &input,
            outcome: &outcome,
            rollout: Some(&rollout),
            canary: None,
            in_force: Some((verdict, revision.to_owned())),
            previous: &previous,
            now: "2026-01-01T00:00:00Z".to_owned(),
        };
        let status = status(&facts);
        assert_eq!(said(&status), ["Ready=True/Ready", "WorkloadAvailable=True/Available", condition]);
        assert_eq!(status.config_revision.as_deref(), Some(revision));
        previous = status;
    }
}

fn routed(redirects: &[&str]) -> Input {
    input(json!({"image": "demo:1", "runtime": {"enabled": false}, "gateway": {
        "hosts": ["a.b", "c.d"], "redirectFrom": redirects,
        "routes": [{"name": "all", "path": "/", "auth": {"none": {}}}, {"name": "me", "path": "/me/", "auth": {"none": {}}}],
    }}))
}

fn held(status: &GoodGoServiceStatus) -> Vec<(&str, Vec<&str>, PartState)> {
    status
        .routes
        .iter()
        .map(|route| (&*route.name, route.claims.iter().map(String::as_str).collect(), route.state))
        .collect()
}

#[test]
fn routes_at_the_gateway_are_said_with_what_they_hold() {
    let status = status_of(&routed(&["old.b"]), &applied(Applied::default()), Some(&rollout(1, 1)));
    assert_eq!(said(&status)[0], "Ready=True/Ready");
    assert!(said(&status).contains(&"RoutesReady=True/Routed".to_owned()));
    let expected = [
        ("all", vec!["a.b/", "c.d/"], PartState::Ok),
        ("me", vec!["a.b/me", "c.d/me"], PartState::Ok),
        ("redirectFrom", vec!["old.b"], PartState::Ok),
    ];
    assert_eq!(held(&status), expected);
    assert_eq!(status.url.as_deref(), Some("https://a.b"));
}

#[test]
fn what_another_service_holds_is_named_and_gates() {
    let mut input = routed(&[]);
    input.view.lost.insert("c.d/me".to_owned(), ServiceKey::new("web", "b"));
    let status = status_of(&input, &applied(Applied::default()), Some(&rollout(1, 1)));
    assert_eq!(said(&status)[0], "Ready=False/RouteConflict");
    let message = "c.d/me is held by web/b: take it out there, or choose another host or path";
    assert_eq!(status.summary.as_ref().unwrap().message, message);
    let expected = [("all", vec!["a.b/", "c.d/"], PartState::Ok), ("me", vec!["a.b/me"], PartState::Failed)];
    assert_eq!(held(&status), expected);
}

#[test]
fn without_a_gateway_the_routes_wait_and_keep_what_they_hold() {
    let missing = [ChildKind::IngressRoute, ChildKind::Middleware].into();
    let outcome = applied(Applied { missing, ..Applied::default() });
    let status = status_of(&routed(&[]), &outcome, Some(&rollout(1, 1)));
    assert_eq!(said(&status)[0], "Ready=False/GatewayMissing");
    assert_eq!(held(&status)[1], ("me", vec!["a.b/me", "c.d/me"], PartState::Failed));
    assert_eq!((status.url, status.observed_generation), (None, Some(7)), "everything else is there");

    let outcome = applied(Applied { missing: [ChildKind::Certificate].into(), ..Applied::default() });
    let status = status_of(&routed(&[]), &outcome, Some(&rollout(1, 1)));
    assert_eq!(said(&status)[0], "Ready=False/CertManagerMissing");
}

#[test]
fn what_is_declared_no_more_is_held_until_it_is_applied() {
    let before = status_of(&routed(&[]), &applied(Applied::default()), Some(&rollout(1, 1)));
    let input = minimal();
    let routes_after = |outcome: &Outcome| {
        let now = "2026-01-01T00:00:00Z".to_owned();
        status(&Facts {
            input: &input,
            outcome,
            rollout: None,
            canary: None,
            in_force: None,
            previous: &before,
            now,
        })
        .routes
    };
    let violation = Violation { path: "spec.port".to_owned(), message: "choose another".to_owned() };
    let unfinished = [
        Outcome::Suspended,
        Outcome::Invalid(vec![violation]),
        applied(Applied { migration: Migration::Running, ..Applied::default() }),
        applied(Applied { missing: [ChildKind::Middleware].into(), ..Applied::default() }),
    ];
    assert!(!before.routes.is_empty());
    for outcome in &unfinished {
        assert_eq!(routes_after(outcome), before.routes);
    }
    assert_eq!(routes_after(&applied(Applied::default())), []);
}

#[test]
fn routes_that_wait_say_what_for() {
    let key = ChildKey::new(ChildKind::Middleware, "shop", "a--all--ip-allow-0a1b2c3d");
    let outcome = applied(Applied { conflicts: vec![key], ..Applied::default() });
    let status = status_of(&routed(&[]), &outcome, Some(&rollout(1, 1)));
    let found = status.conditions.iter().find(|found| found.type_ == "RoutesReady").unwrap();
    assert_eq!((found.status, &*found.reason), (ConditionStatus::Unknown, "Waiting"));
    assert!(found.message.ends_with(": Middleware a--all--ip-allow-0a1b2c3d"), "{}", found.message);
}

#[test]
fn a_service_that_fails_for_a_moment_keeps_its_routes() {
    let input = routed(&[]);
    let before = status_of(&input, &applied(Applied::default()), Some(&rollout(1, 1)));
    let outcome = Outcome::Failed(crate::error::Error::Timeout(std::time::Duration::from_secs(1)));
    let now = "2026-01-01T00:00:00Z".to_owned();
    let failed = Facts {
        input: &input,
        outcome: &outcome,
        rollout: None,
        canary: None,
        in_force: None,
        previous: &before,
        now,
    };
    let failed = status(&failed);
    assert_eq!((&failed.routes, &failed.url), (&before.routes, &before.url));
}

#[test]
fn a_canary_gets_its_share_once_it_has_a_pod_and_holds_nothing_back_before() {
    let input = input(
        json!({"image": "demo:1", "runtime": {"enabled": false}, "canary": {"image": "demo:2", "weight": 10},
        "gateway": {"hosts": ["a.b"], "tls": {"secret": "cert"}, "routes": [{"name": "all", "path": "/", "auth": {"none": {}}}]}}),
    );
    let (outcome, stable, previous) =
        (applied(Applied::default()), rollout(2, 2), GoodGoServiceStatus::default());
    let with = |canary: &Rollout| {
        status(&Facts {
            input: &input,
            outcome: &outcome,
            rollout: Some(&stable),
            canary: Some(canary),
            in_force: None,
            previous: &previous,
            now: "2026-01-01T00:00:00Z".to_owned(),
        })
    };
    let waiting = with(&rollout(1, 0));
    assert_eq!(waiting.canary, Some(CanaryStatus { weight: 0, desired: 1, ready: 0 }));
    assert!(said(&waiting).contains(&"Progressing=True/CanaryNotReady".to_owned()), "{:?}", said(&waiting));
    assert!(said(&waiting).contains(&"Ready=True/Ready".to_owned()), "{:?}", said(&waiting));
    let serving = with(&rollout(1, 1));
    assert_eq!(serving.canary, Some(CanaryStatus { weight: 10, desired: 1, ready: 1 }));
    assert!(!said(&serving).iter().any(|line| line.starts_with("Progressing")), "{:?}", said(&serving));
}

#[test]
fn a_route_that_nobody_can_be_asked_about_is_said_to_be_closed() {
    let auth = json!({"at": "Gateway", "forward": {"service": "iam", "path": "/verify"}});
    let input =
        input(json!({"image": "demo:1", "gateway": {"hosts": ["a.b"], "tls": {"secret": "cert"}, "routes": [
            {"name": "all", "path": "/", "auth": {"none": {}}}, {"name": "me", "path": "/me", "auth": auth},
        ]}}));
    let status = status_of(&input, &applied(Applied::default()), Some(&rollout(2, 2)));
    assert!(
        said(&status).contains(&"RoutesReady=False/AuthServiceMissing".to_owned()),
        "{:?}",
        said(&status)
    );
    let said: Vec<_> =
        status.routes.iter().map(|route| (&*route.name, route.state, route.reason.as_deref())).collect();
    assert_eq!(said, [("all", PartState::Ok, None), ("me", PartState::Failed, Some("AuthServiceMissing"))]);
    let message = &status.conditions.iter().find(|found| found.type_ == "RoutesReady").unwrap().message;
    assert!(message.contains("route me is closed: there is no GoodGoService shop/iam"), "{message}");
}
