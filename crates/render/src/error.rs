//! What can go wrong between a validated service and its children: nothing that a user can cause.

/// Why children could not be rendered; a defect of this crate that its tests would show.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The runtime would refuse its configuration.
    #[error("failed to render the runtime's configuration: {0}")]
    RuntimeConfig(#[from] goodgo_runtime_config::Error),
    /// An object can't be written as JSON.
    #[error("failed to write a child as JSON: {0}")]
    Encode(#[source] serde_json::Error),
}
