//! Where pods may run: tolerations, affinity, and the even spread over nodes and zones.

use super::filled;
use crate::labels;
use crate::validate::ValidatedService;
use goodgo_api::workload as api;
use k8s_openapi::api::core::v1::{
    Affinity, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodAffinity,
    PodAffinityTerm, PodAntiAffinity, PreferredSchedulingTerm, Toleration, TopologySpreadConstraint,
    WeightedPodAffinityTerm,
};

/// Weight of a wish without one; there is only one scale, and the user does not see it.
const WEIGHT: i32 = 100;

pub(super) fn tolerations(service: &ValidatedService) -> Vec<Toleration> {
    let tolerations = service.parsed().tolerations.iter();
    tolerations
        .map(|(toleration, seconds)| Toleration {
            key: toleration.key.clone(),
            operator: Some(
                match toleration.operator {
                    api::TolerationOperator::Equal => "Equal",
                    api::TolerationOperator::Exists => "Exists",
                }
                .to_owned(),
            ),
            value: toleration.value.as_ref().map(|value| value.0.clone()).filter(|value| !value.is_empty()),
            effect: toleration.effect.map(|effect| {
                match effect {
                    api::TolerationEffect::NoSchedule => "NoSchedule",
                    api::TolerationEffect::PreferNoSchedule => "PreferNoSchedule",
                    api::TolerationEffect::NoExecute => "NoExecute",
                }
                .to_owned()
            }),
            toleration_seconds: *seconds,
        })
        .collect()
}

/// Over nodes and zones, as far as possible, unless the service says otherwise. Each template is spread by itself: a
/// rolling update would else end lopsided.
pub(super) fn spread(service: &ValidatedService) -> Vec<TopologySpreadConstraint> {
    let default = || {
        ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
            .map(|key| api::TopologySpread {
                topology_key: key.to_owned(),
                max_skew: 1,
                when_unsatisfiable: api::WhenUnsatisfiable::ScheduleAnyway,
            })
            .to_vec()
    };
    let spread = service.spec().topology_spread.clone().unwrap_or_else(default).into_iter();
    spread
        .map(|spread| TopologySpreadConstraint {
            topology_key: spread.topology_key,
            max_skew: spread.max_skew,
            when_unsatisfiable: match spread.when_unsatisfiable {
                api::WhenUnsatisfiable::ScheduleAnyway => "ScheduleAnyway",
                api::WhenUnsatisfiable::DoNotSchedule => "DoNotSchedule",
            }
            .to_owned(),
            label_selector: Some(labels::match_labels(labels::selector(service))),
            match_label_keys: Some(vec!["pod-template-hash".to_owned()]),
            ..TopologySpreadConstraint::default()
        })
        .collect()
}

pub(super) fn affinity(service: &ValidatedService) -> Option<Affinity> {
    let affinity = service.spec().affinity.as_ref()?;
    let nodes = affinity.nodes.as_ref().and_then(nodes);
    let pods = affinity.pods.clone().unwrap_or_default();
    let near = terms(&pods.near).map(|(required, preferred)| PodAffinity {
        required_during_scheduling_ignored_during_execution: required,
        preferred_during_scheduling_ignored_during_execution: preferred,
    });
    let apart = terms(&pods.apart).map(|(required, preferred)| PodAntiAffinity {
        required_during_scheduling_ignored_during_execution: required,
        preferred_during_scheduling_ignored_during_execution: preferred,
    });
    let any = nodes.is_some() || near.is_some() || apart.is_some();
    any.then_some(Affinity { node_affinity: nodes, pod_affinity: near, pod_anti_affinity: apart })
}

fn nodes(nodes: &api::NodeAffinity) -> Option<NodeAffinity> {
    let required = (!nodes.required.is_empty())
        .then(|| NodeSelector { node_selector_terms: vec![node_term(&nodes.required)] });
    let preferred: Vec<_> = nodes
        .preferred
        .iter()
        .map(|preferred| PreferredSchedulingTerm {
            weight: preferred.weight,
            preference: node_term(&preferred.requirements),
        })
        .collect();
    (required.is_some() || !preferred.is_empty()).then(|| NodeAffinity {
        required_during_scheduling_ignored_during_execution: required,
        preferred_during_scheduling_ignored_during_execution: filled(preferred),
    })
}

fn node_term(requirements: &[api::NodeRequirement]) -> NodeSelectorTerm {
    let requirements = requirements.iter();
    NodeSelectorTerm {
        match_expressions: Some(
            requirements
                .map(|requirement| NodeSelectorRequirement {
                    key: requirement.key.clone(),
                    operator: match requirement.operator {
                        api::NodeSelectorOperator::In => "In",
                        api::NodeSelectorOperator::NotIn => "NotIn",
                        api::NodeSelectorOperator::Exists => "Exists",
                        api::NodeSelectorOperator::DoesNotExist => "DoesNotExist",
                        api::NodeSelectorOperator::Gt => "Gt",
                        api::NodeSelectorOperator::Lt => "Lt",
                    }
                    .to_owned(),
                    values: filled(requirement.values.iter().map(|value| value.0.clone()).collect()),
                })
                .collect(),
        ),
        match_fields: None,
    }
}

type Terms = (Option<Vec<PodAffinityTerm>>, Option<Vec<WeightedPodAffinityTerm>>);

fn terms(terms: &[api::PodTerm]) -> Option<Terms> {
    let (required, preferred): (Vec<_>, Vec<_>) = terms.iter().partition(|term| term.required);
    let required = required.into_iter().map(term).collect();
    let preferred = preferred
        .into_iter()
        .map(|wish| WeightedPodAffinityTerm { weight: WEIGHT, pod_affinity_term: term(wish) })
        .collect();
    (!terms.is_empty()).then(|| (filled(required), filled(preferred)))
}

fn term(term: &api::PodTerm) -> PodAffinityTerm {
    let labels = term.labels.iter().map(|(key, value)| (key.clone(), value.0.clone())).collect();
    PodAffinityTerm {
        label_selector: Some(labels::match_labels(labels)),
        topology_key: term.topology_key.clone(),
        ..PodAffinityTerm::default()
    }
}
