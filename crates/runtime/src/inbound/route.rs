//! The declared routes: the one that a request is for, whatever their order.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use goodgo_runtime_config::{Asked, Route, RouteAuth};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::Refusal;
use super::forward::ForwardAuth;
use super::jwks::KeySource;
use super::jwt::JwtAuth;
use super::path::{Closed, below, normal};
use crate::identity::headers::{AUTHENTICATED, BY_GATEWAY, Protected};

/// All routes of one configuration.
#[derive(Debug)]
pub(crate) struct Table {
    /// The most specific first.
    rules: Vec<Arc<Rule>>,
    /// What the gateway asks, and under which host.
    asked: Option<(String, Vec<Arc<Rule>>)>,
    pub(super) closed: Arc<Closed>,
    /// The platform's headers, and all that any route's authentication sets: a route without authentication must not
    /// let through what the app believes on another.
    pub(super) protected: Arc<Protected>,
}

/// One route.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(super) name: String,
    /// In normal form.
    path: String,
    exact: bool,
    methods: Vec<Method>,
    pub(super) strip_prefix: Option<(String, HeaderValue)>,
    pub(super) auth: Auth,
    pub(super) timeout: Option<Duration>,
    pub(super) max_body: Option<u64>,
    content_types: Vec<String>,
}

/// Who may use a route.
#[derive(Debug)]
pub(super) enum Auth {
    None,
    /// The gateway was asked, and has set these headers.
    Gateway(Vec<HeaderName>),
    Jwt(Arc<JwtAuth>),
    Forward(ForwardAuth),
}

impl Table {
    pub(super) fn new(
        routes: &[Route],
        asked: Option<&Asked>,
        closed: Arc<Closed>,
        keys: &HashMap<String, Arc<KeySource>>,
        previous: Option<&Self>,
    ) -> Self {
        let names = routes.iter().flat_map(|route| {
            let claims = route.auth.jwt.iter().flat_map(|jwt| jwt.claims.values());
            let asked = route.auth.forward.iter().flat_map(|forward| &forward.headers);
            let at_gateway = route.auth.gateway.iter().flat_map(|gateway| &gateway.headers);
            claims.chain(asked).chain(at_gateway)
        });
        let protected = Arc::new(Protected::outside(names.map(String::as_str)));
        let mut rules: Vec<_> =
            routes.iter().filter_map(|route| Rule::new(route, keys, previous)).map(Arc::new).collect();
        // Among routes that match one path the longer is below the shorter. Stable: equals stay in their order.
        rules.sort_by_key(|rule| Reverse(rule.rank()));
        let asked = asked.map(|asked| {
            let rules = asked.paths.iter().filter_map(|path| Rule::asked(path)).map(Arc::new);
            (asked.host.to_ascii_lowercase(), rules.collect())
        });
        Self { rules, asked, closed, protected }
    }

    /// The rule for a question of the gateway's, at a path in normal form.
    pub(super) fn asked(&self, host: Option<&str>, path: &str) -> Option<&Arc<Rule>> {
        let (name, rules) = self.asked.as_ref()?;
        let host = host?;
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
        if !host.eq_ignore_ascii_case(name) {
            return None;
        }
        rules.iter().find(|rule| rule.matches(path))
    }

    /// The route for a path in normal form.
    ///
    /// The path alone decides, before the method: `POST /users/me` is not the business of a route for `/users` when one
    /// for `/users/me` is declared without POST. Several routes for one path share its methods out.
    ///
    /// # Errors
    /// None: no route. Some: not with this method.
    pub(super) fn find(&self, path: &str, method: &Method) -> Result<&Arc<Rule>, Option<Refusal>> {
        let mut matching = self.rules.iter().filter(|rule| rule.matches(path)).peekable();
        let first = Arc::clone(matching.peek().ok_or(None)?);
        let same = matching.take_while(|rule| rule.rank() == first.rank());
        if let Some(rule) = same.clone().find(|rule| rule.allows(method)) {
            return Ok(rule);
        }
        let methods: Vec<_> = same.flat_map(|rule| &rule.methods).map(Method::as_str).collect();
        let allow =
            HeaderValue::try_from(methods.join(", ")).unwrap_or_else(|_| HeaderValue::from_static(""));
        Err(Some(Refusal::Method { route: first.name.clone(), allow }))
    }

    fn jwt(&self, name: &str) -> Option<&Arc<JwtAuth>> {
        self.rules.iter().find(|rule| rule.name == name).and_then(|rule| match &rule.auth {
            Auth::Jwt(jwt) => Some(jwt),
            _ => None,
        })
    }
}

