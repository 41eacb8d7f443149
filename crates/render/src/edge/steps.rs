//! What Traefik does with a request of a route before a pod gets it, and with the answer.

use super::{Edge, Step};
use crate::quantity::Quantity;
use crate::runtime_config::calls::method;
use crate::runtime_config::milliseconds;
use crate::traefik::{
    Buffering, CircuitBreaker, Compress, Headers, InFlightReq, IpAllowList, IpStrategy, MiddlewareSpec,
    RateLimit, Redis, Retry, SourceCriterion, StripPrefix,
};
use crate::validate::ValidatedService;
use goodgo_api::gateway::{Cors, RateLimitBy, Route};
use goodgo_api::types::{Duration, HttpMethod};

/// Whether nothing that stands there can do the route's authentication. Where the pods have a runtime it closes the route.
pub(super) fn is_closed(service: &ValidatedService, route: &Route) -> bool {
    !service.spec().runtime_enabled() && route.auth.none.is_none()
}

impl Edge<'_> {
    /// In this order, outermost first: who may come, what browsers are told (a preflight carries no credentials and counts
    /// as no request; a refusal must be readable for scripts), how often; then what is done for the pods.
    pub(super) fn steps(&self, route: &Route) -> Vec<Step> {
        let in_pod = self.service.runtime_on_port();
        let max_body = route.max_body.as_ref().filter(|_| !in_pod);
        let strip_prefix = route.strip_prefix.as_ref().filter(|_| !in_pod);
        let steps = [
            ("ip-allow", ip_allow(route)),
            ("headers", headers(route)),
            ("rate-limit", self.rate_limit(route)),
            ("in-flight", in_flight(route)),
            ("max-body", max_body.and_then(|size| Quantity::parse(size.as_str())).map(buffering)),
            ("compress", compress(route)),
            ("breaker", circuit_breaker(route)),
            ("retry", retry(route)),
            ("strip", strip_prefix.and_then(|prefix| strip(prefix.as_str()))),
        ];
        let named = steps.into_iter().filter_map(|(part, spec)| Some((part, spec?)));
        named.map(|(part, spec)| self.named(route, part, spec)).collect()
    }

    /// 405 for methods that the route doesn't have; a preflight is answered all the same.
    pub(super) fn steps_for_other_methods(&self, route: &Route) -> Vec<Step> {
        let headers = headers(route).map(|spec| self.named(route, "headers", spec));
        headers.into_iter().chain([self.refuse(405)]).collect()
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

fn headers(route: &Route) -> Option<MiddlewareSpec> {
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
    let milliseconds = milliseconds(duration);
    if milliseconds.is_multiple_of(1_000) {
        format!("{}s", milliseconds / 1_000)
    } else {
        format!("{milliseconds}ms")
    }
}
