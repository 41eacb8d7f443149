//! Consent as the product describes it, on specs as teams write them.

#![cfg(test)]

use goodgo_api::access::{Access, AccessKeys, Caller};
use goodgo_api::calls::Call;
use goodgo_api::{GoodGoService, GoodGoServiceSpec};
use goodgo_fleet::{CallState, Declaration, Fleet, Refusal, ServiceKey};
use std::collections::BTreeSet;

fn service(namespace: &str, name: &str, spec: GoodGoServiceSpec) -> (ServiceKey, Declaration) {
    let mut service = GoodGoService::new(name, spec);
    service.metadata.namespace = Some(namespace.to_owned());
    (ServiceKey::new(namespace, name), Declaration::from_service(&service))
}

fn spec(calls: &[&str]) -> GoodGoServiceSpec {
    let call = |target: &&str| -> Call {
        let (namespace, service) = match target.split_once('/') {
            Some((namespace, service)) => (Some(namespace.into()), service),
            None => (None, *target),
        };
        Call {
            service: service.into(),
            namespace,
            as_: None,
            timeout: "5s".into(),
            connect_timeout: None,
            per_try_timeout: None,
            idle_timeout: None,
            priority: Default::default(),
            retries: None,
            circuit_breaker: None,
            cache: None,
            concurrency: 256,
            forward_authorization: false,
            routes: Vec::new(),
        }
    };
    let mut spec: GoodGoServiceSpec = minimal();
    spec.calls = calls.iter().map(call).collect();
    spec
}

fn minimal() -> GoodGoServiceSpec {
    serde_json::from_value(serde_json::json!({"image": "registry.example/app:1"})).unwrap()
}

fn with_access(access: Access) -> GoodGoServiceSpec {
    GoodGoServiceSpec { access: Some(access), ..minimal() }
}

/// What becomes of the call that `shop/user` makes to `callee` with this spec in `namespace`.
fn outcome(namespace: &str, callee: GoodGoServiceSpec) -> CallState {
    let mut fleet = Fleet::default();
    let target = format!("{namespace}/iam");
    for (key, declaration) in [service("shop", "user", spec(&[&target])), service(namespace, "iam", callee)] {
        fleet.upsert(key, declaration);
    }
    fleet.view(&ServiceKey::new("shop", "user")).calls["iam"].state.clone()
}

fn accepted(state: &CallState) -> bool {
    matches!(state, CallState::Resolved(_))
}

fn caller(service: &str, namespace: Option<&str>) -> Caller {
    Caller { service: service.into(), namespace: namespace.map(Into::into) }
}

#[test]
fn absent_means_the_own_namespace() {
    assert!(accepted(&outcome("shop", minimal())));
    assert_eq!(outcome("auth", minimal()), CallState::NotAccepted(Refusal::NamespaceNotListed));
}

#[test]
fn empty_means_nobody() {
    let nobody = with_access(Access { callers: Some(Vec::new()), ..Access::default() });
    assert_eq!(outcome("shop", nobody), CallState::NotAccepted(Refusal::CallerNotListed));
}

#[test]
fn callers_narrow_also_where_the_namespace_is_listed() {
    let listed =
        |callers| with_access(Access { callers, namespaces: vec!["shop".into()], ..Access::default() });
    assert!(accepted(&outcome("auth", listed(None))));
    assert!(accepted(&outcome("auth", listed(Some(vec![caller("user", Some("shop"))])))));
    assert_eq!(
        outcome("auth", listed(Some(vec![caller("user", None)]))),
        CallState::NotAccepted(Refusal::CallerNotListed),
        "a caller without a namespace is one of the callee's own"
    );
}

#[test]
fn naming_a_caller_does_not_list_its_namespace() {
    let named =
        with_access(Access { callers: Some(vec![caller("user", Some("shop"))]), ..Access::default() });
    assert_eq!(outcome("auth", named), CallState::NotAccepted(Refusal::NamespaceNotListed));
}

#[test]
fn a_star_lists_every_namespace() {
    let all = with_access(Access { namespaces: vec!["*".into()], ..Access::default() });
    assert!(accepted(&outcome("auth", all)));
}

