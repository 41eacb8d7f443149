//! The condition InForce: what was found out about the pods, and what of the spec waits for a later version.

use goodgo_api::conditions::{Condition, ConditionStatus, ConditionType};

use super::super::in_force::Verdict;
use super::Facts;
use super::conditions::Conditions;

impl Conditions {
    /// `waiting`: what is declared, has no condition of its own and is not acted on, in words.
    pub(super) fn of_in_force(&mut self, facts: &Facts<'_>, waiting: &str) {
        use ConditionStatus::{False, True, Unknown};
        let verdict = facts.in_force.as_ref().map(|(verdict, _)| verdict);
        if let (Some(Verdict::Unasked), Some(said)) = (verdict, said_before(facts)) {
            return self.set(ConditionType::InForce, said.status, &said.reason, &*said.message);
        }
        let (status, reason, mut message) = match verdict {
            None if waiting.is_empty() => return,
            None => (Unknown, "NotActive", String::new()),
            Some(Verdict::InForce) => {
                (True, "InForce", "every ready pod runs the current configuration".to_owned())
            }
            Some(Verdict::NoReadyPods) => {
                let message = "no pod is ready; one that starts reads the current configuration";
                (Unknown, "NoReadyPods", message.to_owned())
            }
            Some(Verdict::Unasked | Verdict::Propagating) => {
                (False, "Propagating", "the current configuration is on its way to the pods".to_owned())
            }
            Some(Verdict::Refused { pod, message }) => {
                let message = format!(
                    "the runtime of pod {pod} keeps its configuration and refuses the current one: {message}; \
                     replace pods whose runtime is older than the operator with spec.restartToken"
                );
                (False, "ConfigRefused", message)
            }
            Some(Verdict::Unreachable { pod }) => {
                let message = format!(
                    "the runtime of pod {pod} did not answer at port 14010: look at the pod, and whether policies \
                     let the operator in"
                );
                (Unknown, "Unreachable", message)
            }
        };
        if !waiting.is_empty() {
            let separator = if message.is_empty() { "" } else { "; " };
            message = format!("{message}{separator}{waiting}");
        }
        self.set(ConditionType::InForce, status, reason, message);
    }
}

/// What the status that stands says of the same revision: a new leader repeats it until it knows better.
fn said_before<'a>(facts: &Facts<'a>) -> Option<&'a Condition> {
    let revision = facts.in_force.as_ref().map(|(_, revision)| revision);
    let mut conditions = facts.previous.conditions.iter();
    let said = conditions.find(|condition| condition.type_ == ConditionType::InForce.as_str());
    said.filter(|_| facts.previous.config_revision.as_ref() == revision)
}
