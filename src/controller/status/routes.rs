//! What has become of the declared routes: served, held by another service, or waiting for a gateway.

use std::collections::BTreeSet;

use goodgo_api::conditions::{ConditionStatus, ConditionType};
use goodgo_api::gateway::{Gateway, Route};
use goodgo_api::status::{PartState, RouteStatus};
use goodgo_fleet::{AskState, ServiceKey, claim};
use goodgo_render::{ChildKind, NotActive, Part};

use super::super::cache::ChildKey;
use super::super::dereference::Input;
use super::super::report::Outcome;
use super::conditions::{Conditions, NAMED, list, more};
use super::{Facts, is_applied};

/// Under this name, which no route has, stand the old hosts.
const REDIRECTS: &str = "redirectFrom";

/// Every route with what it holds. Where not everything was applied it is what was said before: a service that fails for a
/// moment loses no path to another, and none gets what an older route of this one still serves.
pub(super) fn routes(facts: &Facts<'_>) -> Vec<RouteStatus> {
    let Outcome::Applied { children, .. } = facts.outcome else {
        return facts.previous.routes.clone();
    };
    // Without their definition there are no routes that could be older.
    let stand = children.state.lets_routes() || children.state.missing.contains(&ChildKind::IngressRoute);
    if !is_applied(facts.outcome) || !stand {
        return facts.previous.routes.clone();
    }
    let Some(gateway) = &facts.input.object.spec.gateway else { return Vec::new() };
    let waiting = reason_of(&children.state.missing);
    let routes = gateway.routes.iter().map(|route| {
        let claims = gateway.hosts.iter().map(|host| claim(host.as_str(), route.path.as_str()));
        let unasked = unasked(route, facts.input).and_then(|(_, state)| state.reason());
        of_claims(&route.name, claims, facts.input, waiting.or(unasked))
    });
    let old = gateway.redirect_from.iter().map(|host| host.0.clone());
    let redirects = of_claims(REDIRECTS, old, facts.input, waiting);
    routes.chain((!gateway.redirect_from.is_empty()).then_some(redirects)).collect()
}

fn of_claims(
    name: &str,
    claims: impl Iterator<Item = String>,
    input: &Input,
    reason: Option<&str>,
) -> RouteStatus {
    let (lost, held): (Vec<_>, Vec<_>) = claims.partition(|claim| input.view.lost.contains_key(claim));
    let reason = if lost.is_empty() { reason } else { Some("RouteConflict") };
    let state = if reason.is_none() { PartState::Ok } else { PartState::Failed };
    RouteStatus { name: name.to_owned(), claims: held, state, reason: reason.map(str::to_owned) }
}

/// The service that the gateway should ask about the route, and what has become of that.
fn unasked<'a>(route: &Route, input: &'a Input) -> Option<(&'a ServiceKey, AskState)> {
    let forward = route.auth.asked_by_gateway(input.object.spec.runtime_enabled())?;
    let own = &input.service.key.namespace;
    let namespace = forward.namespace.as_ref().map_or(own.as_str(), |name| name.as_str());
    let asked = ServiceKey::new(namespace, forward.service.as_str());
    let (key, state) = input.view.asks.get_key_value(&asked)?;
    Some((key, *state))
}

/// Routes that are closed because nobody is there to be asked about them.
fn closed(gateway: &Gateway, input: &Input) -> Option<(&'static str, String)> {
    let asked = gateway.routes.iter().filter_map(|route| Some((route, unasked(route, input)?)));
    let closed = asked.filter_map(|(route, (asked, state))| {
        let message = state.message(&input.service.key, asked)?;
        Some((state.reason()?, format!("route {} is closed: {message}", route.name)))
    });
    let (reasons, messages): (Vec<_>, Vec<_>) = closed.unzip();
    Some((
        *reasons.first()?,
        format!("{}{}", messages.get(..NAMED).unwrap_or(&messages).join("; "), more(messages.len())),
    ))
}

