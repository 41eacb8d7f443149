//! Volumes and mounts of the user's files: one source mounted twice is one volume; the order in the manifest means nothing.

use crate::hash::short_hash;
use crate::quantity::Quantity;
use crate::validate::ValidatedService;
use goodgo_api::workload::{File, FileSource};
use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, EmptyDirVolumeSource, KeyToPath, PersistentVolumeClaimVolumeSource,
    SecretVolumeSource, Volume, VolumeMount,
};
use std::collections::BTreeMap;

/// The files' volumes, sorted by name.
pub(super) fn of_files(service: &ValidatedService) -> Vec<Volume> {
    let volumes: BTreeMap<_, _> =
        service.spec().files.iter().map(|file| (name(file), volume(file))).collect();
    volumes.into_values().collect()
}

/// Where the files appear, sorted by path.
pub(super) fn mounts(service: &ValidatedService) -> Vec<VolumeMount> {
    let mut mounts: Vec<_> = service
        .spec()
        .files
        .iter()
        .map(|file| VolumeMount {
            name: name(file),
            mount_path: file.path.0.clone(),
            sub_path: file.sub_path.clone(),
            read_only: (file.read_only || file.config_map.is_some() || file.secret.is_some()).then_some(true),
            ..VolumeMount::default()
        })
        .collect();
    mounts.sort_by(|a, b| a.mount_path.cmp(&b.mount_path));
    mounts
}

/// Name of a file's volume: the same for the same source shown in the same way, and short whatever the source's name.
fn name(file: &File) -> String {
    let identity = |source: &FileSource| serde_json::to_string(source).unwrap_or_default();
    let (kind, identity) = match (&file.config_map, &file.secret, &file.persistent_volume_claim) {
        (Some(source), _, _) => ("configmap", identity(source)),
        (_, Some(source), _) => ("secret", identity(source)),
        (_, _, Some(claim)) => ("claim", claim.claim_name.0.clone()),
        // An empty folder has no source that two mounts could share.
        _ => ("emptydir", file.path.0.clone()),
    };
    format!("{kind}-{}", short_hash(identity.as_bytes()))
}

fn volume(file: &File) -> Volume {
    Volume {
        name: name(file),
        config_map: file.config_map.as_ref().map(|source| ConfigMapVolumeSource {
            name: source.name.0.clone(),
            items: items(source),
            default_mode: source.mode,
            optional: source.optional,
        }),
        secret: file.secret.as_ref().map(|source| SecretVolumeSource {
            secret_name: Some(source.name.0.clone()),
            items: items(source),
            default_mode: source.mode,
            optional: source.optional,
        }),
        persistent_volume_claim: file.persistent_volume_claim.as_ref().map(|claim| {
            PersistentVolumeClaimVolumeSource { claim_name: claim.claim_name.0.clone(), read_only: None }
        }),
        empty_dir: file.empty_dir.as_ref().map(|folder| EmptyDirVolumeSource {
            medium: folder.medium.clone(),
            size_limit: folder
                .size_limit
                .as_ref()
                .and_then(|size| Quantity::parse(size.as_str()))
                .map(Quantity::to_api),
        }),
        ..Volume::default()
    }
}

fn items(source: &FileSource) -> Option<Vec<KeyToPath>> {
    let items = source.items.iter();
    super::filled(
        items
            .map(|item| KeyToPath { key: item.key.0.clone(), path: item.path.clone(), mode: item.mode })
            .collect(),
    )
}
