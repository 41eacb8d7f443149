//! Where a callee's pods are: names become addresses that are there when a request comes.
//!
//! - [`resolver`]: one look at DNS: SRV of the callee's headless Service, else the addresses of its host.
//! - [`follow`]: keeps looking while a name is used, so that requests find an answer and never wait for one; outlives a
//!   DNS that is dead.
//! - [`metrics`]: how long DNS takes, and how many requests had to wait for it.
//!
//! Each [`crate::upstream::Upstream`] follows the name of its own target: as many names as there are calls, and what
//! nobody uses is not looked up.

mod follow;
mod metrics;
mod resolver;

use std::net::SocketAddr;
use std::time::Duration;

pub(crate) use self::follow::{Followed, State};
pub(crate) use self::metrics::Metrics;
pub(crate) use self::resolver::{Query, Resolver};

/// Most addresses that are taken from one answer. Beyond it the callee is balanced over a part of its pods.
const MAX_ADDRESSES: usize = 512;

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Sorted, each once, at least one.
    pub(crate) addresses: Vec<SocketAddr>,
    /// The smallest of the records' TTLs.
    pub(crate) ttl: Duration,
}

impl Found {
    /// None without an address.
    fn new(mut addresses: Vec<SocketAddr>, ttl: Duration) -> Option<Self> {
        addresses.sort_unstable();
        addresses.dedup();
        addresses.truncate(MAX_ADDRESSES);
        (!addresses.is_empty()).then_some(Self { addresses, ttl })
    }
}

/// Why there is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LookupError {
    /// DNS says so.
    #[error("there is no such name, or it has no address")]
    Absent,
    /// DNS is of no help: no answer in time, or an error.
    #[error("{0}")]
    Failed(String),
}
