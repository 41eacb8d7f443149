//! Who may do what: access rules as Kafka's authorizer knows them, and what a service needs.

use std::collections::BTreeSet;

/// One rule that allows `principal` one operation on one resource, by its whole name and from every host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Acl {
    /// Whom it allows, such as `User:system:serviceaccount:shop:orders--app`.
    pub principal: String,
    /// What.
    pub operation: Operation,
    /// On what.
    pub resource: Resource,
}

/// What a rule speaks of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// A topic.
    Topic(String),
    /// A consumer group.
    Group(String),
    /// The cluster as a whole.
    Cluster,
}

/// What a rule allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Consume from a topic, or be a member of a group.
    Read,
    /// Produce to a topic.
    Write,
    /// See that it is there.
    Describe,
    /// Produce idempotently. Brokers since 2.8 take it from `Write` on any topic (KIP-679); older ones ask for it.
    IdempotentWrite,
}

/// What one service does with topics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Topics that it publishes to.
    pub publishes: BTreeSet<String>,
    /// Topics that it subscribes to, with the group that it does it in.
    pub subscribes: BTreeSet<(String, String)>,
    /// Dead-letter topics of its subscriptions.
    pub dead_letters: BTreeSet<String>,
}

impl Access {
    /// The rules that `principal` needs for it, and not one more.
    #[must_use]
    pub fn acls(&self, principal: &str) -> BTreeSet<Acl> {
        let mut acls = BTreeSet::new();
        let mut allow = |resource: Resource, operations: &[Operation]| {
            acls.extend(operations.iter().map(|&operation| Acl {
                principal: principal.to_owned(),
                operation,
                resource: resource.clone(),
            }));
        };
        for topic in self.publishes.iter().chain(&self.dead_letters) {
            allow(Resource::Topic(topic.clone()), &[Operation::Write, Operation::Describe]);
            allow(Resource::Cluster, &[Operation::IdempotentWrite]);
        }
        for (topic, group) in &self.subscribes {
            allow(Resource::Topic(topic.clone()), &[Operation::Read, Operation::Describe]);
            allow(Resource::Group(group.clone()), &[Operation::Read]);
        }
        acls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_gets_what_it_declares_and_nothing_else() {
        let access = Access {
            publishes: ["user.created".to_owned()].into(),
            subscribes: [("order.placed".to_owned(), "shop.users".to_owned())].into(),
            dead_letters: ["order.placed.dead-letter.shop.users".to_owned()].into(),
        };
        let told: Vec<String> = access
            .acls("User:u")
            .into_iter()
            .map(|Acl { principal, operation, resource }| format!("{principal} {operation:?} {resource:?}"))
            .collect();
        assert_eq!(
            told,
            [
                "User:u Read Topic(\"order.placed\")",
                "User:u Read Group(\"shop.users\")",
                "User:u Write Topic(\"order.placed.dead-letter.shop.users\")",
                "User:u Write Topic(\"user.created\")",
                "User:u Describe Topic(\"order.placed\")",
                "User:u Describe Topic(\"order.placed.dead-letter.shop.users\")",
                "User:u Describe Topic(\"user.created\")",
                "User:u IdempotentWrite Cluster",
            ]
        );
        assert!(Access::default().acls("User:u").is_empty());
    }
}
