//! What the gateway asks one service about requests to another: `auth.forward` where the gateway authenticates. It is a
//! declaration like a call, and needs the same consent, but no identity: the gateway asks, and not a pod of the service.

use crate::consent::Refusal;
use crate::declaration::Declaration;
use crate::key::ServiceKey;
use crate::reverse::Reverse;
use goodgo_api::{GoodGoService, Protocol};
use std::collections::{BTreeMap, BTreeSet};

/// The services that are asked, and the exact paths.
pub type Asks = BTreeMap<ServiceKey, BTreeSet<String>>;

/// What has become of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskState {
    /// The service is there and lets itself be asked.
    Accepted,
    /// There is no such GoodGoService.
    Missing,
    /// It does not accept the asking service.
    NotAccepted(Refusal),
    /// Its app doesn't speak HTTP, by which the gateway asks.
    NotHttp,
}

impl AskState {
    /// Why nobody is asked, in CamelCase; `None` where somebody is.
    #[must_use]
    pub const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Accepted => None,
            Self::Missing => Some("AuthServiceMissing"),
            Self::NotAccepted(refusal) => Some(refusal.as_str()),
            Self::NotHttp => Some("AuthServiceNotHttp"),
        }
    }

    /// Why `asked` is not asked for `asker` and what to do; `None` where it is.
    #[must_use]
    pub fn message(self, asker: &ServiceKey, asked: &ServiceKey) -> Option<String> {
        match self {
            Self::Accepted => None,
            Self::Missing => Some(format!(
                "there is no GoodGoService {asked} that the gateway could ask: create it, or correct auth.forward"
            )),
            Self::NotAccepted(refusal) => Some(refusal.remedy(asker, asked)),
            Self::NotHttp => Some(format!(
                "{asked} doesn't speak HTTP, by which the gateway asks: name a service that does"
            )),
        }
    }
}

/// What `service` has the gateway ask.
pub(crate) fn of(service: &GoodGoService) -> Asks {
    let (spec, own) = (&service.spec, service.metadata.namespace.as_deref().unwrap_or_default());
    let mut asks = Asks::new();
    for route in spec.gateway.iter().flat_map(|gateway| &gateway.routes) {
        if let Some(forward) = route.auth.asked_by_gateway(spec.runtime_enabled()) {
            let namespace = forward.namespace.as_ref().map_or(own, |name| name.as_str());
            let asked = ServiceKey::new(namespace, forward.service.as_str());
            asks.entry(asked).or_default().insert(forward.path.0.clone());
        }
    }
    asks
}

/// What becomes of a question to `asked` for `asker`.
pub(crate) fn state(asker: &ServiceKey, asked: &ServiceKey, declaration: Option<&Declaration>) -> AskState {
    let Some(declaration) = declaration else { return AskState::Missing };
    if !matches!(declaration.endpoint.protocol, Protocol::Http | Protocol::Graphql) {
        return AskState::NotHttp;
    }
    // A service always lets itself be asked about its own routes.
    let refusal = (asker != asked).then(|| declaration.access.unlisted(asker, asked)).flatten();
    refusal.map_or(AskState::Accepted, AskState::NotAccepted)
}

/// Moves `key` in the backward index.
pub(crate) fn update(
    askers: &mut Reverse<ServiceKey>,
    key: &ServiceKey,
    old: Option<&Declaration>,
    new: Option<&Declaration>,
) {
    let [old, new] = [old, new].map(|side| side.into_iter().flat_map(|side| side.asks.keys()).collect());
    askers.change(key, &old, &new);
}
