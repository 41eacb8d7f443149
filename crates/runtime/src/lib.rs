//! The communication runtime beside each service: one process, one native sidecar per pod.
//!
//! It reads one file that the operator writes ([`goodgo_runtime_config`]) and knows nothing of the Kubernetes API.
//!
//! | port | address | who calls | what answers |
//! | --- | --- | --- | --- |
//! | 14001 `service` | pod | callers in the cluster | the app, through [`proxy`]'s service stack |
//! | 14002 `gateway` | pod | the gateway | the app, on declared routes only |
//! | 14010 `admin` | pod | kubelet, operator, monitoring | `/live` `/ready` `/startup` `/health/…` `/app/…` `/config` `/metrics` |
//! | 14011 `drain` | pod | the kubelet, from the app container's preStop hook | `GET /drain`, once the pod is drained |
//! | 14100… | 127.0.0.1 | the app | one listener per declared call, forwarded to the call's target |
//!
//! Ports, the app's port and paths come from the command line ([`args`]) and are frozen for a pod's life; everything
//! else is in the file and hot ([`config`]). [`runtime`] puts the parts together and is the place to start reading.
//!
//! Threads: one tokio worker carries all traffic (`--worker-threads` for more), another answers on the admin port and
//! checks dependencies ([`aside`]), plain threads watch the file and the identities' folders, and one exports traces where
//! they are on.

pub mod args;
pub mod runtime;
pub mod telemetry;

mod admin;
mod aside;
mod config;
mod context;
#[cfg(test)]
#[path = "../tests/support/corpus.rs"]
mod corpus;
mod discovery;
mod drain;
mod error;
mod gzip;
mod head;
mod health;
mod identity;
mod inbound;
mod metrics;
mod outbound;
mod proxy;
#[cfg(test)]
mod random_heads;
mod server;
mod spans;
mod stall;
mod survival;
mod upstream;

pub use error::Error;

#[cfg(test)]
use corpus::executions;
