//! The workload group: what a pod needs, in small types of our own.
//!
//! Kubernetes' pod types would make the CRD ten times its size and validate nothing.

mod container;
mod files;
mod placement;
mod rollout;

pub use container::{
    ConfigMapEnvSource, EnvFrom, EnvSource, EnvVar, FieldSelector, InitContainer, KeySelector, Migrate,
    ResourceFieldSelector, Resources,
};
pub use files::{ClaimFiles, EmptyDir, File, FileItem, FileSource};
pub use placement::{
    Affinity, NodeAffinity, NodeRequirement, NodeSelectorOperator, PodAffinity, PodTerm, PreferredNodes,
    Toleration, TolerationEffect, TolerationOperator, TopologySpread, WhenUnsatisfiable,
};
pub use rollout::{
    AdditionalPort, Disruption, PortProtocol, PreStop, PreStopExec, PreStopHttp, PullPolicy, RollingUpdate,
    Scaling, Strategy, StrategyType,
};
