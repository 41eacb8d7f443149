//! Who holds which host and path at the gateway: two services can declare the same one, and only one of them is served.

use crate::declaration::Declaration;
use crate::key::ServiceKey;
use crate::reverse::Reverse;
use goodgo_api::GoodGoService;
use goodgo_api::conditions::{ConditionStatus, ConditionType, INVALID};
use std::collections::BTreeSet;

/// What a service can hold alone: a host with a path, such as `api.example.com/users`, or a host that it redirects.
pub type Claim = String;

/// The claim of a path on a host. A final `/` makes no other claim, nor does the way of comparing.
#[must_use]
pub fn claim(host: &str, path: &str) -> Claim {
    let path = path.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(path);
    format!("{host}{path}")
}

/// What a service declares at the gateway, and what it was told to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// Everything that it declares; nothing while its spec is refused as it is, which takes no path from others.
    pub declared: BTreeSet<Claim>,
    /// What its status says that it holds.
    pub held: BTreeSet<Claim>,
    /// When it was made, in seconds since 1970; 0 for a manifest that was never applied.
    pub created: i64,
}

impl Claims {
    /// Whether the service counts for `claim`. What it holds it holds until its status lets go of it: what stands at the
    /// gateway may be older than its spec, while it is suspended, invalid or on its way.
    pub(crate) fn has(&self, claim: &str) -> bool {
        self.declared.contains(claim) || self.held.contains(claim)
    }

    /// Everything that it counts for.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Claim> {
        self.declared.union(&self.held)
    }

    pub(crate) fn of(service: &GoodGoService) -> Self {
        let gateway = service.spec.gateway.iter().filter(|_| !is_refused(service));
        let declared = gateway.flat_map(|gateway| {
            let hosts = gateway.hosts.iter();
            let paths = hosts.flat_map(|host| {
                gateway.routes.iter().map(|route| claim(host.as_str(), route.path.as_str()))
            });
            paths.chain(gateway.redirect_from.iter().map(|host| host.0.clone()))
        });
        let routes = service.status.iter().flat_map(|status| &status.routes);
        let held = routes.flat_map(|route| &route.claims).cloned();
        Self {
            declared: declared.collect(),
            held: held.collect(),
            created: service.metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second()),
        }
    }
}

/// Whether the status says that this very spec can't be carried out.
fn is_refused(service: &GoodGoService) -> bool {
    let conditions = service.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|condition| {
        condition.type_ == ConditionType::Stalled.as_str()
            && condition.status == ConditionStatus::True
            && condition.reason == INVALID
            && condition.observed_generation == service.metadata.generation
    })
}

/// The host of a claim, and whether it is the host alone, redirected as a whole.
pub(crate) fn host_of(claim: &str) -> (&str, bool) {
    claim.split_once('/').map_or((claim, true), |(host, _)| (host, false))
}

impl Claims {
    /// Hosts of which the service declares or holds a path.
    pub(crate) fn hosts(&self) -> BTreeSet<&str> {
        let hosts = self.all().map(|claim| host_of(claim)).filter(|(_, whole)| !whole);
        hosts.map(|(host, _)| host).collect()
    }

    fn holds_path_of(&self, host: &str) -> bool {
        self.held.iter().map(|claim| host_of(claim)).any(|(held, whole)| held == host && !whole)
    }

    /// What the service does with the host as a whole: what it declares, or else what it still holds.
    pub(crate) fn side(&self, host: &str) -> Option<Side> {
        let of = |claims: &BTreeSet<Claim>| {
            let mut sides = claims.iter().map(|claim| host_of(claim)).filter(|(other, _)| *other == host);
            let serves = sides.clone().any(|(_, whole)| !whole);
            sides.next().map(|_| if serves { Side::Serves } else { Side::Redirects })
        };
        of(&self.declared).or_else(|| of(&self.held))
    }
}

/// A host is redirected as a whole, or paths of it are served: else a stranger could lead every path of it that nobody
/// declares to himself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// It is redirected.
    Redirects,
    /// Paths of it are served.
    Serves,
}

/// What is done with the host: what is done already, and else paths are served.
pub(crate) fn winner(
    host: &str,
    redirecting: &[(&ServiceKey, &Declaration)],
    serving: &[(&ServiceKey, &Declaration)],
) -> Side {
    let is_served = serving.iter().any(|(_, server)| server.claims.holds_path_of(host));
    let is_redirected = || redirecting.iter().any(|(_, other)| other.claims.held.contains(host));
    if serving.is_empty() || (!is_served && is_redirected()) { Side::Redirects } else { Side::Serves }
}

