//! A live child, reduced to what reconciling needs the moment it is decoded.
//!
//! Seven thousand full objects take 472 MB, their digests 34–47 MB; so the watches decode into [`Seen`], which reads an
//! object, digests it and drops it again.

use goodgo_api::FIELD_MANAGER;
use goodgo_managed_fields::{Digest, digest, owned};
use kube::Resource;
use kube::core::{ApiResource, DynamicResourceScope, ObjectMeta};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::borrow::Cow;

/// A child as it was seen last.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    /// Identity of the object: a recreated one has another.
    pub uid: Box<str>,
    /// Version of the object, for preconditions and to order what was seen.
    pub resource_version: Box<str>,
    /// Who controls it.
    pub owner: Option<Owner>,
    /// The service that its label names, to find it when its owner was stripped.
    pub service: Option<Box<str>>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Hash of what our manager owns; `None` when it has applied nothing.
    pub owned: Option<Digest>,
    /// Who wrote `spec.replicas`.
    pub replicas: ReplicaOwners,
    /// What its controller reports.
    pub observed: Observed,
}

/// The controlling owner reference.
#[derive(Clone, Debug, PartialEq)]
pub struct Owner {
    /// Kind of the owner.
    pub kind: Box<str>,
    /// Name of the owner.
    pub name: Box<str>,
    /// Identity of the owner.
    pub uid: Box<str>,
}

/// Which field managers own `spec.replicas`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplicaOwners {
    /// Our main manager.
    pub ours: bool,
    /// The manager of initial replicas, an autoscaler or a person.
    pub others: bool,
}

/// What the controllers of Kubernetes report of a child.
#[derive(Clone, Debug, PartialEq)]
pub enum Observed {
    /// Nothing that matters for a service's status.
    Nothing,
    /// A Deployment.
    Rollout(Box<Rollout>),
    /// A Job.
    Job(JobState),
}

/// State of a Deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    /// Generation of its spec.
    pub generation: i64,
    /// Generation that its controller has seen.
    pub observed_generation: i64,
    /// Pods that there should be.
    pub desired: i32,
    /// Pods that there are, of any template.
    pub current: i32,
    /// Pods that take requests.
    pub ready: i32,
    /// Pods of the current template.
    pub updated: i32,
    /// Pods that took requests for long enough.
    pub available: i32,
    /// Whether its condition Available is True.
    pub is_available: bool,
    /// Reason of its condition Progressing, such as `ProgressDeadlineExceeded`.
    pub progressing_reason: Option<Box<str>>,
    /// Message of its condition ReplicaFailure, when pods can't even be created.
    pub replica_failure: Option<Box<str>>,
}

/// State of a Job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Not at its end yet.
    Running,
    /// At its end, well.
    Succeeded,
    /// At its end, after all its retries.
    Failed,
}

impl Child {
    /// Reduces an object of the API server's answer, or `None` when it lacks uid or resourceVersion.
    #[must_use]
    pub fn of(object: &Value) -> Option<Self> {
        let metadata = object.get("metadata")?;
        Some(Self {
            uid: text(metadata, "uid")?,
            resource_version: text(metadata, "resourceVersion")?,
            owner: controller(metadata),
            service: metadata.get("labels").and_then(|labels| text(labels, "goodgo.io/service")),
            deleting: metadata.get("deletionTimestamp").is_some(),
            owned: owned(object, FIELD_MANAGER).as_ref().map(digest),
            replicas: ReplicaOwners::of(metadata),
            observed: Observed::of(object),
        })
    }

    /// Whether nothing but the version changed: somebody else's fields did.
    #[must_use]
    pub fn same_apart_from_version(&self, other: &Self) -> bool {
        *self == Self { resource_version: self.resource_version.clone(), ..other.clone() }
    }

    /// Whether this is of an older state of the same object than `other`.
    #[must_use]
    pub fn is_older_than(&self, other: &Self) -> bool {
        let version = |child: &Self| child.resource_version.parse::<u64>().ok();
        // Kubernetes promises since 1.35 that versions of one resource compare as numbers; etcd's always did.
        self.uid == other.uid && version(self) < version(other)
    }
}

impl ReplicaOwners {
    fn of(metadata: &Value) -> Self {
        let mut owners = Self::default();
        for entry in metadata.get("managedFields").and_then(Value::as_array).into_iter().flatten() {
            if entry.pointer("/fieldsV1/f:spec/f:replicas").is_none() {
                continue;
            }
            let manager = entry.get("manager").and_then(Value::as_str);
            let applied = entry.get("operation").and_then(Value::as_str) == Some("Apply");
            if manager == Some(FIELD_MANAGER) && applied { owners.ours = true } else { owners.others = true }
        }
        owners
    }
}

