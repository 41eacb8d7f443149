//! Logs: one JSON object a line on standard error.

use tracing_subscriber::EnvFilter;

use crate::Error;

/// Installs the process's logger; `filter` as in the `--log` argument.
///
/// # Errors
/// [`Error::Telemetry`] when `filter` can't be parsed or a logger is already there.
pub fn init(filter: &str) -> Result<(), Error> {
    let filter = EnvFilter::try_new(filter).map_err(|error| Error::Telemetry(error.to_string()))?;
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .try_init()
        .map_err(|error| Error::Telemetry(error.to_string()))
}
