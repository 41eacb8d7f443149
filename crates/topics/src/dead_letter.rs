//! The name of a subscription's dead-letter topic.

use sha2::{Digest, Sha256};

/// Longest name of a topic in Kafka.
const LONGEST: usize = 249;

/// The dead-letter topic of the subscription that the service `name` of `namespace` has to `topic`; all with the prefix
/// that the topic's own name has.
///
/// Two subscriptions never share one. Namespaces and services have no dots, so that the name can be read from its end:
/// service, namespace, marker, and the rest is the topic. A topic too long for that is cut and told by its hash, after
/// another marker.
#[must_use]
pub fn dead_letter_topic(topic: &str, namespace: &str, name: &str) -> String {
    let whole = format!("{topic}.dead-letter.{namespace}.{name}");
    if whole.len() <= LONGEST {
        return whole;
    }
    let hash: String = Sha256::digest(topic).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let tail = format!("-{hash}.dead-letter-of.{namespace}.{name}");
    let room = LONGEST.saturating_sub(tail.len());
    let cut: String = topic.chars().take(room).collect();
    format!("{cut}{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_reads_as_what_it_is() {
        assert_eq!(dead_letter_topic("order.placed", "shop", "users"), "order.placed.dead-letter.shop.users");
        let (topic, namespace, name) = ("t".repeat(180), "n".repeat(63), "s".repeat(40));
        let long = dead_letter_topic(&topic, &namespace, &name);
        assert_eq!(long.len(), LONGEST);
        assert!(long.ends_with(&format!(".dead-letter-of.{namespace}.{name}")), "{long}");
    }

    /// Short alphabets and lengths at the edge, so that what could coincide is tried often.
    fn subscription() -> impl Strategy<Value = (String, String, String)> {
        let topic = prop_oneof![
            "[a.]{1,4}(\\.dead-letter(-of)?\\.[ab]\\.[ab])?",
            "a{150,160}[ab.]{1,20}(\\.dead-letter\\.[ab])?",
        ];
        (topic, "[ab]{1,2}|b{60,63}", "[ab]{1,2}|b{38,40}")
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn two_subscriptions_never_share_one(one in subscription(), other in subscription()) {
            let name = |(topic, namespace, name): &(String, String, String)| dead_letter_topic(topic, namespace, name);
            prop_assert_eq!(name(&one) == name(&other), one == other);
            prop_assert!(name(&one).len() <= LONGEST);
        }
    }
}