/// The one of those who serve paths of a host that is named to who would redirect it.
pub(crate) fn server<'a>(
    host: &str,
    serving: impl Iterator<Item = (&'a ServiceKey, &'a Declaration)>,
) -> Option<&'a ServiceKey> {
    let rank = |(key, declaration): &(&'a ServiceKey, &'a Declaration)| {
        let holds = declaration.claims.held.iter().any(|claim| host_of(claim).0 == host);
        (!holds, declaration.claims.created, *key)
    };
    serving.min_by_key(rank).map(|(key, _)| key)
}

/// Who of `claimants` holds `claim`: who held it before, else who was made first, else the first by name. Nobody can take
/// over what another holds, and the order in which services become known decides nothing.
pub(crate) fn holder<'a>(
    claim: &str,
    claimants: impl Iterator<Item = (&'a ServiceKey, &'a Declaration)>,
) -> Option<&'a ServiceKey> {
    let rank = |(key, declaration): &(&'a ServiceKey, &'a Declaration)| {
        let claims = &declaration.claims;
        (!claims.held.contains(claim), claims.created, *key)
    };
    claimants.min_by_key(rank).map(|(key, _)| key)
}

/// Claim → services that declare or hold it.
pub(crate) type Claimants = Reverse<Claim>;

/// Moves `key` from its old claims and hosts to its new ones.
pub(crate) fn update(
    claimants: &mut Claimants,
    hosts: &mut Reverse<String>,
    key: &ServiceKey,
    old: Option<&Declaration>,
    new: Option<&Declaration>,
) {
    let sides = [old, new];
    let [old, new] = sides.map(|side| side.into_iter().flat_map(|side| side.claims.all()).collect());
    claimants.change(key, &old, &new);
    let [old, new] = sides.map(|side| side.map(|side| side.claims.hosts()).unwrap_or_default());
    hosts.change(key, &old, &new);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_final_slash_makes_no_other_claim() {
        assert_eq!(claim("a.b", "/users/"), claim("a.b", "/users"));
        assert_eq!(claim("a.b", "/"), "a.b/");
        assert_ne!(claim("a.b", "/users"), claim("a.b", "/usersx"));
    }

    #[test]
    fn a_service_claims_each_path_on_each_host_and_the_hosts_that_it_redirects() {
        let service: GoodGoService = serde_json::from_value(json!({
            "apiVersion": "goodgo.io/v1alpha1", "kind": "GoodGoService",
            "metadata": {"name": "a", "namespace": "shop", "creationTimestamp": "2026-11-30T10:00:00Z"},
            "spec": {"image": "x:1", "gateway": {"hosts": ["a.b", "c.d"], "redirectFrom": ["old.b"], "routes": [
                {"name": "all", "path": "/", "auth": {"none": {}}}, {"name": "me", "path": "/me", "auth": {"none": {}}},
            ]}},
            "status": {"routes": [{"name": "me", "claims": ["a.b/me"], "state": "Ok"}]},
        }))
        .unwrap();
        let claims = Claims::of(&service);
        let expected = ["a.b/", "a.b/me", "c.d/", "c.d/me", "old.b"].map(str::to_owned);
        assert_eq!(claims.declared, BTreeSet::from(expected));
        assert_eq!(claims.held, BTreeSet::from(["a.b/me".to_owned()]));
        assert_eq!(claims.created, 1_796_032_800);
    }

    #[test]
    fn a_spec_that_is_refused_takes_no_path_from_others_until_it_is_another_one() {
        let of = |generation: i64, reason: &str| {
            let service: GoodGoService = serde_json::from_value(json!({
                "apiVersion": "goodgo.io/v1alpha1", "kind": "GoodGoService",
                "metadata": {"name": "a", "namespace": "shop", "generation": generation},
                "spec": {"image": "x:1", "gateway": {"hosts": ["a.b"], "routes": [
                    {"name": "all", "path": "/", "auth": {"none": {}}},
                ]}},
                "status": {
                    "conditions": [{"type": "Stalled", "status": "True", "reason": reason, "message": "no",
                        "observedGeneration": 3, "lastTransitionTime": "2026-11-30T10:00:00Z"}],
                    "routes": [{"name": "old", "claims": ["a.b/old"], "state": "Ok"}],
                },
            }))
            .unwrap();
            Claims::of(&service)
        };
        assert!(of(3, "Invalid").declared.is_empty());
        assert_eq!(of(3, "Invalid").held, BTreeSet::from(["a.b/old".to_owned()]), "what stands stays");
        for declares in [of(4, "Invalid"), of(3, "MigrationFailed")] {
            assert_eq!(declares.declared, BTreeSet::from(["a.b/".to_owned()]));
        }
    }
}
