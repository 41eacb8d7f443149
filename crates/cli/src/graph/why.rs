//! `goodgoctl graph --why`: one pair of services, and the rule that decides over it.

use goodgo_fleet::ServiceKey;

use crate::fleet::{self, Service};

/// The answer.
pub(super) struct Said {
    pub(super) may: bool,
    pub(super) sentence: String,
}

/// Whether `from` may reach `to`, and by which rule.
pub(super) fn may_reach(from: &ServiceKey, to: &ServiceKey, services: &[Service]) -> Said {
    let view = fleet::of(services).view(from);
    let declared = view.calls.iter().find(|(_, call)| call.callee == *to);
    let Some((name, call)) = declared else {
        let sentence = format!(
            "no: {from} does not declare a call to {to}; add it under spec.calls, and policies and identities follow"
        );
        return Said { may: false, sentence };
    };
    match (call.endpoint(), call.message(from)) {
        (Some(endpoint), _) => {
            let rule = accepted_by(to, services);
            let port = endpoint.service_port;
            let sentence =
                format!("yes: {from} declares the call {name} to port {port}, and {to} accepts it: {rule}");
            Said { may: true, sentence }
        }
        (None, Some(message)) => Said { may: false, sentence: format!("no: {message}") },
        (None, None) => Said { may: false, sentence: format!("no: {to} does not accept {from}") },
    }
}

fn accepted_by(to: &ServiceKey, services: &[Service]) -> &'static str {
    let access =
        services.iter().find(|service| service.key == *to).and_then(|to| to.object.spec.access.as_ref());
    match access {
        None => "it declares no spec.access, and takes every declared caller of its namespace",
        Some(access) if access.callers.is_some() => "spec.access.callers lists it",
        Some(_) => "spec.access.namespaces has its namespace",
    }
}
