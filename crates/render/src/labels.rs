//! Labels, annotations and metadata of all children, in one place.

use crate::names::ChildName;
use crate::validate::ValidatedService;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use std::collections::BTreeMap;

/// The service that a pod belongs to; policies select by it alone, so that they hold for both tracks.
pub const SERVICE: &str = "goodgo.io/service";
/// Which version a pod runs: [`STABLE`] or [`CANARY`].
pub const TRACK: &str = "goodgo.io/track";
/// The track that the Service, the autoscaler and the budget mean.
pub const STABLE: &str = "stable";
/// The track of the version that gets a share of the gateway's requests.
pub const CANARY: &str = "canary";
/// The track of migration Jobs: in no Service's selector, but under the service's policy.
pub const MIGRATE: &str = "migrate";
/// Who keeps an object as it is; the operator watches objects by it.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`MANAGED_BY`].
pub const OPERATOR: &str = "goodgo-operator";
/// Annotation of pods that `restartToken` changes.
pub const RESTART_TOKEN: &str = "goodgo.io/restart-token";
/// Annotation that makes `kubectl logs` and `exec` mean the app and not the runtime.
pub const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";
/// Label that every namespace has, by which policies select it.
pub(crate) const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// Labels of every child: the user's, then ours, which the user's can't set.
pub(crate) fn of(service: &ValidatedService) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<_, _> =
        service.spec().labels.iter().map(|(key, value)| (key.clone(), value.0.clone())).collect();
    let name = service.name();
    for (key, value) in [
        ("app.kubernetes.io/component", "service"),
        ("app.kubernetes.io/instance", name),
        (MANAGED_BY, OPERATOR),
        ("app.kubernetes.io/name", name),
        ("app.kubernetes.io/part-of", "goodgo"),
        (SERVICE, name),
    ] {
        labels.insert(key.to_owned(), value.to_owned());
    }
    if let Some(version) = version(service.spec().image.as_str()) {
        labels.insert("app.kubernetes.io/version".to_owned(), version.to_owned());
    }
    labels
}

/// Labels of the pods of one track.
pub(crate) fn of_pods(service: &ValidatedService, track: &str) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<_, _> =
        service.spec().pod_labels.iter().map(|(key, value)| (key.clone(), value.0.clone())).collect();
    labels.extend(of(service));
    labels.insert(TRACK.to_owned(), track.to_owned());
    labels
}

/// What the pods of the service's track are selected by; a Deployment can never change it.
pub(crate) fn selector(service: &ValidatedService) -> BTreeMap<String, String> {
    [(SERVICE, service.name()), (TRACK, service.track())]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

pub(crate) fn match_labels(labels: BTreeMap<String, String>) -> LabelSelector {
    LabelSelector { match_labels: Some(labels), match_expressions: None }
}

/// Metadata of a child: in the service's namespace, owned by the service.
pub(crate) fn metadata(service: &ValidatedService, name: &ChildName) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.as_str().to_owned()),
        namespace: Some(service.namespace().to_owned()),
        labels: Some(of(service)),
        owner_references: service.uid().map(|uid| {
            vec![OwnerReference {
                api_version: format!("{}/{}", goodgo_api::GROUP, goodgo_api::VERSION),
                kind: "GoodGoService".to_owned(),
                name: service.name().to_owned(),
                uid: uid.to_owned(),
                controller: Some(true),
                block_owner_deletion: Some(true),
            }]
        }),
        ..ObjectMeta::default()
    }
}

/// The image's tag, where it is a legal label value.
pub(crate) fn version(image: &str) -> Option<&str> {
    let reference = image.split('@').next()?;
    let (_, tag) = reference.rsplit('/').next()?.split_once(':')?;
    is_label_value(tag).then_some(tag)
}

/// A label's value that is not empty (Kubernetes: at most 63 letters, digits, `-`, `_` and `.`, no sign at the ends).
pub(crate) fn is_label_value(text: &str) -> bool {
    let alphanumeric = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    text.len() <= 63
        && alphanumeric(text.bytes().next())
        && alphanumeric(text.bytes().last())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// A key of labels and annotations: a name, with a DNS prefix or without.
pub(crate) fn is_key(key: &str) -> bool {
    match key.split_once('/') {
        None => is_label_value(key),
        Some((prefix, name)) => {
            prefix.len() <= 253
                && prefix.split('.').all(|label| {
                    is_label_value(label)
                        && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                })
                && is_label_value(name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_tag_where_it_is_a_label() {
        for (image, expected) in [
            ("registry.example/user-service:1.4.2", Some("1.4.2")),
            ("registry.example:5000/user-service", None),
            ("registry.example:5000/user-service:v1", Some("v1")),
            ("app:1.4@sha256:0123", Some("1.4")),
            ("app@sha256:0123", None),
            ("app:1.4_", None),
        ] {
            assert_eq!(version(image), expected, "{image}");
        }
    }

    #[test]
    fn keys_are_kubernetes_qualified_names() {
        for key in ["a", "example.com/a", "a.b/c_d.e", "A"] {
            assert!(is_key(key), "{key}");
        }
        for key in ["", "/a", "a/", "-a", "a b", "Example.com/a", "a/b/c"] {
            assert!(!is_key(key), "{key}");
        }
    }
}
