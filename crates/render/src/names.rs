//! Names of the children: injective (no service's child can meet another's) and at most 63 characters.
//!
//! A service's name has at most 40 characters and no `--`, so `<name>--<part>` can be split in one way only. The Service
//! and the Deployment carry the plain name, for DNS and for `kubectl rollout restart deployment/NAME`; kinds are separate
//! name spaces.

use crate::hash::hex;
use goodgo_api::types::ServiceName;
use goodgo_fleet::own_service_account;
use std::fmt;

/// Name of the headless Service of the service `name`, also of another's: callers look its pods up there.
pub(crate) fn headless_service(name: &str) -> String {
    format!("{name}--headless")
}

/// Name of the Service by which the gateway finds the pods of the service `name`, also to ask it.
pub(crate) fn gateway_service(name: &str) -> String {
    format!("{name}--gateway")
}

/// Name of the canary's Deployment and Service of the service `name`.
#[must_use]
pub fn canary(name: &str) -> String {
    format!("{name}--canary")
}

/// Name of a child; only a validated service can make one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildName(String);

impl ChildName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChildName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names of all children of one service, whether they are rendered or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    namespace: String,
    /// The Service: the service's own name.
    pub service: ChildName,
    /// The Deployment: the service's own name too.
    pub deployment: ChildName,
    /// The headless Service.
    pub headless_service: ChildName,
    /// The Service that the gateway finds the pods by.
    pub gateway_service: ChildName,
    /// The canary's Deployment and Service.
    pub canary: ChildName,
    /// The canary's HorizontalPodAutoscaler.
    pub canary_autoscaler: ChildName,
    /// The ServiceAccount, unless the service names an existing one.
    pub service_account: ChildName,
    /// The ConfigMap of the runtime.
    pub config_map: ChildName,
    /// The NetworkPolicy.
    pub network_policy: ChildName,
    /// The HorizontalPodAutoscaler.
    pub horizontal_pod_autoscaler: ChildName,
    /// The PodDisruptionBudget.
    pub pod_disruption_budget: ChildName,
    /// The Certificate, and the Secret that cert-manager puts it into.
    pub certificate: ChildName,
}

impl Names {
    /// The names of the service `name` in `namespace`, whose grammar validation has checked.
    pub(crate) fn new(namespace: &str, name: &ServiceName) -> Self {
        let part = |part: &str| ChildName(format!("{name}--{part}"));
        Self {
            namespace: namespace.to_owned(),
            service: ChildName(name.0.clone()),
            deployment: ChildName(name.0.clone()),
            headless_service: ChildName(headless_service(&name.0)),
            gateway_service: ChildName(gateway_service(&name.0)),
            canary: ChildName(canary(&name.0)),
            canary_autoscaler: part("canary-hpa"),
            service_account: ChildName(own_service_account(&name.0)),
            config_map: part("runtime"),
            network_policy: part("policy"),
            horizontal_pod_autoscaler: part("hpa"),
            pod_disruption_budget: part("pdb"),
            certificate: part("tls"),
        }
    }

    /// Name of an IngressRoute, `part` of at most 21 characters without `--`. Traefik tells routers by their rules too,
    /// and no two services hold one rule.
    pub(crate) fn routes(&self, part: &str) -> ChildName {
        ChildName(format!("{}--{part}", self.service))
    }

    /// Name of a Middleware that routes share, `part` of at most 12 characters.
    pub(crate) fn at_gateway(&self, part: &str) -> ChildName {
        ChildName(format!("{}--{part}-{}", self.service, self.told_apart("", part, 4)))
    }

    /// Name of an object of one route, `part` of at most 12 characters. Where the names are too long together a longer
    /// hash stands for both.
    pub(crate) fn of_route(&self, route: &str, part: &str) -> ChildName {
        let plain = format!("{}--{route}--{part}-{}", self.service, self.told_apart(route, part, 4));
        if plain.len() <= 63 {
            return ChildName(plain);
        }
        ChildName(format!("{}--{}", self.service, self.told_apart(route, part, 10)))
    }

    /// The first `length` bytes of a hash of everything that a name at the gateway is made of. Without its option
    /// `safeNaming` Traefik joins namespace and name by a hyphen and makes one of each run of hyphens, so that `a--b-c`
    /// meets `a-b--c`, and `a-b` in `shop` meets `b` in `shop-a`: one team's steps would replace another's. A short hash
    /// is enough behind names that leave few ways to be split; where it stands alone, nobody must be able to search for
    /// another one.
    fn told_apart(&self, route: &str, part: &str, length: usize) -> String {
        // None of the four has a slash.
        let all = [&*self.namespace, self.service.as_str(), route, part].join("/");
        hex(all.as_bytes(), length)
    }

    /// Name of the Job for a pod template with this hash (8 hex digits).
    pub(crate) fn migration_job(&self, hash: &str) -> ChildName {
        ChildName(format!("{}--migrate-{hash}", self.service))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As Traefik names an object: everything but letters and digits separates, and what separates becomes one hyphen.
    fn in_traefik(namespace: &str, name: &ChildName) -> String {
        let joined = format!("{namespace}-{name}");
        let words =
            joined.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join("-")
    }

    /// Names of few letters, so that what could coincide is tried often.
    type Object = (String, String, String, &'static str);

    fn object() -> impl Strategy<Value = Object> {
        let part = prop::sample::select(vec!["a", "b", "a-b", "ip-allow"]);
        let long = "[ab]{34}(-[ab]){3}";
        ("a(-{0,2}[ab]){0,2}", prop_oneof!["a(-[ab]){0,2}", long], "|a(-[ab]){0,2}|[ab]{20}", part)
    }

    fn of((namespace, service, route, part): &Object) -> ChildName {
        let names = Names::new(namespace, &ServiceName(service.clone()));
        if route.is_empty() { names.at_gateway(part) } else { names.of_route(route, part) }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn traefik_confuses_no_two_objects(one in object(), other in object()) {
            let told = |object: &Object| in_traefik(&object.0, &of(object));
            prop_assert_eq!(told(&one) == told(&other), one == other);
            prop_assert!(of(&one).as_str().len() <= 63);
        }
    }

    #[test]
    fn a_hyphen_more_or_elsewhere_makes_another_name_for_traefik() {
        let object = |namespace: &str, service: &str, route: &str| {
            let object = (namespace.to_owned(), service.to_owned(), route.to_owned(), "ip-allow");
            in_traefik(namespace, &of(&object))
        };
        assert_ne!(object("shop", "a", "b-c"), object("shop", "a-b", "c"));
        assert_ne!(object("shop", "a-b", "c"), object("shop-a", "b", "c"));
        assert_ne!(object("shop", "a-b", ""), object("shop-a", "b", ""));
    }
}
