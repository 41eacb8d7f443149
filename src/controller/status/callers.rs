//! What a callee's status says of its callers, in the message of CallsResolved.

use std::collections::BTreeMap;

use goodgo_fleet::ServiceKey;

use super::super::dereference::Input;
use super::conditions::{Conditions, NAMED, more};
use super::runtime_is_on;

/// Begins the part of CallsResolved's message that names the callers whom this service doesn't accept; nothing follows it.
pub const REFUSED: &str = "refused callers: ";

impl Conditions {
    /// Accepted callers that can't be told apart. Nobody is let in who should not be, but the app is told a wrong name.
    pub(super) fn of_shared_identities(&mut self, input: &Input) {
        if !runtime_is_on(input) {
            return; // nobody asks for their tokens
        }
        let mut subjects: BTreeMap<(&str, &str), Vec<&ServiceKey>> = BTreeMap::new();
        for (caller, identity) in input.view.callers.iter().filter(|(_, identity)| identity.proven) {
            let subject = (caller.namespace.as_str(), identity.service_account.as_str());
            subjects.entry(subject).or_default().push(caller);
        }
        let namespace = &input.service.key.namespace;
        let shared = subjects.into_iter().filter(|(_, callers)| callers.len() > 1);
        let shared: Vec<String> = shared
            .map(|((_, account), callers)| {
                let named: Vec<_> =
                    callers.iter().take(NAMED).map(|caller| caller.seen_from(namespace)).collect();
                format!("{}{} (ServiceAccount {account})", named.join(", "), more(callers.len()))
            })
            .collect();
        if !shared.is_empty() {
            self.add_to_calls(&format!(
                "callers that share an identity and all count as the first: {}",
                shared.join("; ")
            ));
        }
    }

    /// Said to people at this side as well, and not held against the callee: refusing is its right.
    pub(super) fn of_refused_callers(&mut self, input: &Input) {
        let refused = &input.view.refused;
        if refused.is_empty() {
            return;
        }
        let namespace = &input.service.key.namespace;
        let named = refused.iter().take(NAMED);
        let named: Vec<String> =
            named.map(|(caller, why)| format!("{} ({why})", caller.seen_from(namespace))).collect();
        self.add_to_calls(&format!("{REFUSED}{}{}", named.join(", "), more(refused.len())));
    }
}
