//! From a validated service, what it sees of the fleet, and the platform's configuration to the objects in Kubernetes.
//!
//! The operator's steps are [`ValidatedService::new`] (the raw spec is parsed once; everything after takes only the
//! result), [`render`] (pure: equal inputs give equal bytes) and [`not_active`] (what was declared and is not acted on
//! yet, for the status). One file per kind of child; each kind has an off path, which is `None` in [`Children`].
//!
//! Everything is rendered in canonical form (`500m`, not `0.5`; no empty values; defaults inside atomic fields), so that
//! the API server's answer equals what was sent and a no-op can be found without asking it.

mod calls;
mod certificate;
mod children;
mod config_map;
mod deployment;
mod edge;
mod error;
mod gateway_service;
mod hash;
mod headless_service;
mod horizontal_pod_autoscaler;
mod ingress_route;
pub mod labels;
mod middleware;
mod migration_job;
mod names;
mod network_policy;
mod not_active;
pub mod platform;
mod pod;
mod pod_disruption_budget;
mod quantity;
mod render;
mod runtime_config;
mod servers_transport;
mod service;
mod service_account;
pub mod traefik;
mod traefik_service;
mod validate;

pub use children::{Canary, Child, ChildKind, Children};
pub use error::RenderError;
pub use names::{ChildName, Names, canary as canary_name};
pub use not_active::{NotActive, Part, not_active};
pub use platform::PlatformConfig;
pub use render::{Observed, render};
pub use validate::{ValidatedService, Violation};