/// The address from outside, once something stands there.
pub(super) fn url(facts: &Facts<'_>) -> Option<String> {
    match facts.outcome {
        Outcome::Applied { children, .. } if is_applied(facts.outcome) => {
            children.url.clone().filter(|_| reason_of(&children.state.missing).is_none())
        }
        _ if facts.input.object.spec.gateway.is_none() => None,
        _ => facts.previous.url.clone(),
    }
}

fn reason_of(missing: &BTreeSet<ChildKind>) -> Option<&'static str> {
    match missing.iter().next_back()? {
        ChildKind::Certificate => Some("CertManagerMissing"),
        _ => Some("GatewayMissing"),
    }
}

impl Conditions {
    /// RoutesReady: what another service holds before what nothing serves, and that before what is not acted on.
    pub(super) fn of_routes(&mut self, facts: &Facts<'_>, missing: &BTreeSet<ChildKind>, not_active: &str) {
        let set = |conditions: &mut Self, status, reason: &str, message: String| {
            conditions.set(ConditionType::RoutesReady, status, reason, message);
        };
        let gateway = facts.input.object.spec.gateway.as_ref();
        if gateway.is_some() && !facts.input.view.lost.is_empty() {
            set(self, ConditionStatus::False, "RouteConflict", conflicts(facts.input));
        } else if let Some(reason) = reason_of(missing) {
            set(self, ConditionStatus::False, reason, what_is_missing(reason, missing));
        } else if let Some((reason, message)) = gateway.and_then(|gateway| closed(gateway, facts.input)) {
            set(self, ConditionStatus::False, reason, message);
        } else if !not_active.is_empty() {
            set(self, ConditionStatus::Unknown, "NotActive", not_active.to_owned());
        } else if let Some(Gateway { hosts, .. }) = gateway.filter(|_| is_applied(facts.outcome)) {
            let named: Vec<&str> = hosts.iter().take(NAMED).map(|host| host.as_str()).collect();
            let message = format!("every route is at the gateway: {}{}", named.join(", "), more(hosts.len()));
            set(self, ConditionStatus::True, "Routed", message);
        } else if gateway.is_some() {
            set(self, ConditionStatus::Unknown, "Waiting", what_is_before(facts));
        }
    }
}

fn conflicts(input: &Input) -> String {
    let lost = &input.view.lost;
    let named = lost.iter().take(NAMED).map(|(claim, holder)| format!("{claim} is held by {holder}"));
    let named: Vec<String> = named.collect();
    format!("{}{}: take it out there, or choose another host or path", named.join(", "), more(lost.len()))
}

fn what_is_before(facts: &Facts<'_>) -> String {
    let mut message = "routes follow when everything before them is applied".to_owned();
    if let Outcome::Applied { children, .. } = facts.outcome {
        let waiting: Vec<ChildKey> = children.state.before_routes().cloned().collect();
        if !waiting.is_empty() {
            let (named, rest) = (waiting.get(..NAMED).unwrap_or(&waiting), more(waiting.len()));
            message = format!("{message}: {}{rest}", list(named));
        }
    }
    message
}

fn what_is_missing(reason: &str, missing: &BTreeSet<ChildKind>) -> String {
    let kinds: Vec<&str> = missing.iter().map(|kind| kind.as_str()).collect();
    let kinds = kinds.join(", ");
    if reason == "CertManagerMissing" {
        return format!(
            "the cluster doesn't have {kinds}, so the routes are served under the gateway's own certificate: install \
             cert-manager, and theirs follows by itself, or name a TLS secret"
        );
    }
    format!(
        "the cluster doesn't have {kinds}: install Traefik v3 with its definitions, and the routes follow by themselves, \
         or take out spec.gateway"
    )
}

/// What of `found` belongs to routes.
pub(super) const fn is_of_routes(found: &NotActive) -> bool {
    matches!(found.part, Part::Gateway)
}
