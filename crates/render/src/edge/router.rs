//! The routers: what Traefik asks a request for, in which order, and what it does with one that fits.

use super::{Edge, steps};
use crate::names::ChildName;
use crate::runtime_config::milliseconds;
use crate::traefik::{
    Cookie, ForwardingTimeouts, IpAllowList, MiddlewareSpec, Redirect, RedirectRegex, Rule,
    ServersTransportSpec, Sticky,
};
use goodgo_api::gateway::{PathType, Route};
use goodgo_api::types::Host;
use goodgo_fleet::AskState;
use std::collections::BTreeMap;

/// Milliseconds after a route's time is up in which the runtime's answer arrives.
const RUNTIME_ANSWERS: u64 = 1_000;

/// A redirect of a whole host. Below everything else, cert-manager's challenges among them.
const REDIRECT: u32 = 1;

/// One of Traefik's routers.
pub(crate) struct Router {
    pub(crate) rule: Rule,
    pub(crate) priority: u32,
    /// Outermost first.
    pub(crate) steps: Vec<Step>,
    pub(crate) transport: Option<(ChildName, ServersTransportSpec)>,
    pub(crate) sticky: Option<Sticky>,
    pub(crate) to: Backend,
}

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    /// To the pods of this Service.
    Pods(ChildName),
    /// To what this TraefikService says.
    Shared(ChildName),
}

/// A named Middleware.
#[derive(Clone)]
pub(crate) struct Step {
    pub(crate) name: ChildName,
    pub(crate) spec: MiddlewareSpec,
}

