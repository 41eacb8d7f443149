//! What the runtime's container mounts, and no other: its configuration, the tokens that it calls with, the fixed keys that
//! it accepts, and the URLs of the dependencies that it checks.
//!
//! The runtime's user (65532) is rarely the app's. The kubelet owns a token's file by the user that all containers agree
//! on, if they do, and leaves it readable by everybody (`defaultMode` 0644) if they don't; with an `fsGroup` it belongs
//! to that group, which every container is in. So the runtime can read it in each case, and no one else mounts it.

use crate::calls;
use crate::platform::PlatformConfig;
use crate::validate::ValidatedService;
use goodgo_api::dependencies::Dependency;
use goodgo_fleet::FleetView;
use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, KeyToPath, ProjectedVolumeSource, SecretProjection, SecretVolumeSource,
    ServiceAccountTokenProjection, Volume, VolumeMount, VolumeProjection,
};

/// Folder of the runtime's configuration: mounted whole, because a single file would not follow changes.
pub(super) const CONFIG_PATH: &str = "/etc/goodgo/runtime";
const KEYS_PATH: &str = "/etc/goodgo/keys";
const DEPENDENCIES_PATH: &str = "/etc/goodgo/dependencies";
const TOKENS_PATH: &str = "/var/run/goodgo/tokens";

/// Life of a token in seconds; the kubelet replaces it after four fifths. Who may call is decided by the subject, so a
/// short life protects against stolen tokens alone, and each token costs the API server a request per life.
const TOKEN_SECONDS: i64 = 3600;

/// Every volume with its mount.
pub(super) fn all(
    service: &ValidatedService,
    fleet: &FleetView,
    platform: &PlatformConfig,
) -> Vec<(Volume, VolumeMount)> {
    if !service.has_sidecar() {
        return Vec::new();
    }
    let volumes = [
        Some((config(service), CONFIG_PATH)),
        tokens(service, fleet, platform).map(|volume| (volume, TOKENS_PATH)),
        keys(service).map(|volume| (volume, KEYS_PATH)),
        dependencies(service).map(|volume| (volume, DEPENDENCIES_PATH)),
    ];
    volumes.into_iter().flatten().map(mounted).collect()
}

fn mounted((volume, path): (Volume, &str)) -> (Volume, VolumeMount) {
    let mount = VolumeMount {
        name: volume.name.clone(),
        mount_path: path.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    };
    (volume, mount)
}

fn config(service: &ValidatedService) -> Volume {
    Volume {
        name: "goodgo-runtime".to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: service.names().config_map.as_str().to_owned(),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// One token for each callee, in a file named after the call. Never one for several: a callee could replay it.
fn tokens(service: &ValidatedService, fleet: &FleetView, platform: &PlatformConfig) -> Option<Volume> {
    let tokens = calls::identified(service, fleet).into_iter().map(|(call, callee)| VolumeProjection {
        service_account_token: Some(ServiceAccountTokenProjection {
            audience: Some(platform.audience(&callee)),
            expiration_seconds: Some(TOKEN_SECONDS),
            path: call,
        }),
        ..VolumeProjection::default()
    });
    projected("goodgo-tokens", tokens.collect())
}

/// Fixed keys, one file each. A Secret that is missing keeps new pods from starting, and the kubelet says so.
fn keys(service: &ValidatedService) -> Option<Volume> {
    let keys = service.spec().access.as_ref()?.keys.as_ref().filter(|_| service.runtime_on_port())?;
    Some(Volume {
        name: "goodgo-keys".to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(keys.secret.0.clone()),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    })
}

/// URLs of the dependencies, one file each: `database` and `redis`.
fn dependencies(service: &ValidatedService) -> Option<Volume> {
    let dependencies = service.spec().dependencies.as_ref()?;
    let url = |file: &str, dependency: &Option<Dependency>| {
        dependency.as_ref().map(|dependency| VolumeProjection {
            secret: Some(SecretProjection {
                name: dependency.url_from.secret.0.clone(),
                items: Some(vec![KeyToPath {
                    key: dependency.url_from.key.0.clone(),
                    path: file.to_owned(),
                    mode: None,
                }]),
                optional: None,
            }),
            ..VolumeProjection::default()
        })
    };
    let urls = [url("database", &dependencies.database), url("redis", &dependencies.redis)];
    projected("goodgo-dependencies", urls.into_iter().flatten().collect())
}

/// A volume of these sources; none without a source.
fn projected(name: &str, sources: Vec<VolumeProjection>) -> Option<Volume> {
    let sources = super::filled(sources)?;
    Some(Volume {
        name: name.to_owned(),
        projected: Some(ProjectedVolumeSource { sources: Some(sources), default_mode: None }),
        ..Volume::default()
    })
}
