//! The platform's configuration, as the operator reads it.

use std::path::Path;

use anyhow::{Context, Result, bail};
use goodgo_render::PlatformConfig;

/// What `file` says; the defaults without one.
///
/// # Errors
/// A file that can't be read or used, with what is wrong in it.
pub(crate) fn read(file: Option<&Path>) -> Result<PlatformConfig> {
    let Some(file) = file else { return Ok(PlatformConfig::default()) };
    let name = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("failed to read {name}"))?;
    if text.trim().is_empty() {
        return Ok(PlatformConfig::default()); // an empty document is no map, and means all defaults
    }
    let config: PlatformConfig =
        serde_saphyr::from_str(&text).map_err(|error| anyhow::anyhow!("failed to decode {name}: {error}"))?;
    if let Err(violations) = config.validate() {
        let said: Vec<_> = violations.iter().map(ToString::to_string).collect();
        bail!("{name} can't be used: {}", said.join("; "));
    }
    Ok(config)
}
