//! What Traefik does with a request of a route before a pod gets it, and with the answer.

use super::{Edge, Step};
use crate::names;
use crate::quantity::Quantity;
use crate::runtime_config::calls::method;
use crate::runtime_config::milliseconds;
use crate::traefik;
use crate::traefik::{
    Buffering, CircuitBreaker, Compress, Headers, InFlightReq, IpAllowList, IpStrategy, MiddlewareSpec,
    RateLimit, Redis, Retry, SourceCriterion, StripPrefix,
};
use goodgo_api::gateway::{Cors, ForwardAuth, RateLimitBy, Route};
use goodgo_api::types::{Duration, HttpMethod};
use goodgo_fleet::ServiceKey;
use goodgo_runtime_config::{headers, ports as runtime_ports};
use std::collections::BTreeMap;

/// Bytes of an auth service's answer that are passed on to a client that it refuses.
const REFUSAL: i64 = 64 * 1024;

impl<'a> Edge<'a> {
    /// In this order, outermost first: who may come, what browsers are told (a preflight carries no credentials and counts
    /// as no request; a refusal must be readable for scripts), how often, and who it is; then what is done for the pods.
    pub(super) fn steps(&self, route: &'a Route) -> Vec<Step> {
        let in_pod = self.service.runtime_on_port();
        let max_body = route.max_body.as_ref().filter(|_| !in_pod);
        let strip_prefix = route.strip_prefix.as_ref().filter(|_| !in_pod);
        let before = [
            ("ip-allow", ip_allow(route)),
            ("headers", response_headers(route)),
            ("rate-limit", self.rate_limit(route)),
            ("in-flight", in_flight(route)),
        ];
        let after = [
            ("auth", self.asks(route).map(|(asked, forward)| self.forward_auth(&asked, forward))),
            ("max-body", max_body.and_then(|size| Quantity::parse(size.as_str())).map(buffering)),
            ("compress", compress(route)),
            ("breaker", circuit_breaker(route)),
            ("retry", retry(route)),
            ("strip", strip_prefix.and_then(|prefix| strip(prefix.as_str()))),
        ];
        let named = |(part, spec): (_, Option<_>)| Some(self.named(route, part, spec?));
        let identity = self.identity(route);
        before
            .into_iter()
            .filter_map(named)
            .chain([identity])
            .chain(after.into_iter().filter_map(named))
            .collect()
    }

    /// What a client says of who it is, or of having been asked, goes away on every route: on one without authentication
    /// too, for the app believes it on another. Routes that ask here then say so.
    fn identity(&self, route: &'a Route) -> Step {
        let asking = self.gateway.routes.iter().filter_map(|route| self.asks(route));
        let names = asking.flat_map(|(_, forward)| &forward.headers);
        let mut set: BTreeMap<_, _> = names.map(|name| (name.0.clone(), String::new())).collect();
        let asks = self.asks(route).is_some();
        let in_pod = self.service.runtime_on_port();
        let word = if asks && in_pod { headers::BY_GATEWAY } else { "" };
        set.insert(headers::AUTHENTICATED.to_owned(), word.to_owned());
        if !in_pod {
            // Which a runtime would remove.
            let platforms = [headers::CALLER, headers::SERVICE_AUTH, headers::API_KEY];
            let removed = platforms.into_iter().chain(headers::NOT_FROM_OUTSIDE);
            set.extend(removed.map(|name| (name.to_owned(), String::new())));
        }
        let spec = Headers { custom_request_headers: set, ..Headers::default() };
        self.step(if asks { "asked" } else { "unasked" }, MiddlewareSpec::Headers(spec))
    }

    /// The service is asked at the port that leads to its runtime, which knows the path by the host.
    fn forward_auth(&self, asked: &ServiceKey, forward: &ForwardAuth) -> MiddlewareSpec {
        let host = self.platform.dns_name(&names::gateway_service(&asked.name), &asked.namespace);
        let (host, port) = (host.trim_end_matches('.'), runtime_ports::GATEWAY);
        MiddlewareSpec::ForwardAuth(traefik::ForwardAuth {
            address: format!("http://{host}:{port}{}", forward.path),
            auth_response_headers: forward.headers.iter().map(|name| name.0.clone()).collect(),
            max_response_body_size: REFUSAL,
        })
    }

    /// 405 for methods that the route doesn't have; a preflight is answered all the same.
    pub(super) fn steps_for_other_methods(&self, route: &Route) -> Vec<Step> {
        let told = response_headers(route).map(|spec| self.named(route, "headers", spec));
        // RFC 9110 15.5.6: who is refused for the method is told which there are.
        let methods: Vec<_> = route.methods.iter().copied().map(method).collect();
        let allow = [("Allow".to_owned(), methods.join(", "))].into();
        let allow = Headers { custom_response_headers: allow, ..Headers::default() };
        let allow = self.named(route, "allow", MiddlewareSpec::Headers(allow));
        told.into_iter().chain([allow, self.refuse(405)]).collect()
    }

    fn named(&self, route: &Route, part: &str, spec: MiddlewareSpec) -> Step {
        Step { name: self.service.names().of_route(&route.name, part), spec }
    }

