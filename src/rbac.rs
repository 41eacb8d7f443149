//! What the operator may do, in one table: least privilege, each line with its reason.
//!
//! Chart and manifests are generated from it (`goodgo-operator rbac`) and drift-checked. No Secrets, no wildcards, nothing
//! that could grant itself more. The token issuer's public keys need no line: Kubernetes shows them to every ServiceAccount
//! (ClusterRole `system:service-account-issuer-discovery`, bound to `system:serviceaccounts`).

use goodgo_render::ChildKind;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::api::ObjectMeta;

/// One permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permission {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Resource, with its subresource.
    pub resource: &'static str,
    /// What may be done.
    pub verbs: &'static [&'static str],
    /// Why.
    pub reason: &'static str,
}

/// Everywhere that services are reconciled.
const SERVICES: [Permission; 5] = [
    Permission {
        group: "goodgo.io",
        resource: "goodgoservices",
        verbs: &["get", "list", "watch"],
        reason: "the input",
    },
    Permission {
        group: "goodgo.io",
        resource: "goodgoservices/status",
        verbs: &["patch"],
        reason: "the output",
    },
    Permission {
        group: "goodgo.io",
        resource: "goodgoservices/finalizers",
        verbs: &["update"],
        reason: "blockOwnerDeletion on children, where OwnerReferencesPermissionEnforcement is on",
    },
    Permission {
        group: "events.k8s.io",
        resource: "events",
        verbs: &["create", "patch"],
        reason: "tell what happened; patch counts repetitions",
    },
    Permission {
        group: "",
        resource: "pods",
        verbs: &["list", "patch"],
        reason: "find a service's pods, and annotate them so that the kubelet refreshes their configuration",
    },
];

/// In the whole cluster, whatever namespaces are watched.
const CLUSTER: [Permission; 1] = [Permission {
    group: "apiextensions.k8s.io",
    resource: "customresourcedefinitions",
    verbs: &["list", "watch"],
    reason: "know whether Traefik's and cert-manager's kinds are there",
}];

/// In the operator's own namespace.
const OWN_NAMESPACE: [Permission; 1] = [Permission {
    group: "coordination.k8s.io",
    resource: "leases",
    verbs: &["get", "create", "update"],
    reason: "leader election",
}];

/// What is done with every kind of child: watched with our label, applied, looked at when something stands in its place,
/// pruned. A server-side apply that creates needs `create` besides `patch`.
const CHILD_VERBS: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];

/// Everything that is needed wherever services are reconciled.
#[must_use]
pub fn permissions() -> Vec<Permission> {
    let children = ChildKind::ALL.into_iter().map(|kind| Permission {
        group: kind.group(),
        resource: kind.plural(),
        verbs: CHILD_VERBS,
        reason: "a child",
    });
    SERVICES.into_iter().chain(children).collect()
}

/// The ClusterRole `name`: what is needed everywhere, and in the cluster itself.
#[must_use]
pub fn cluster_role(name: &str) -> ClusterRole {
    let all: Vec<_> = permissions().into_iter().chain(CLUSTER).collect();
    ClusterRole { metadata: named(name, None), rules: Some(rules(&all)), ..ClusterRole::default() }
}

/// Rules for where services are reconciled.
#[must_use]
pub fn service_rules() -> Vec<PolicyRule> {
    rules(&permissions())
}

/// Rules for the cluster itself, which no Role of a namespace can hold.
#[must_use]
pub fn cluster_rules() -> Vec<PolicyRule> {
    rules(&CLUSTER)
}

/// The Role `name` in the operator's own namespace.
#[must_use]
pub fn role(name: &str, namespace: &str) -> Role {
    Role { metadata: named(name, Some(namespace)), rules: Some(rules(&OWN_NAMESPACE)) }
}

fn named(name: &str, namespace: Option<&str>) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: namespace.map(str::to_owned),
        ..ObjectMeta::default()
    }
}

fn rules(permissions: &[Permission]) -> Vec<PolicyRule> {
    let list = |verbs: &[&str]| verbs.iter().map(|verb| (*verb).to_owned()).collect();
    permissions
        .iter()
        .map(|Permission { group, resource, verbs, reason: _ }| PolicyRule {
            api_groups: Some(list(&[group])),
            resources: Some(list(&[resource])),
            verbs: list(verbs),
            ..PolicyRule::default()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_dangerous_is_asked_for() {
        for permission in permissions().iter().chain(&CLUSTER).chain(&OWN_NAMESPACE) {
            let Permission { group, resource, verbs, reason } = permission;
            assert!(*resource != "secrets" && !resource.contains('*') && *group != "*", "{permission:?}");
            assert!(*group != "rbac.authorization.k8s.io", "{permission:?}");
            assert!(!reason.is_empty() && !verbs.is_empty(), "{permission:?}");
            for verb in *verbs {
                assert!(
                    !["*", "escalate", "bind", "impersonate", "deletecollection"].contains(verb),
                    "{permission:?}"
                );
            }
        }
    }

    #[test]
    fn every_kind_of_child_can_be_kept() {
        let rules = cluster_role("x").rules.unwrap();
        for kind in ChildKind::ALL {
            let found = rules.iter().find(|rule| {
                rule.resources.as_deref() == Some(&[kind.plural().to_owned()])
                    && rule.api_groups.as_deref() == Some(&[kind.group().to_owned()])
            });
            assert_eq!(found.unwrap().verbs, CHILD_VERBS, "{}", kind.as_str());
        }
    }
}
