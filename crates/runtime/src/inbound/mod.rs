//! Who may reach the app: callers from inside the cluster at the service port, declared routes at the gateway port.
//!
//! ```text
//! service   Encode → Admit → Limit → app        gateway   Route → Authenticate → Limit → app
//! ```
//!
//! - [`admit`]: the caller's token or fixed key; forged headers are removed, the app is told who called.
//! - [`gateway`]: routes ([`route`]) on paths in normal form ([`path`]), users' tokens ([`jwt`], [`jwks`]), and services
//!   that decide ([`forward`]).
//! - [`coding`]: answers in gzip, and requests that a runtime sent so.
//! - [`limit`]: as much at once as the app does well. [`upload`]: bodies that are too large or stall.
//! - [`refusal`]: everything that can be wrong, and how it is told.
//!
//! What the configuration says is turned into [`Rules`] once, when it comes into force.

mod admit;
mod coding;
mod collect;
mod forward;
mod gateway;
mod jwks;
mod jwt;
mod limit;
mod path;
mod refusal;
mod route;
mod upload;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use goodgo_runtime_config::{Inbound, RuntimeConfig};

pub(crate) use self::admit::Admit;
pub(crate) use self::coding::Encode;
pub(crate) use self::gateway::Gateway;
pub(crate) use self::limit::Limiter;
pub(crate) use self::refusal::Refusal;
pub(crate) use self::upload::Watch;
use crate::config::Hot;
use crate::identity::Keys;
use crate::proxy::Asking;
use crate::server::MAX_HEADERS;
use crate::upstream::Tls;

/// What both ports need.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) hot: Arc<Hot>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) limiter: Arc<Limiter>,
    /// For services that decide about users.
    pub(crate) asking: Arc<Asking>,
    /// How long the client of an unfinished body may send nothing.
    pub(crate) stall_limit: Duration,
}

/// What one configuration lets in.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) admission: admit::Admission,
    pub(crate) routes: route::Table,
    /// Of users' tokens, by URL; kept from one configuration to the next.
    keys: HashMap<String, Arc<jwks::KeySource>>,
}

impl Rules {
    /// Of `config`. What `previous` has learned (verified tokens, fetched keys) is kept where it is still true.
    pub(crate) fn new(config: &RuntimeConfig, previous: Option<&Self>, tls: &Tls) -> Self {
        let Inbound { authentication, callers, routes, asked, event_paths } = &config.inbound;
        let closed = Arc::new(path::Closed::new(event_paths));
        let mut keys = HashMap::new();
        for jwt in routes.iter().filter_map(|route| route.auth.jwt.as_ref()) {
            let kept = previous.and_then(|rules| rules.keys.get(&jwt.jwks)).map(Arc::clone);
            let source = || kept.unwrap_or_else(|| jwks::KeySource::new(&jwt.jwks, tls.clone()));
            keys.entry(jwt.jwks.clone()).or_insert_with(source);
        }
        Self {
            admission: admit::Admission::new(
                &config.service,
                authentication,
                callers,
                Arc::clone(&closed),
                previous.map(|rules| &rules.admission),
            ),
            routes: route::Table::new(
                routes,
                asked.as_ref(),
                closed,
                &keys,
                previous.map(|rules| &rules.routes),
            ),
            keys,
        }
    }
}

/// HTTP/1.1 is refused by its parser already; an HTTP/2 client could send thousands within the same bytes.
fn check_count(headers: &http::HeaderMap) -> Result<(), Refusal> {
    if headers.len() > MAX_HEADERS { Err(Refusal::TooManyHeaders { limit: MAX_HEADERS }) } else { Ok(()) }
}
