//! Whole manifests: each folder of `tests/golden` has a `service.yaml` (the service first, then its neighbours, and a
//! `platform.yaml` where the defaults are not meant) and the `children.yaml` that must come of it.
//!
//! `UPDATE_GOLDEN=1 cargo test -p goodgo-render --test golden` rewrites them; the difference is the review.
#![cfg(test)]

mod support;

use goodgo_render::PlatformConfig;
use goodgo_render::platform::Environment;
use std::fs;
use std::path::{Path, PathBuf};
use support::Case;

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

/// The services and, where there is one, the platform of a folder.
fn read(folder: &Path) -> Case {
    let read = |name: &str| fs::read_to_string(folder.join(name));
    let text = read("service.yaml").unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let services = serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let platform = match read("platform.yaml") {
        Ok(text) => serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{folder:?}: {error}")),
        Err(_) => PlatformConfig { environment: Environment::Staging, ..PlatformConfig::default() },
    };
    Case { services, platform }
}

#[test]
fn golden_manifests_have_no_drift() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut differing = Vec::new();
    for case in cases() {
        let rendered = read(&case).manifest();
        let path = case.join("children.yaml");
        if update {
            fs::write(&path, &rendered).unwrap();
        }
        if fs::read_to_string(&path).unwrap_or_default() != rendered {
            differing.push(case.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    assert!(
        differing.is_empty(),
        "{differing:?} render another manifest: run with UPDATE_GOLDEN=1 and read the difference"
    );
}

/// Left out of the file, its path would fall to the next wider route; listed, it must not be open.
#[test]
fn a_route_that_the_gateway_authenticates_is_served_by_its_word_alone() {
    let case = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/gateway"));
    let objects = case.children().objects().unwrap();
    let file = objects.iter().find_map(|child| child.object["data"]["runtime.json"].as_str()).unwrap();
    let config = goodgo_runtime_config::parse(file.as_bytes()).unwrap();
    let auth = &config.inbound.routes.iter().find(|route| route.name == "edge").unwrap().auth;
    assert!(auth.gateway.is_some() && !auth.none && auth.jwt.is_none() && auth.forward.is_none(), "{auth:?}");
}

#[test]
fn there_are_cases() {
    assert!(cases().len() >= 20, "only {} golden cases", cases().len());
}
