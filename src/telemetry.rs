//! Structured logs: one JSON object a line on standard error, filtered by `--log` or `RUST_LOG`.

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// Sends everything that `filter` (such as `info,goodgo_operator=debug`) lets through to standard error.
///
/// # Errors
/// When the filter can't be read, or a subscriber is set already.
pub fn init(filter: &str) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // The span of a reconcile carries namespace and service: every line below it does, too.
    let lines = fmt::layer().json().flatten_event(true).with_span_list(false).with_writer(std::io::stderr);
    tracing_subscriber::registry().with(EnvFilter::try_new(filter)?).with(lines).try_init()?;
    Ok(())
}