    fn rate_limit(&self, route: &Route) -> Option<MiddlewareSpec> {
        let limit = route.rate_limit.as_ref()?;
        let header = limit.header.as_ref().filter(|_| limit.by == RateLimitBy::Header);
        let redis = self
            .platform
            .rate_limit_store
            .as_ref()
            .map(|store| Redis { endpoints: store.endpoints.clone(), secret: store.secret.clone() });
        Some(MiddlewareSpec::RateLimit(RateLimit {
            average: limit.average,
            period: go_duration(&limit.period),
            burst: limit.burst,
            source_criterion: header
                .map_or_else(by_address, |header| SourceCriterion::RequestHeaderName(header.0.clone())),
            redis,
        }))
    }
}

fn ip_allow(route: &Route) -> Option<MiddlewareSpec> {
    let ranges: Vec<_> = route.ip_allow.iter().map(|range| range.0.clone()).collect();
    let list = IpAllowList { source_range: ranges, reject_status_code: None };
    (!list.source_range.is_empty()).then_some(MiddlewareSpec::IpAllowList(list))
}

fn response_headers(route: &Route) -> Option<MiddlewareSpec> {
    let set = route.headers.iter().map(|(name, value)| (name.clone(), value.0.clone()));
    let own = Headers { custom_response_headers: set.collect(), ..Headers::default() };
    let all = match &route.cors {
        Some(rules) => cors(rules, route, own),
        None => own,
    };
    (all != Headers::default()).then_some(MiddlewareSpec::Headers(all))
}

fn cors(rules: &Cors, route: &Route, own: Headers) -> Headers {
    let Cors { origins, methods, headers, credentials, max_age } = rules;
    let methods = [methods, &route.methods].into_iter().find(|methods| !methods.is_empty());
    let methods = methods.map_or(ALL_METHODS.as_slice(), Vec::as_slice);
    Headers {
        access_control_allow_origin_list: origins.clone(),
        access_control_allow_methods: methods.iter().copied().map(method).map(str::to_owned).collect(),
        access_control_allow_headers: headers.iter().map(|header| header.0.clone()).collect(),
        access_control_allow_credentials: *credentials,
        access_control_max_age: max_age.as_ref().and_then(|age| age.to_seconds().ok()).map(i64::from),
        // The answer depends on who asks, and caches must know.
        add_vary_header: !origins.iter().any(|origin| origin == "*"),
        ..own
    }
}

const ALL_METHODS: [HttpMethod; 7] = [
    HttpMethod::Get,
    HttpMethod::Head,
    HttpMethod::Post,
    HttpMethod::Put,
    HttpMethod::Patch,
    HttpMethod::Delete,
    HttpMethod::Options,
];

fn in_flight(route: &Route) -> Option<MiddlewareSpec> {
    let amount = route.in_flight?;
    // Traefik's own default would count all clients of a host together.
    Some(MiddlewareSpec::InFlightReq(InFlightReq { amount, source_criterion: by_address() }))
}

const fn by_address() -> SourceCriterion {
    SourceCriterion::IpStrategy(IpStrategy { depth: 0 })
}

fn buffering(size: Quantity) -> MiddlewareSpec {
    MiddlewareSpec::Buffering(Buffering { max_request_body_bytes: size.ceil() })
}

fn compress(route: &Route) -> Option<MiddlewareSpec> {
    let settings = Compress {
        // Events would be held back until enough of them are there.
        excluded_content_types: vec!["text/event-stream"],
        min_response_body_bytes: 1024,
    };
    route.compress.then_some(MiddlewareSpec::Compress(settings))
}

fn circuit_breaker(route: &Route) -> Option<MiddlewareSpec> {
    let breaker = route.circuit_breaker.as_ref()?;
    // At 0 it would open without a request.
    let percent = breaker.error_percent.0.clamp(1, 100);
    Some(MiddlewareSpec::CircuitBreaker(CircuitBreaker {
        expression: format!("ResponseCodeRatio(500, 600, 0, 600) >= {}.{:02}", percent / 100, percent % 100),
        fallback_duration: go_duration(&breaker.reset_after),
        response_code: 503,
    }))
}

fn retry(route: &Route) -> Option<MiddlewareSpec> {
    let attempts = route.retries.as_ref()?.attempts;
    (attempts > 1).then_some(MiddlewareSpec::Retry(Retry { attempts, initial_interval: "100ms" }))
}

/// A final `/` of the prefix is no segment; without it what is left begins with one.
fn strip(prefix: &str) -> Option<MiddlewareSpec> {
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix).to_owned();
    (!prefix.is_empty()).then(|| MiddlewareSpec::StripPrefix(StripPrefix { prefixes: vec![prefix] }))
}

/// As Go writes it: there are no days.
pub(super) fn go_duration(duration: &Duration) -> String {
    go_milliseconds(milliseconds(duration))
}

pub(super) fn go_milliseconds(milliseconds: u64) -> String {
    if milliseconds.is_multiple_of(1_000) {
        format!("{}s", milliseconds / 1_000)
    } else {
        format!("{milliseconds}ms")
    }
}
