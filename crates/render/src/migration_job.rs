//! What must succeed before pods of a new template start. Off without `migrate`.
//!
//! A Job can't be changed, so there is one for each pod template: its name carries the hash of that template and of
//! `migrate`, and whatever would start new pods (an image, a variable, `restartToken`) runs the migration first. What
//! only the Job's own pods see, such as a callee that moved to another port, runs nothing again. The old ones go away.

use crate::error::RenderError;
use crate::platform::PlatformConfig;
use crate::validate::ValidatedService;
use crate::{hash, labels, pod};
use goodgo_fleet::FleetView;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::{Job, JobSpec};

/// Repetitions of a failed migration before it counts as failed.
const BACKOFF_LIMIT: i32 = 3;

/// The Job before `deployment`.
pub(crate) fn migration_job(
    service: &ValidatedService,
    fleet: &FleetView,
    platform: &PlatformConfig,
    deployment: Option<&Deployment>,
) -> Result<Option<Job>, RenderError> {
    let Some(template) = pod::migration(service, fleet, platform) else { return Ok(None) };
    let pods = deployment.and_then(|deployment| deployment.spec.as_ref()).map(|spec| &spec.template);
    let content = serde_json::to_vec(&(pods, &service.spec().migrate)).map_err(RenderError::Encode)?;
    let name = service.names().migration_job(&hash::short_hash(&content));
    Ok(Some(Job {
        metadata: labels::metadata(service, &name),
        spec: Some(JobSpec { backoff_limit: Some(BACKOFF_LIMIT), template, ..JobSpec::default() }),
        ..Job::default()
    }))
}
