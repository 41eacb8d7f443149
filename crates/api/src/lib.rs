//! The GoodGoService API (`goodgo.io/v1alpha1`): the one resource that a team writes.
//!
//! One file per group of the spec. Everything that can be known wrong is refused at admission, by the
//! schema or by CEL rules that carry a path and a sentence; [`schema`] turns the types into the CRD and
//! runs the same rules offline. This crate is pure: types and rules, no I/O, no clock.

pub mod access;
pub mod calls;
pub mod conditions;
pub mod dependencies;
pub mod events;
pub mod gateway;
pub mod health;
pub mod rules;
pub mod schema;
pub mod spec;
pub mod status;
pub mod types;
pub mod workload;

pub use spec::{GoodGoService, GoodGoServiceSpec, Protocol};
pub use status::GoodGoServiceStatus;

/// API group of the resource.
pub const GROUP: &str = "goodgo.io";
/// Version of the API served and stored.
pub const VERSION: &str = "v1alpha1";
/// Field manager of every object that the operator applies.
pub const FIELD_MANAGER: &str = "goodgo-operator";
/// Field manager that writes `replicas` once, where an autoscaler or `kubectl scale` owns it afterwards.
pub const INITIAL_REPLICAS_MANAGER: &str = "goodgo-initial-replicas";