impl Observed {
    /// Told apart by structure, because items of a list answer carry no kind: only Deployments have replicas and a pod
    /// template, and only Jobs have a template alone.
    fn of(object: &Value) -> Self {
        let spec = object.get("spec");
        let has = |field: &str| spec.is_some_and(|spec| spec.get(field).is_some());
        match (has("template"), has("replicas")) {
            (true, true) => Self::Rollout(Box::new(Rollout::of(object))),
            (true, false) => Self::Job(JobState::of(object)),
            _ => Self::Nothing,
        }
    }
}

impl Rollout {
    fn of(object: &Value) -> Self {
        let number = |path: &str| object.pointer(path).and_then(Value::as_i64).unwrap_or(0);
        let count = |path: &str| i32::try_from(number(path)).unwrap_or(i32::MAX);
        Self {
            generation: number("/metadata/generation"),
            observed_generation: number("/status/observedGeneration"),
            desired: count("/spec/replicas"),
            current: count("/status/replicas"),
            ready: count("/status/readyReplicas"),
            updated: count("/status/updatedReplicas"),
            available: count("/status/availableReplicas"),
            is_available: condition(object, "Available").is_some_and(is_true),
            progressing_reason: condition(object, "Progressing")
                .and_then(|condition| text(condition, "reason")),
            replica_failure: condition(object, "ReplicaFailure")
                .filter(|condition| is_true(condition))
                .and_then(|condition| text(condition, "message")),
        }
    }

    /// How many of the pods that there should be take requests, in percent; one of a thousand is something.
    #[must_use]
    pub fn available_percent(&self) -> u8 {
        let (available, desired) = (i64::from(self.available), i64::from(self.desired.max(1)));
        u8::try_from((available * 100 + desired - 1).div_euclid(desired).clamp(0, 100)).unwrap_or(0)
    }

    /// Whether the controller has seen the current spec and every pod is of the current template and available.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_replaced() && self.available >= self.desired
    }

    /// Whether the controller has seen the current spec and no pod of an earlier template is left.
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        self.observed_generation >= self.generation
            && self.updated >= self.desired
            && self.current <= self.updated
    }
}

impl JobState {
    fn of(object: &Value) -> Self {
        match (condition(object, "Complete"), condition(object, "Failed")) {
            (Some(complete), _) if is_true(complete) => Self::Succeeded,
            (_, Some(failed)) if is_true(failed) => Self::Failed,
            _ => Self::Running,
        }
    }
}

fn text(object: &Value, field: &str) -> Option<Box<str>> {
    object.get(field).and_then(Value::as_str).map(Box::from)
}

fn controller(metadata: &Value) -> Option<Owner> {
    let references = metadata.get("ownerReferences")?.as_array()?;
    let owner =
        references.iter().find(|owner| owner.get("controller").and_then(Value::as_bool) == Some(true))?;
    Some(Owner { kind: text(owner, "kind")?, name: text(owner, "name")?, uid: text(owner, "uid")? })
}

fn condition<'a>(object: &'a Value, type_: &str) -> Option<&'a Value> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    conditions.iter().find(|condition| condition.get("type").and_then(Value::as_str) == Some(type_))
}

fn is_true(condition: &Value) -> bool {
    condition.get("status").and_then(Value::as_str) == Some("True")
}

/// What a watch of any child kind decodes into: name, version and the digested [`Child`].
#[derive(Clone, Debug)]
pub struct Seen {
    /// Name, namespace and resourceVersion alone, for the watcher.
    pub metadata: ObjectMeta,
    /// The digest, or `None` for an object that no API server would send.
    pub child: Option<Child>,
}

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Value::deserialize(deserializer)?;
        let field = |path: &str| object.pointer(path).and_then(Value::as_str).map(str::to_owned);
        let metadata = ObjectMeta {
            name: field("/metadata/name"),
            namespace: field("/metadata/namespace"),
            resource_version: field("/metadata/resourceVersion"),
            ..ObjectMeta::default()
        };
        Ok(Self { metadata, child: Child::of(&object) })
    }
}

