//! The series of one listener, found by position: nothing is hashed, locked or allocated once a series is there.
//!
//! What a client chooses never becomes a label: methods are the known ones or `OTHER`, routes and peers those of the
//! configuration. A changed configuration makes a new table, which takes over the rows that stay.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, OnceLock};

use goodgo_runtime_config::{CallRoute, Route, RuntimeConfig};
use http::{Method, StatusCode};

use super::series::Series;

const METHODS: [&str; 10] =
    ["OTHER", "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"];
/// `none`: the client went away before there was an answer.
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
/// The peer that nothing is known about.
pub(crate) const UNKNOWN: &str = "unknown";
/// The peer that has proven itself with a fixed key, as the app is told.
const KEY: &str = "key";

/// Which listener a table is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Leg {
    /// Callers inside the cluster.
    Service,
    /// Traffic from the gateway.
    Gateway,
    /// The call of this name.
    Call(String),
}

impl Leg {
    pub(super) fn direction(&self) -> &'static str {
        match self {
            Self::Service | Self::Gateway => "inbound",
            Self::Call(_) => "outbound",
        }
    }

    /// Who may be at the other end; the first one unless [`Seen::peer`] knows better.
    fn peers(&self, config: Option<&RuntimeConfig>) -> Vec<String> {
        match self {
            Self::Service => {
                let callers = config.into_iter().flat_map(|config| &config.inbound.callers);
                let keys = config.is_some_and(|config| config.inbound.authentication.keys);
                let others = [UNKNOWN].into_iter().chain(keys.then_some(KEY)).map(str::to_owned);
                others.chain(callers.map(|caller| caller.name.clone())).collect()
            }
            Self::Gateway => vec!["gateway".to_owned()],
            Self::Call(name) => vec![name.clone()],
        }
    }

    fn target(&self, config: Option<&RuntimeConfig>) -> Option<(Arc<str>, u16)> {
        let Self::Call(name) = self else { return None };
        let target = config?.calls.get(name)?.target.as_ref()?;
        Some((target.host.trim_end_matches('.').into(), target.port))
    }

    fn patterns(&self, config: Option<&RuntimeConfig>) -> Vec<Pattern> {
        let Some(config) = config else { return Vec::new() };
        match self {
            Self::Service => Vec::new(),
            Self::Gateway => config.inbound.routes.iter().map(Pattern::of_route).collect(),
            Self::Call(name) => {
                let routes = config.calls.get(name).map(|call| call.policy.routes.as_slice());
                routes.unwrap_or_default().iter().map(Pattern::of_call_route).collect()
            }
        }
    }
}

/// A declared route, as far as its label needs it.
#[derive(Debug)]
struct Pattern {
    /// Position in [`Table::routes`].
    route: usize,
    label: String,
    path: String,
    exact: bool,
    methods: Vec<String>,
}

impl Pattern {
    fn of_route(route: &Route) -> Self {
        let Route { name, path, exact, methods, .. } = route;
        Self { route: 0, label: name.clone(), path: path.clone(), exact: *exact, methods: methods.clone() }
    }

    fn of_call_route(route: &CallRoute) -> Self {
        let CallRoute { path, methods, timeout_ms: _, retries: _ } = route;
        Self { route: 0, label: path.clone(), path: path.clone(), exact: false, methods: methods.clone() }
    }

    fn takes(&self, method: &Method, path: &str) -> bool {
        let below = match path.strip_prefix(self.path.trim_end_matches('/')) {
            Some(_) if self.exact => path == self.path,
            Some(rest) => rest.is_empty() || rest.starts_with('/'),
            None => false,
        };
        below && (self.methods.is_empty() || self.methods.iter().any(|listed| listed == method.as_str()))
    }
}

/// The series of one peer and route.
type Row = [OnceLock<Box<Series>>; METHODS.len() * CLASSES.len()];

/// All series of one listener under one configuration.
#[derive(Debug)]
pub(crate) struct Table {
    pub(super) leg: Leg,
    service: String,
    /// Host and port of the call's target, for spans.
    pub(super) target: Option<(Arc<str>, u16)>,
    peers: Vec<String>,
    /// Position in `peers`.
    peer_index: HashMap<String, u16>,
    /// Labels; the first one, empty, is for what no route declares.
    routes: Vec<String>,
    /// The most specific one first.
    patterns: Vec<Pattern>,
    /// By peer, then route.
    rows: Vec<Arc<Row>>,
}

/// Labels of one series.
pub(super) type Labels<'a> = [(&'static str, &'a str); 6];

impl Table {
    pub(super) fn new(leg: Leg, config: Option<&RuntimeConfig>, previous: Option<&Self>) -> Self {
        let peers = leg.peers(config);
        let mut patterns = leg.patterns(config);
        patterns.sort_by_key(|pattern| std::cmp::Reverse((pattern.path.len(), pattern.exact)));
        let mut routes = vec![String::new()];
        for pattern in &mut patterns {
            pattern.route = routes.iter().position(|label| *label == pattern.label).unwrap_or_else(|| {
                routes.push(pattern.label.clone());
                routes.len() - 1
            });
        }
        let row = |peer: &String, route: &String| {
            let kept = previous.and_then(|previous| previous.row(peer, route));
            kept.unwrap_or_else(|| Arc::new(std::array::from_fn(|_| OnceLock::new())))
        };
        let rows = peers.iter().flat_map(|peer| routes.iter().map(move |route| row(peer, route))).collect();
        let numbered = peers.iter().zip(0_u16..);
        Self {
            service: config.map(|config| config.service.name.clone()).unwrap_or_default(),
            target: leg.target(config),
            peer_index: numbered.map(|(name, index)| (name.clone(), index)).collect(),
            peers,
            routes,
            patterns,
            rows,
            leg,
        }
    }

