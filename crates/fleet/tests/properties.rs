//! What must hold for every fleet: the index is a function of what is in it, both sides of a call agree, and nobody who
//! sees something else is forgotten.

use goodgo_api::Protocol;
use goodgo_api::workload::PortProtocol;
use goodgo_fleet::{
    Access, AdditionalPort, AskState, CallState, Claims, Declaration, Endpoint, Fleet, Identity, Namespaces,
    Publication, ServiceKey, Subscription, TopicRight, TopicState,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Few names, so that services meet.
fn key() -> impl Strategy<Value = ServiceKey> {
    ("[ab]", "[pqrs]").prop_map(|(namespace, name)| ServiceKey::new(namespace, name))
}

fn access() -> impl Strategy<Value = Access> {
    let namespaces = prop_oneof![
        1 => Just(Namespaces::All),
        3 => prop::collection::btree_set("[ab]", 0..3).prop_map(Namespaces::Listed),
    ];
    (prop::option::of(prop::collection::btree_set(key(), 0..4)), namespaces, any::<bool>())
        .prop_map(|(callers, namespaces, keys)| Access { callers, namespaces, keys })
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    (1..3_u16, 1..3_u16, any::<bool>(), any::<bool>()).prop_map(|(service_port, app_port, runtime, more)| {
        Endpoint {
            service_port,
            app_port,
            protocol: if runtime { Protocol::Http } else { Protocol::Tcp },
            runtime,
            additional_ports: more
                .then(|| AdditionalPort { name: "more".into(), port: 9, transport: PortProtocol::Udp })
                .into_iter()
                .collect(),
        }
    })
}

fn identity() -> impl Strategy<Value = Identity> {
    ("[mn]", any::<bool>()).prop_map(|(service_account, proven)| Identity { service_account, proven })
}

fn publication() -> impl Strategy<Value = Publication> {
    let rights = prop::sample::subsequence(vec![TopicRight::Publish, TopicRight::Subscribe], 0..=2);
    let shared = prop::collection::btree_map("[ab]", rights.prop_map(BTreeSet::from_iter), 0..2);
    let held_since = prop::option::weighted(0.3, "[12]");
    (any::<bool>(), prop::bool::weighted(0.1), held_since, shared)
        .prop_map(|(owner, external, held_since, shared)| Publication { owner, external, held_since, shared })
}

fn subscription() -> impl Strategy<Value = Subscription> {
    any::<bool>().prop_map(|ordered| Subscription { ordered })
}

fn claims() -> impl Strategy<Value = Claims> {
    let some = || prop::collection::btree_set("[xyz](/[pq])?", 0..3);
    (some(), some(), 0..3_i64).prop_map(|(mut declared, held, created)| {
        // A service doesn't redirect a host of its own: the API server refuses it.
        let hosts: BTreeSet<_> =
            declared.iter().filter_map(|claim| Some(claim.split_once('/')?.0.to_owned())).collect();
        declared.retain(|claim| !hosts.contains(claim));
        Claims { declared, held, created }
    })
}

fn declaration() -> impl Strategy<Value = Declaration> {
    let calls = prop::collection::btree_map("[tuvw]", key(), 0..4);
    let asks = prop::collection::btree_map(key(), prop::collection::btree_set("/[vw]", 1..3), 0..2);
    let publishes = prop::collection::btree_map("[xyz]", publication(), 0..2);
    let subscribes = prop::collection::btree_map("[xyz]", subscription(), 0..2);
    (calls, asks, access(), endpoint(), identity(), publishes, subscribes, claims()).prop_map(
        |(calls, asks, access, endpoint, identity, publishes, subscribes, claims)| Declaration {
            calls,
            asks,
            access,
            endpoint,
            identity,
            publishes,
            subscribes,
            gateway: !claims.declared.is_empty(),
            claims,
        },
    )
}

/// A service put in (`Some`) or taken out (`None`).
fn changes() -> impl Strategy<Value = Vec<(ServiceKey, Option<Declaration>)>> {
    prop::collection::vec((key(), prop::option::weighted(0.8, declaration())), 0..24)
}

fn apply(fleet: &mut Fleet, key: &ServiceKey, change: Option<Declaration>) -> BTreeSet<ServiceKey> {
    match change {
        Some(declaration) => fleet.upsert(key.clone(), declaration),
        None => fleet.remove(key),
    }
}

fn views(fleet: &Fleet) -> BTreeMap<ServiceKey, goodgo_fleet::FleetView> {
    fleet.keys().map(|key| (key.clone(), fleet.view(key))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_index_depends_on_its_content_alone(changes in changes(), backwards in any::<bool>()) {
        let mut fleet = Fleet::default();
        let mut content = BTreeMap::new();
        for (key, change) in changes {
            match &change {
                Some(declaration) => content.insert(key.clone(), declaration.clone()),
                None => content.remove(&key),
            };
            apply(&mut fleet, &key, change);
        }
        let mut content: Vec<_> = content.into_iter().collect();
        if backwards {
            content.reverse();
        }
        let mut scratch = Fleet::default();
        for (key, declaration) in content {
            scratch.upsert(key, declaration);
        }
        prop_assert_eq!(fleet, scratch);
    }

    #[test]
    fn both_sides_of_a_call_agree(changes in changes()) {
        let mut fleet = Fleet::default();
        for (key, change) in changes {
            apply(&mut fleet, &key, change);
        }
        let views = views(&fleet);
        for (caller, view) in &views {
            for call in view.calls.values() {
                let Some(callee) = views.get(&call.callee) else {
                    prop_assert_eq!(&call.state, &CallState::Missing);
                    continue;
                };
                prop_assert_eq!(call.endpoint().is_some(), callee.callers.contains_key(caller));
                let refused = match call.state {
                    CallState::NotAccepted(refusal) => Some(refusal),
                    _ => None,
                };
                prop_assert_eq!(refused, callee.refused.get(caller).copied());
            }
        }
        for (callee, view) in &views {
            for caller in view.callers.keys().chain(view.refused.keys()) {
                prop_assert!(views[caller].calls.values().any(|call| &call.callee == callee), "{} has no call", caller);
            }
        }
    }

    #[test]
    fn both_sides_of_a_question_agree(changes in changes()) {
        let mut fleet = Fleet::default();
        for (key, change) in changes {
            apply(&mut fleet, &key, change);
        }
        let views = views(&fleet);
        let mut expected: BTreeMap<&ServiceKey, BTreeSet<String>> = BTreeMap::new();
        for (asker, view) in &views {
            for (asked, state) in &view.asks {
                prop_assert_eq!(*state == AskState::Missing, !views.contains_key(asked));
                if *state == AskState::Accepted {
                    let paths = fleet.get(asker).unwrap().asks[asked].clone();
                    expected.entry(asked).or_default().extend(paths);
                }
            }
        }
        for (asked, view) in &views {
            prop_assert_eq!(&view.asked, &expected.remove(asked).unwrap_or_default());
        }
    }

    #[test]
    fn a_topic_has_one_owner_at_most_and_who_uses_it_names_that_one(changes in changes()) {
        let mut fleet = Fleet::default();
        for (key, change) in changes {
            apply(&mut fleet, &key, change);
        }
        let views = views(&fleet);
        for topic in ["x", "y", "z"] {
            let owners: Vec<_> = views
                .iter()
                .filter(|(_, view)| view.topics.publishes.get(topic).is_some_and(|seen| seen.state == TopicState::Owned))
                .map(|(key, _)| key)
                .collect();
            prop_assert!(owners.len() <= 1, "{:?}", owners);
            for (key, view) in &views {
                for seen in [view.topics.publishes.get(topic), view.topics.subscribes.get(topic)].into_iter().flatten() {
                    if let TopicState::Used(owner) | TopicState::NotShared(owner) = &seen.state {
                        prop_assert_eq!(owners.first(), Some(&owner));
                    }
                    if let TopicState::Conflict(other) = &seen.state {
                        prop_assert!(other != key);
                    }
                }
            }
        }
    }

    #[test]
    fn exactly_those_who_see_something_else_are_returned(changes in changes()) {
        let mut fleet = Fleet::default();
        for (key, change) in changes {
            let before = views(&fleet);
            let returned = apply(&mut fleet, &key, change);
            let differ: BTreeSet<_> = views(&fleet)
                .into_iter()
                .filter(|(other, view)| *other != key && before.get(other) != Some(view))
                .map(|(other, _)| other)
                .collect();
            prop_assert_eq!(&returned, &differ);
            prop_assert!(returned.is_subset(&fleet.neighbours(&key)) || before.contains_key(&key));
        }
    }

    #[test]
    fn each_claim_has_one_holder_whom_everybody_names(changes in changes()) {
        let mut fleet = Fleet::default();
        for (key, change) in changes {
            apply(&mut fleet, &key, change);
        }
        let views = views(&fleet);
        for claim in ["x", "y", "x/p", "x/q"] {
            let claims = |key: &ServiceKey| fleet.get(key).unwrap().claims.clone();
            let declaring: Vec<_> = fleet.keys().filter(|key| claims(key).declared.contains(claim)).collect();
            // Each names another one, or itself by naming none.
            let named: BTreeSet<_> =
                declaring.iter().map(|key| views[*key].lost.get(claim).unwrap_or(key)).collect();
            prop_assert_eq!(named.len(), declaring.len().min(1));
            for holder in named {
                let claims = claims(holder);
                // A path of a host and a redirect of all of it are one thing to hold.
                let of_host = |set: &BTreeSet<String>| set.iter().any(|other| other.split('/').next() == claim.split('/').next());
                prop_assert!(of_host(&claims.declared) || of_host(&claims.held));
                let held = fleet.keys().any(|key| fleet.get(key).unwrap().claims.held.contains(claim));
                prop_assert!(!held || of_host(&claims.held), "who holds it goes first");
            }
        }
    }

    #[test]
    fn a_claim_stays_held_until_the_status_lets_go_of_it(
        holder in declaration(), rival in declaration(), name in key(), other in key(),
    ) {
        prop_assume!(name != other);
        let mut fleet = Fleet::default();
        let x = || BTreeSet::from(["x".to_owned()]);
        let with = |declaration: &Declaration, declared, held| Declaration {
            claims: Claims { declared, held, created: declaration.claims.created },
            ..declaration.clone()
        };
        apply(&mut fleet, &name, Some(with(&holder, x(), x())));
        apply(&mut fleet, &other, Some(with(&rival, x(), BTreeSet::new())));
        // Its spec is another one, and what stands at the gateway is not.
        apply(&mut fleet, &name, Some(with(&holder, BTreeSet::new(), x())));
        let seen = fleet.view(&other);
        prop_assert_eq!(seen.lost.get("x"), Some(&name));
        let told = apply(&mut fleet, &name, Some(with(&holder, BTreeSet::new(), BTreeSet::new())));
        prop_assert!(fleet.view(&other).lost.is_empty() && told.contains(&other));
    }

    #[test]
    fn who_holds_a_claim_keeps_it_whoever_comes(
        holder in declaration(), changes in changes(), name in key(), renewed in declaration(),
    ) {
        let mut fleet = Fleet::default();
        let mut holder = holder;
        holder.claims.declared = BTreeSet::from(["x".to_owned()]);
        holder.claims.held = holder.claims.declared.clone();
        apply(&mut fleet, &name, Some(holder.clone()));
        for (key, change) in changes.into_iter().filter(|(key, _)| *key != name) {
            // What anybody writes into another's spec; only the operator writes what is held.
            let change = change.map(|mut change| {
                change.claims.held.retain(|claim| !claim.starts_with('x'));
                change
            });
            apply(&mut fleet, &key, change);
            prop_assert!(!fleet.view(&name).lost.contains_key("x"));
        }
        // Its own changes don't cost it the claim either.
        let claims = Claims { created: renewed.claims.created, ..holder.claims };
        apply(&mut fleet, &name, Some(Declaration { claims, ..renewed }));
        prop_assert!(!fleet.view(&name).lost.contains_key("x"));
    }

    /// Or a stranger would lead all paths of it that nobody declares to himself.
    #[test]
    fn a_host_of_which_a_path_is_served_is_redirected_by_nobody_else(changes in changes()) {
        let mut fleet = Fleet::default();
        for (key, change) in changes {
            apply(&mut fleet, &key, change);
        }
        let views = views(&fleet);
        for host in ["x", "y", "z"] {
            let paths = [format!("{host}/p"), format!("{host}/q")];
            let served = |key: &ServiceKey, claim: &str| {
                fleet.get(key).unwrap().claims.declared.contains(claim) && !views[key].lost.contains_key(claim)
            };
            let serving: BTreeSet<_> = fleet.keys().filter(|key| paths.iter().any(|path| served(key, path))).collect();
            for redirecting in fleet.keys().filter(|key| served(key, host)) {
                prop_assert!(serving.iter().all(|other| *other == redirecting), "{} and {:?}", redirecting, serving);
            }
        }
    }

    #[test]
    fn a_cycle_is_a_chain_of_calls(changes in changes()) {
        let mut fleet = Fleet::default();
        for (key, change) in changes {
            apply(&mut fleet, &key, change);
        }
        for key in fleet.keys() {
            let Some(cycle) = fleet.cycle(key) else { continue };
            prop_assert_eq!(&cycle[0], key);
            for (caller, callee) in cycle.iter().zip(cycle.iter().skip(1).chain([key])) {
                prop_assert!(fleet.get(caller).unwrap().calls.values().any(|called| called == callee));
            }
        }
    }
}
