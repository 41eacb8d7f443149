//! The graph of all services: who calls whom, who consents to it, and who must look again when one of them changes.
//!
//! The operator keeps one [`Fleet`] over its cache of GoodGoServices. Each service enters as a [`Declaration`], the
//! projection of its spec that others can see; [`Fleet::upsert`] says which neighbours now see something else and need
//! to be reconciled, and [`Fleet::view`] is what rendering and status know about the others. Everything is answered from
//! two indexes, so the cost grows with a service's neighbourhood and not with the fleet. This crate is pure.

mod asks;
mod claims;
mod consent;
mod declaration;
mod graph;
mod key;
mod reverse;
mod topics;
mod view;

pub use asks::{AskState, Asks};
pub use claims::{Claim, Claims, claim};
pub use consent::{Access, Namespaces, Refusal};
pub use declaration::{AdditionalPort, Declaration, Endpoint, Identity, own_service_account};
pub use graph::Fleet;
pub use key::ServiceKey;
pub use topics::{Publication, Subscription, TopicRight, TopicState, TopicView, TopicsView};
pub use view::{CallState, CallView, FleetView};
