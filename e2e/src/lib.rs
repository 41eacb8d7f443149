//! The development cluster and the harness around it.
//!
//! A *tool* ([`tools`]) is a program built from its pinned Go module and kept in a cache. A *part*
//! ([`part`]) is a tool or a host program with its arguments, readiness and log file, one small
//! file each under `parts/`. A cluster is the list of its parts ([`parts::cluster`]): the real one
//! ([`Cluster`]) runs in namespaces of its own and has a kubelet with real pods; the small one
//! ([`ControlPlane`]) is an etcd and an API server on loopback for tests that need no pods. [`bench`] needs neither: it
//! measures the runtime beside its peers.

pub mod bench;
pub mod cluster;
pub mod control_plane;
pub mod definitions;
pub mod deny;
mod history;
pub mod host;
pub mod http;
pub mod https;
pub mod images;
pub mod kubectl;
pub mod loopback;
pub mod oracle;
pub mod part;
pub mod parts;
pub mod paths;
pub mod pki;
pub mod plan;
pub mod process;
pub mod product;
pub mod progress;
pub mod scenario;
pub mod test_run;
pub mod tools;
pub mod wheel;
pub mod workload;

pub use cluster::Cluster;
pub use control_plane::ControlPlane;
