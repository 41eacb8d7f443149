//! `goodgoctl validate`: schema, rules, what the operator refuses, and the services against each other.

use anyhow::{Context, Result};
use goodgo_render::{PlatformConfig, ValidatedService};
use kube_core::cel::{CompiledSchema, Validator, apply_defaults, compile_schema};
use serde_json::Value;

use crate::Outcome;
use crate::findings::{Finding, Severity, write};
use crate::fleet::{self, Service};
use crate::manifests::{self, Manifest};
use crate::{args, platform, schema};

pub(crate) fn run(arguments: &args::Validate) -> Result<Outcome> {
    let platform = platform::read(arguments.source.platform.as_deref())?;
    let manifests = manifests::read(&arguments.source)?;
    let count = manifests.len();
    let (services, mut findings) = Admission::new()?.services(manifests, &platform);
    findings.extend(fleet::findings(&services));
    findings.sort_by(|a, b| (&a.file, a.line, &a.path).cmp(&(&b.file, b.line, &b.path)));
    write(&findings, count, arguments.output)?;
    let refused = findings.iter().any(|finding| finding.severity == Severity::Error);
    Ok(if refused { Outcome::Findings } else { Outcome::Fine })
}

/// What the API server and then the operator ask of a manifest.
pub(crate) struct Admission {
    schema: Value,
    rules: CompiledSchema,
}

impl Admission {
    /// By the CRD of this version.
    ///
    /// # Errors
    /// A defect of the CRD, which its own tests would show.
    pub(crate) fn new() -> Result<Self> {
        let crd = serde_json::to_value(goodgo_api::schema::crd()?)?;
        let schema =
            crd.pointer("/spec/versions/0/schema/openAPIV3Schema").context("the CRD has no schema")?;
        Ok(Self { rules: compile_schema(schema), schema: schema.clone() })
    }

    /// Those that can be read, and everything that is wrong with each alone.
    pub(crate) fn services(
        &self,
        manifests: Vec<Manifest>,
        platform: &PlatformConfig,
    ) -> (Vec<Service>, Vec<Finding>) {
        let (mut services, mut findings) = (Vec::<Service>::new(), Vec::new());
        for manifest in manifests {
            let key = manifest.key();
            if let Some(twin) = services.iter().find(|service| service.key == key) {
                let first = &twin.manifest;
                let (file, line) = (first.file.display(), first.document.line(""));
                let message = format!("it stands in {file}:{line} too, and the last one applied would win");
                findings.push(Finding::new(&manifest, Severity::Error, "metadata.name", message));
                continue;
            }
            match self.service(&manifest, platform) {
                Ok(object) => services.push(Service { manifest, key, object }),
                Err(faults) => {
                    let of = |(path, message): &(String, String)| {
                        Finding::new(&manifest, Severity::Error, path, message.clone())
                    };
                    findings.extend(faults.iter().map(of));
                }
            }
        }
        (services, findings)
    }

    /// The service that `manifest` is, or each path with what is wrong there. As on the server, rules are asked only of what
    /// fits the schema, and the operator only of what the rules accept.
    fn service(
        &self,
        manifest: &Manifest,
        platform: &PlatformConfig,
    ) -> Result<goodgo_api::GoodGoService, Vec<(String, String)>> {
        let value = apply_defaults(&self.schema, &manifest.document.value);
        let faults = schema::check(&value, &self.schema);
        if !faults.is_empty() {
            return Err(faults.into_iter().map(|fault| (fault.path, fault.message)).collect());
        }
        if let Err(refused) = Validator::new().validate_compiled(&self.rules, &value, None) {
            let refused = refused.into_vec().into_iter();
            return Err(refused.map(|error| (error.field_path, error.message)).collect());
        }
        let object: goodgo_api::GoodGoService =
            serde_json::from_value(value).map_err(|error| vec![(String::new(), error.to_string())])?;
        match ValidatedService::new(&object, platform) {
            Ok(_) => Ok(object),
            Err(violations) => {
                Err(violations.into_iter().map(|violation| (violation.path, violation.message)).collect())
            }
        }
    }
}
