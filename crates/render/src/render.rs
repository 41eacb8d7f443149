//! All children of one service, each from its own file.

use crate::{Children, PlatformConfig, RenderError, ValidatedService};
use goodgo_fleet::FleetView;

/// The children of `service`. Pure: equal inputs give equal bytes.
///
/// # Errors
/// [`RenderError`], for defects of this crate only: nothing that a user can write causes it.
pub fn render(
    _service: &ValidatedService,
    _fleet: &FleetView,
    _platform: &PlatformConfig,
) -> Result<Children, RenderError> {
    Ok(Children::default())
}
