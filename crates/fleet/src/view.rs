//! What one service sees of the others: the input of rendering and of the status.

use crate::asks::AskState;
use crate::claims::Claim;
use crate::consent::Refusal;
use crate::declaration::{Endpoint, Identity};
use crate::key::ServiceKey;
use crate::topics::TopicsView;
use std::collections::{BTreeMap, BTreeSet};

/// What one service sees of the others. Equal views render equal children.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetView {
    /// Its declared calls, by the call's name.
    pub calls: BTreeMap<String, CallView>,
    /// Services that declare a call to it and are accepted, with what they prove themselves by.
    pub callers: BTreeMap<ServiceKey, Identity>,
    /// Services that declare a call to it and are not, with the reason.
    pub refused: BTreeMap<ServiceKey, Refusal>,
    /// The services that the gateway should ask about its requests.
    pub asks: BTreeMap<ServiceKey, AskState>,
    /// Paths at which the gateway asks it about requests to others, or to itself.
    pub asked: BTreeSet<String>,
    /// Its declared topics.
    pub topics: TopicsView,
    /// What it claims at the gateway and another service holds, with the holder.
    pub lost: BTreeMap<Claim, ServiceKey>,
}

/// One declared call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallView {
    /// The callee, there or not.
    pub callee: ServiceKey,
    /// What has become of the call.
    pub state: CallState,
}

/// What has become of a declared call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallState {
    /// The callee is there and accepts the caller: this is where it is reached.
    Resolved(Endpoint),
    /// There is no such GoodGoService.
    Missing,
    /// The callee does not accept the caller.
    NotAccepted(Refusal),
    /// The callee is the caller itself.
    SelfCall,
}

impl CallView {
    /// Where the callee is reached, when the call works.
    #[must_use]
    pub const fn endpoint(&self) -> Option<&Endpoint> {
        match &self.state {
            CallState::Resolved(endpoint) => Some(endpoint),
            CallState::Missing | CallState::NotAccepted(_) | CallState::SelfCall => None,
        }
    }

    /// Why the call does not work, in CamelCase; `None` when it does.
    #[must_use]
    pub const fn reason(&self) -> Option<&'static str> {
        match &self.state {
            CallState::Resolved(_) => None,
            CallState::Missing => Some("CalleeMissing"),
            CallState::NotAccepted(refusal) => Some(refusal.as_str()),
            CallState::SelfCall => Some("SelfCall"),
        }
    }

    /// Why the call of `caller` does not work and what to do; `None` when it does.
    #[must_use]
    pub fn message(&self, caller: &ServiceKey) -> Option<String> {
        let callee = &self.callee;
        match &self.state {
            CallState::Resolved(_) => None,
            CallState::Missing => {
                Some(format!("there is no GoodGoService {callee}: create it, or correct the call"))
            }
            CallState::NotAccepted(refusal) => Some(refusal.remedy(caller, callee)),
            CallState::SelfCall => {
                Some(format!("{callee} calls itself: remove the call and use 127.0.0.1 in the app"))
            }
        }
    }
}