    fn row(&self, peer: &str, route: &str) -> Option<Arc<Row>> {
        let peer = usize::from(*self.peer_index.get(peer)?);
        let route = self.routes.iter().position(|label| label == route)?;
        self.rows.get(peer * self.routes.len() + route).cloned()
    }

    /// The declared route that a request falls under.
    pub(super) fn route(&self, method: &Method, path: &str) -> usize {
        let found = self.patterns.iter().find(|pattern| pattern.takes(method, path));
        found.map_or(0, |pattern| pattern.route)
    }

    pub(super) fn route_label(&self, route: usize) -> &str {
        self.routes.get(route).map_or("", String::as_str)
    }

    pub(super) fn peer_label(&self, peer: usize) -> &str {
        self.peers.get(peer).map_or(UNKNOWN, String::as_str)
    }

    pub(super) fn series(&self, at: Position) -> Option<&Series> {
        let Position { peer, route, method, class } = at;
        let row = self.rows.get(peer * self.routes.len() + route)?;
        let cell = row.get(method * CLASSES.len() + class)?;
        Some(cell.get_or_init(Box::default))
    }

    /// Every series that was ever counted, with its labels.
    pub(super) fn counted(&self) -> impl Iterator<Item = (Labels<'_>, &Series)> {
        let peers_and_routes =
            self.peers.iter().flat_map(|peer| self.routes.iter().map(move |route| (peer, route)));
        peers_and_routes.zip(&self.rows).flat_map(move |((peer, route), row)| {
            let methods_and_classes =
                METHODS.iter().flat_map(|method| CLASSES.iter().map(move |class| (method, class)));
            methods_and_classes.zip(row.iter()).filter_map(move |((method, class), cell)| {
                let labels = [
                    ("service", self.service.as_str()),
                    ("peer", peer.as_str()),
                    ("direction", self.leg.direction()),
                    ("method", *method),
                    ("route", route.as_str()),
                    ("status_class", *class),
                ];
                Some((labels, cell.get()?.as_ref()))
            })
        })
    }
}

/// Where in a [`Table`] a series is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Position {
    pub(super) peer: usize,
    pub(super) route: usize,
    /// From [`method`].
    pub(super) method: usize,
    /// From [`class`].
    pub(super) class: usize,
}

/// Position of a method's label.
pub(super) fn method(method: &Method) -> usize {
    METHODS.iter().position(|known| *known == method.as_str()).unwrap_or(0)
}

/// Position of a status's label; none for a client that went away.
pub(super) fn class(status: Option<StatusCode>) -> usize {
    let class = status.map_or(0, |status| usize::from(status.as_u16() / 100));
    if class < CLASSES.len() { class } else { 0 }
}

/// What the layers inside find out about a request. An extension of requests on the inbound listeners.
#[derive(Debug, Clone)]
pub(crate) struct Seen(Arc<(Arc<Table>, AtomicU16)>);

impl Seen {
    pub(super) fn new(table: Arc<Table>) -> Self {
        Self(Arc::new((table, AtomicU16::new(0))))
    }

    /// Who is at the other end, proven; names that are not in the configuration are ignored.
    pub(crate) fn peer(&self, name: &str) {
        let (table, peer) = &*self.0;
        if let Some(index) = table.peer_index.get(name) {
            peer.store(*index, Ordering::Relaxed);
        }
    }

    pub(super) fn table(&self) -> &Table {
        &self.0.0
    }

    pub(super) fn peer_position(&self) -> usize {
        self.0.1.load(Ordering::Relaxed).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> RuntimeConfig {
        let head =
            r#""version":"v1alpha1","revision":"a1","service":{"name":"user-service","namespace":"shop"}"#;
        goodgo_runtime_config::parse(format!("{{{head},{json}}}").as_bytes()).unwrap()
    }

    #[test]
    fn the_most_specific_declared_route_is_the_label() {
        let config = config(
            r#""calls":{"iam":{"target":{"host":"iam","port":1},"policy":{"routes":[
                {"path":"/users"},{"path":"/users/me","methods":["GET"]},{"path":"/"}]}}}"#,
        );
        let table = Table::new(Leg::Call("iam".to_owned()), Some(&config), None);
        for (method, path, label) in [
            (Method::GET, "/users", "/users"),
            (Method::GET, "/users/7", "/users"),
            (Method::GET, "/users/me", "/users/me"),
            (Method::POST, "/users/me/x", "/users"),
            (Method::GET, "/usersx", "/"),
            (Method::GET, "*", ""),
        ] {
            assert_eq!(table.route_label(table.route(&method, path)), label, "{method} {path}");
        }
    }

    #[test]
    fn a_new_configuration_keeps_what_was_counted_for_those_who_stay() {
        let callers = |names: &[&str]| {
            let callers: Vec<_> =
                names.iter().map(|n| format!(r#"{{"name":"shop/{n}","subject":"{n}"}}"#)).collect();
            config(&format!(r#""inbound":{{"callers":[{}]}}"#, callers.join(",")))
        };
        let position = |peer| Position { peer, route: 0, method: 1, class: 2 };
        let before = Table::new(Leg::Service, Some(&callers(&["a", "b"])), None);
        for _ in 0..3 {
            before.series(position(2)).unwrap().record(std::time::Duration::ZERO, Default::default());
        }
        let after = Table::new(Leg::Service, Some(&callers(&["b", "c"])), Some(&before));
        assert_eq!(after.peer_label(1), "shop/b");
        assert_eq!(after.series(position(1)).unwrap().read().count, 3);
        assert_eq!(after.series(position(2)).unwrap().read().count, 0);
    }
}