#[test]
fn a_caller_without_a_runtime_is_nobody_to_a_callee_that_asks() {
    let off = |mut spec: GoodGoServiceSpec| {
        spec.runtime = Some(serde_json::from_value(serde_json::json!({"enabled": false})).unwrap());
        spec
    };
    let keys = || AccessKeys { secret: "keys".into() };
    let outcome = |callee: GoodGoServiceSpec| {
        let mut fleet = Fleet::default();
        let (user, declaration) = service("shop", "user", off(spec(&["iam"])));
        fleet.upsert(user.clone(), declaration);
        let (iam, declaration) = service("shop", "iam", callee);
        fleet.upsert(iam.clone(), declaration);
        (fleet.view(&user).calls["iam"].state.clone(), fleet.view(&iam))
    };
    let (state, callee) = outcome(minimal());
    assert_eq!(state, CallState::NotAccepted(Refusal::CallerHasNoIdentity));
    assert!(callee.callers.is_empty() && callee.refused.len() == 1, "{callee:?}");
    assert!(accepted(&outcome(with_access(Access { keys: Some(keys()), ..Access::default() })).0));
    assert!(accepted(&outcome(off(minimal())).0), "nobody asks");
    let nobody = Access { callers: Some(Vec::new()), keys: Some(keys()), ..Access::default() };
    assert_eq!(outcome(with_access(nobody)).0, CallState::NotAccepted(Refusal::CallerNotListed));
}

#[test]
fn a_caller_that_changes_its_identity_wakes_its_callees() {
    let mut fleet = Fleet::default();
    let (iam, declaration) = service("shop", "iam", minimal());
    fleet.upsert(iam.clone(), declaration);
    let named = |account: Option<&str>| {
        let service_account_name = account.map(Into::into);
        service("shop", "user", GoodGoServiceSpec { service_account_name, ..spec(&["iam"]) })
    };
    let (user, own) = named(None);
    fleet.upsert(user.clone(), own);
    assert_eq!(fleet.view(&iam).callers[&user].service_account, "user--app");
    assert_eq!(fleet.upsert(user.clone(), named(Some("shared")).1), BTreeSet::from([iam.clone()]));
    assert_eq!(fleet.view(&iam).callers[&user].service_account, "shared");
}

#[test]
fn a_missing_callee_that_appears_wakes_its_callers_and_nobody_else() {
    let mut fleet = Fleet::default();
    let (user, declaration) = service("shop", "user", spec(&["iam"]));
    fleet.upsert(user.clone(), declaration);
    let (other, declaration) = service("shop", "other", minimal());
    fleet.upsert(other, declaration);
    assert_eq!(fleet.view(&user).calls["iam"].state, CallState::Missing);
    let (iam, declaration) = service("shop", "iam", minimal());
    assert_eq!(fleet.upsert(iam.clone(), declaration), BTreeSet::from([user.clone()]));
    assert_eq!(fleet.remove(&iam), BTreeSet::from([user]));
}

#[test]
fn another_image_concerns_nobody() {
    let mut fleet = Fleet::default();
    for (key, declaration) in [service("shop", "user", spec(&["iam"])), service("shop", "iam", minimal())] {
        fleet.upsert(key, declaration);
    }
    let (iam, declaration) =
        service("shop", "iam", GoodGoServiceSpec { image: "registry.example/app:2".into(), ..minimal() });
    assert_eq!(fleet.upsert(iam, declaration), BTreeSet::new());
}

#[test]
fn two_calls_under_one_name_take_no_part_and_break_no_other() {
    let mut fleet = Fleet::default();
    let (user, declaration) = service("shop", "user", spec(&["iam", "auth/iam", "order"]));
    fleet.upsert(user.clone(), declaration);
    let calls: Vec<_> = fleet.view(&user).calls.into_keys().collect();
    assert_eq!(calls, ["order"]);
}

#[test]
fn a_call_to_itself_is_said_and_counts_for_nothing() {
    let mut fleet = Fleet::default();
    let (user, declaration) = service("shop", "user", spec(&["user"]));
    assert_eq!(fleet.upsert(user.clone(), declaration), BTreeSet::new());
    let view = fleet.view(&user);
    assert_eq!(view.calls["user"].state, CallState::SelfCall);
    assert!(view.callers.is_empty() && view.refused.is_empty());
    assert_eq!(fleet.cycle(&user), None);
}