impl<'a> Edge<'a> {
    /// What is served, by entry points, the most specific first. With TLS where the service has it.
    pub(crate) fn routers(&self) -> BTreeMap<&'a [String], Vec<Router>> {
        let mut all: BTreeMap<&[String], Vec<Router>> = BTreeMap::new();
        for route in &self.gateway.routes {
            for (entry_points, hosts) in self.served(self.hosts_of(route)) {
                let Some(hosts) = Rule::hosts(hosts) else { continue };
                all.entry(entry_points).or_default().extend(self.of_route(route, &hosts));
            }
        }
        for (entry_points, hosts) in self.served(self.old_hosts()) {
            all.entry(entry_points).or_default().extend(self.moved(hosts));
        }
        for routers in all.values_mut() {
            routers.sort_by_key(|router| (std::cmp::Reverse(router.priority), router.rule.to_string()));
        }
        all
    }

    /// What is redirected from entry points without TLS, where the hosts have TLS.
    pub(crate) fn redirects(&self) -> BTreeMap<&'a [String], Vec<Router>> {
        let mut all: BTreeMap<&[String], Vec<Router>> = BTreeMap::new();
        for (entry_points, hosts) in self.plain(self.held_hosts()) {
            let to_https = Redirect { scheme: "https", permanent: true };
            let to_https = self.step("https", MiddlewareSpec::RedirectScheme(to_https));
            let router = Rule::hosts(hosts).map(|hosts| self.redirect(hosts, to_https));
            all.entry(entry_points).or_default().extend(router);
        }
        for (entry_points, hosts) in self.plain(self.old_hosts()) {
            all.entry(entry_points).or_default().extend(self.moved(hosts));
        }
        all
    }

    fn of_route(&self, route: &'a Route, hosts: &Rule) -> Vec<Router> {
        let rule = hosts.clone().and(Rule::path(&route.path, route.path_type));
        let priority = priority(route);
        if self.is_closed(route) {
            // Left out, its path would fall to the next wider route.
            return vec![self.router(rule, priority, vec![self.refuse(503)])];
        }
        if self.service.runtime_on_port() || route.methods.is_empty() {
            return self.serving(route, rule, priority);
        }
        let of_methods = rule.clone().and(Rule::methods(route.methods.iter().copied()));
        let others = self.router(rule, priority, self.steps_for_other_methods(route));
        self.serving(route, of_methods, priority + 1).into_iter().chain([others]).collect()
    }

    /// Whether somebody should be asked who can't be. Where the pods authenticate, their runtime closes the route itself.
    fn is_closed(&self, route: &'a Route) -> bool {
        let asked = self.asks(route);
        asked.is_some_and(|(asked, _)| self.fleet.asks.get(&asked) != Some(&AskState::Accepted))
    }

    /// What leads to the pods: to all by their shares, and before that what is the canary's alone.
    fn serving(&self, route: &'a Route, rule: Rule, priority: u32) -> Vec<Router> {
        let names = self.service.names();
        let plain = Router {
            transport: self.transport(route),
            sticky: route.sticky.then(|| self.sticky()),
            ..self.router(rule, priority, self.steps(route))
        };
        let Some(canary) = &self.service.spec().canary else { return vec![plain] };
        let own = plain.transport.is_some() || plain.sticky.is_some();
        let shared = if own { names.of_route(&route.name, "shares") } else { names.at_gateway("shares") };
        let header = canary.match_.as_ref().and_then(|matching| matching.header.as_ref());
        let header = header.filter(|_| self.observed.canary_available > 0);
        let matching = header.map(|header| Router {
            rule: plain.rule.clone().and(Rule::Header(header.name.0.clone(), header.value.clone())),
            priority: priority + 2,
            steps: plain.steps.clone(),
            transport: plain.transport.clone(),
            sticky: plain.sticky.clone(),
            to: Backend::Pods(names.canary.clone()),
        });
        matching.into_iter().chain([Router { to: Backend::Shared(shared), ..plain }]).collect()
    }

    fn router(&self, rule: Rule, priority: u32, steps: Vec<Step>) -> Router {
        let to = Backend::Pods(self.service.names().gateway_service.clone());
        Router { rule, priority, steps, transport: None, sticky: None, to }
    }

    /// Old hosts, redirected for good.
    fn moved(&self, hosts: Vec<&Host>) -> Option<Router> {
        let scheme = if self.tls().is_some() { "https" } else { "http" };
        let redirect = RedirectRegex {
            regex: "^https?://[^/]*(.*)$",
            replacement: format!("{scheme}://{}${{1}}", self.gateway.hosts.first()?),
            permanent: true,
        };
        let step = self.step("moved", MiddlewareSpec::RedirectRegex(redirect));
        Some(self.redirect(Rule::hosts(hosts)?, step))
    }

    /// Traefik serves what it thinks is at the new address already: that must not reach the pods past all other steps.
    fn redirect(&self, rule: Rule, step: Step) -> Router {
        let steps = vec![step, self.refuse(404)];
        self.router(rule, REDIRECT, steps)
    }

    /// Answers everybody with `status`: nobody connects from the broadcast address.
    pub(super) fn refuse(&self, status: u16) -> Step {
        let nobody = IpAllowList {
            source_range: vec!["255.255.255.255/32".to_owned()],
            reject_status_code: Some(status),
        };
        self.step(&format!("refuse-{status}"), MiddlewareSpec::IpAllowList(nobody))
    }

    pub(super) fn step(&self, part: &str, spec: MiddlewareSpec) -> Step {
        Step { name: self.service.names().at_gateway(part), spec }
    }

    fn sticky(&self) -> Sticky {
        Sticky { cookie: Cookie { http_only: true, same_site: "lax", secure: self.tls().is_some() } }
    }

    /// A pod whose node is gone answers nothing at all: a second try must not wait 30 s for that, nor the client for ever
    /// where its request went out on a connection that is kept.
    fn transport(&self, route: &Route) -> Option<(ChildName, ServersTransportSpec)> {
        let again = route.retries.as_ref().is_some_and(|retries| retries.attempts > 1);
        // Where there is a runtime it answers in time itself.
        let slack = if self.service.runtime_on_port() { RUNTIME_ANSWERS } else { 0 };
        let timeout = route.timeout.as_ref().map(|timeout| milliseconds(timeout).saturating_add(slack));
        let forwarding_timeouts = ForwardingTimeouts {
            dial_timeout: again.then(|| "1s".to_owned()),
            response_header_timeout: timeout.map(steps::go_milliseconds),
        };
        let needed = forwarding_timeouts != ForwardingTimeouts::default();
        let name = self.service.names().of_route(&route.name, "transport");
        needed.then_some((name, ServersTransportSpec { forwarding_timeouts }))
    }
}

/// The longer path first, of one path the exact one: the order of the runtime. Room for the same path with a method, with
/// the canary's header, and with both.
fn priority(route: &Route) -> u32 {
    let path = route.path.as_str();
    let exact = route.path_type == PathType::Exact;
    let path = if exact { path } else { path.strip_suffix('/').unwrap_or(path) };
    let length = u32::try_from(path.len()).unwrap_or(u32::MAX / 16);
    (length * 2 + u32::from(exact)) * 4 + 8
}
