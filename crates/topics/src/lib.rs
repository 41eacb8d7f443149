//! Topics and access: what a Kafka cluster should hold beside what it holds, as changes that lose nothing.
//!
//! The operator describes the cluster once for all topics ([`Actual`]), says what the services declare ([`Desired`]), and
//! [`plan`] answers with the [`Change`]s that lead from one to the other and a [`Verdict`] for each topic. What would lose
//! messages or move keys against what was declared is no change but a [`Finding`] with the reason and the next step.
//! This crate is pure: the adapter over Kafka's admin calls carries the changes out.

mod acl;
mod actual;
mod change;
mod config;
mod dead_letter;
mod desired;
mod finding;
mod plan;

pub use acl::{Access, Acl, Operation, Resource};
pub use actual::{Actual, ActualTopic, ConfigValue};
pub use change::Change;
pub use dead_letter::dead_letter_topic;
pub use desired::{DeclaredTopic, DeletionPolicy, Desired, Held, NewTopic, Retired};
pub use finding::Finding;
pub use plan::{Plan, Verdict, plan};

/// Kafka's id of a topic (KIP-516): another one after a topic was deleted and made again under its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub String);

impl std::fmt::Display for TopicId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