impl Rule {
    /// None for what validation refuses: such a route is closed.
    fn new(route: &Route, keys: &HashMap<String, Arc<KeySource>>, previous: Option<&Table>) -> Option<Self> {
        let Route {
            name,
            path,
            exact,
            methods,
            strip_prefix,
            auth,
            timeout_ms,
            max_body_bytes,
            content_types,
        } = route;
        let closed = |why: &str| tracing::error!(route = %name, why, "route is closed");
        let normal_path = normal(path).inspect_err(|why| closed(why)).ok()?;
        let RouteAuth { none, gateway, jwt, forward } = auth;
        let auth = match (none, gateway, jwt, forward) {
            (false, None, Some(jwt), None) => {
                let kept = previous.and_then(|table| table.jwt(name)).filter(|kept| kept.is_for(jwt));
                Auth::Jwt(match kept {
                    Some(kept) => Arc::clone(kept),
                    None => Arc::new(JwtAuth::new(jwt, Arc::clone(keys.get(&jwt.jwks)?))),
                })
            }
            (false, None, None, Some(forward)) => Auth::Forward(ForwardAuth::new(name, forward)?),
            (false, Some(gateway), None, None) => {
                let names = gateway.headers.iter().map(|name| HeaderName::from_bytes(name.as_bytes()));
                Auth::Gateway(
                    names.collect::<Result<_, _>>().inspect_err(|_| closed("no header's name")).ok()?,
                )
            }
            (true, None, None, None) => Auth::None,
            _ => {
                closed("its auth is not exactly one");
                return None;
            }
        };
        let strip_prefix = match strip_prefix
            .as_deref()
            .map(|prefix| prefix.strip_suffix('/').unwrap_or(prefix))
        {
            None | Some("") => None,
            Some(prefix) => Some((normal(prefix).ok()?.into_owned(), HeaderValue::from_str(prefix).ok()?)),
        };
        Some(Self {
            name: name.clone(),
            path: normal_path.into_owned(),
            exact: *exact,
            methods: methods.iter().filter_map(|method| Method::from_bytes(method.as_bytes()).ok()).collect(),
            strip_prefix,
            auth,
            timeout: timeout_ms.map(Duration::from_millis),
            max_body: *max_body_bytes,
            content_types: content_types.iter().map(|kind| kind.to_ascii_lowercase()).collect(),
        })
    }

    /// For a path that the gateway asks: as it is, and what comes of it is the app's to decide.
    fn asked(path: &str) -> Option<Self> {
        Some(Self {
            name: "asked-by-gateway".to_owned(),
            path: normal(path).ok()?.into_owned(),
            exact: true,
            methods: Vec::new(),
            strip_prefix: None,
            auth: Auth::None,
            timeout: None,
            max_body: None,
            content_types: Vec::new(),
        })
    }

    /// How specific it is. Routes that match one path and have the same rank have the same path.
    fn rank(&self) -> (usize, bool) {
        let path = if self.exact { &self.path } else { self.path.strip_suffix('/').unwrap_or(&self.path) };
        (path.len(), self.exact)
    }

    fn matches(&self, path: &str) -> bool {
        if self.exact { path == self.path } else { below(path, &self.path).is_some() }
    }

    /// What the gateway has set for the app, where it decides who is let in.
    ///
    /// # Errors
    /// It should, and doesn't say that it did.
    pub(super) fn let_through_by_gateway(
        &self,
        headers: &HeaderMap,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, Refusal> {
        let Auth::Gateway(names) = &self.auth else { return Ok(Vec::new()) };
        let mut marks = headers.get_all(AUTHENTICATED).iter();
        if !matches!((marks.next(), marks.next()), (Some(mark), None) if mark.as_bytes() == BY_GATEWAY) {
            return Err(Refusal::NotAsked { route: self.name.clone() });
        }
        let set = |name: &HeaderName| {
            let values = headers.get_all(name).iter().cloned();
            values.map(|value| (name.clone(), value)).collect::<Vec<_>>()
        };
        Ok(names.iter().flat_map(set).collect())
    }

    fn allows(&self, method: &Method) -> bool {
        self.methods.is_empty() || self.methods.contains(method)
    }

    /// Whether a body of this type is one of those that are declared.
    pub(super) fn takes(&self, headers: &HeaderMap) -> bool {
        if self.content_types.is_empty() {
            return true;
        }
        let mut types = headers.get_all(CONTENT_TYPE).iter();
        let (Some(only), None) = (types.next(), types.next()) else { return false };
        let essence = only.to_str().ok().and_then(|text| text.split(';').next()).unwrap_or_default();
        let essence = essence.trim();
        self.content_types.iter().any(|declared| declared.eq_ignore_ascii_case(essence))
    }
}