impl Resource for Seen {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(dt: &ApiResource) -> Cow<'_, str> {
        dt.kind.as_str().into()
    }

    fn group(dt: &ApiResource) -> Cow<'_, str> {
        dt.group.as_str().into()
    }

    fn version(dt: &ApiResource) -> Cow<'_, str> {
        dt.version.as_str().into()
    }

    fn plural(dt: &ApiResource) -> Cow<'_, str> {
        dt.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment() -> Value {
        json!({
            "metadata": {
                "name": "a", "namespace": "shop", "uid": "u", "resourceVersion": "41", "generation": 2,
                "labels": {"goodgo.io/service": "a"},
                "ownerReferences": [
                    {"kind": "Other", "name": "x", "uid": "x"},
                    {"kind": "GoodGoService", "name": "a", "uid": "parent", "controller": true},
                ],
                "managedFields": [
                    {"manager": FIELD_MANAGER, "operation": "Apply", "apiVersion": "apps/v1",
                     "fieldsV1": {"f:spec": {"f:replicas": {}}}},
                    {"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "apps/v1",
                     "subresource": "status", "fieldsV1": {"f:status": {"f:replicas": {}}}},
                ],
            },
            "spec": {"replicas": 3, "template": {}},
            "status": {
                "observedGeneration": 2, "replicas": 4, "updatedReplicas": 1, "readyReplicas": 3, "availableReplicas": 3,
                "conditions": [
                    {"type": "Available", "status": "True"},
                    {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"},
                    {"type": "ReplicaFailure", "status": "False", "message": "over now"},
                ],
            },
        })
    }

    #[test]
    fn a_deployment_is_reduced_to_what_matters() {
        let child = Child::of(&deployment()).unwrap();
        assert_eq!((&*child.uid, &*child.resource_version, child.deleting), ("u", "41", false));
        assert_eq!(child.owner.map(|owner| owner.uid).as_deref(), Some("parent"));
        assert_eq!(child.service.as_deref(), Some("a"));
        assert_eq!(child.replicas, ReplicaOwners { ours: true, others: false });
        assert!(child.owned.is_some());
        let Observed::Rollout(rollout) = child.observed else { panic!("{:?}", child.observed) };
        assert_eq!((rollout.desired, rollout.current, rollout.ready, rollout.updated), (3, 4, 3, 1));
        assert!(rollout.is_available && rollout.replica_failure.is_none() && !rollout.is_complete());
    }

    #[test]
    fn old_pods_count_until_the_last_is_replaced() {
        let (desired, current, updated) = (3, 3, 3);
        let rollout = Rollout {
            generation: 2,
            observed_generation: 2,
            desired,
            current,
            updated,
            ..Rollout::default()
        };
        assert!(rollout.is_replaced() && !rollout.is_complete(), "the new ones are not available yet");
        assert!(Rollout { available: 3, ..rollout.clone() }.is_complete());
        assert!(!Rollout { generation: 3, ..rollout.clone() }.is_replaced(), "not seen yet");
        assert!(!Rollout { current: 4, ..rollout.clone() }.is_replaced(), "an old one is left");
        assert!(!Rollout { updated: 2, ..rollout }.is_replaced(), "a new one is missing");
    }

    #[test]
    fn whoever_scales_owns_the_replicas() {
        let mut object = deployment();
        let entries = object["metadata"]["managedFields"].as_array_mut().unwrap();
        entries.push(json!({"manager": "kubectl", "operation": "Update", "subresource": "scale",
                            "fieldsV1": {"f:spec": {"f:replicas": {}}}}));
        assert_eq!(Child::of(&object).unwrap().replicas, ReplicaOwners { ours: true, others: true });
        object["metadata"]["managedFields"][0]["fieldsV1"] = json!({"f:spec": {"f:template": {}}});
        assert_eq!(Child::of(&object).unwrap().replicas, ReplicaOwners { ours: false, others: true });
    }

    #[test]
    fn a_job_is_told_from_a_deployment_and_its_end_from_its_middle() {
        let job = |conditions: Value| {
            let object = json!({"metadata": {"uid": "u", "resourceVersion": "1"}, "spec": {"template": {}},
                                "status": {"conditions": conditions}});
            Child::of(&object).unwrap().observed
        };
        let is = |type_: &str, status: &str| json!([{"type": type_, "status": status}]);
        assert_eq!(job(json!([])), Observed::Job(JobState::Running));
        assert_eq!(job(is("Complete", "True")), Observed::Job(JobState::Succeeded));
        assert_eq!(job(is("Failed", "True")), Observed::Job(JobState::Failed));
        assert_eq!(job(is("Failed", "False")), Observed::Job(JobState::Running));
    }

    #[test]
    fn an_object_is_decoded_into_its_digest_whatever_it_holds() {
        let seen: Seen = serde_json::from_value(deployment()).unwrap();
        assert_eq!(seen.metadata.name.as_deref(), Some("a"));
        assert!(seen.metadata.managed_fields.is_none() && seen.child.is_some());
        for hostile in [json!({}), json!([]), json!({"metadata": []}), json!({"metadata": {"uid": 1}})] {
            assert!(serde_json::from_value::<Seen>(hostile).unwrap().child.is_none());
        }
    }

    #[test]
    fn only_the_same_object_can_be_older() {
        let at = |uid: &str, version: &str| {
            Child::of(&json!({"metadata": {"uid": uid, "resourceVersion": version}})).unwrap()
        };
        assert!(at("u", "9").is_older_than(&at("u", "10")));
        assert!(!at("u", "10").is_older_than(&at("u", "10")));
        assert!(!at("v", "9").is_older_than(&at("u", "10")));
        assert!(at("u", "9").same_apart_from_version(&at("u", "10")));
    }
}
