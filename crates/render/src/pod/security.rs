//! Security contexts: what the Pod Security Standard *restricted* asks for, without a warning.

use crate::validate::ValidatedService;
use k8s_openapi::api::core::v1::{Capabilities, PodSecurityContext, SeccompProfile, SecurityContext};

/// User and group of the runtime's image; set, because the app's may be another one.
const RUNTIME_ID: i64 = 65532;

/// The whole pod's.
pub(super) fn pod(service: &ValidatedService) -> PodSecurityContext {
    let spec = service.spec();
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: spec.run_as_user,
        run_as_group: spec.run_as_group,
        fs_group: spec.fs_group,
        // A large volume is not walked at every start.
        fs_group_change_policy: spec.fs_group.map(|_| "OnRootMismatch".to_owned()),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
        ..PodSecurityContext::default()
    }
}

/// The app's.
pub(super) fn app(service: &ValidatedService) -> SecurityContext {
    restricted(service.spec().read_only_root_filesystem)
}

/// The runtime's.
pub(super) fn runtime() -> SecurityContext {
    SecurityContext { run_as_user: Some(RUNTIME_ID), run_as_group: Some(RUNTIME_ID), ..restricted(true) }
}

fn restricted(read_only_root_filesystem: bool) -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        read_only_root_filesystem: Some(read_only_root_filesystem),
        ..SecurityContext::default()
    }
}
