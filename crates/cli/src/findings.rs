//! What is wrong with manifests, for people and for scripts.

use std::fmt;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;

use crate::args;
use crate::manifests::Manifest;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// It is refused, or does not work.
    Error,
    /// It may be meant so, or other files could tell.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) file: PathBuf,
    /// Counted from 1.
    pub(crate) line: u64,
    /// `namespace/name` of the service.
    pub(crate) service: String,
    /// The field, as the API server writes it; empty for the whole object.
    pub(crate) path: String,
    pub(crate) severity: Severity,
    /// What is wrong and what to do.
    pub(crate) message: String,
}

impl Finding {
    pub(crate) fn new(
        manifest: &Manifest,
        severity: Severity,
        path: &str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            file: manifest.file.clone(),
            line: manifest.document.line(path),
            service: manifest.key().to_string(),
            path: path.to_owned(),
            severity,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, service, path, severity, message } = self;
        let what = if *severity == Severity::Error { "error" } else { "warning" };
        let file = file.display();
        match path.as_str() {
            "" => write!(f, "{file}:{line}: {what}: {service}: {message}"),
            path => write!(f, "{file}:{line}: {what}: {service}: {path}: {message}"),
        }
    }
}

/// Writes all of them, and for people how many.
pub(crate) fn write(findings: &[Finding], services: usize, output: args::Findings) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match output {
        args::Findings::Json => writeln!(out, "{}", serde_json::to_string_pretty(findings)?)?,
        args::Findings::Yaml => write!(out, "{}", serde_saphyr::to_string(&findings)?)?,
        args::Findings::Text => {
            for finding in findings {
                writeln!(out, "{finding}")?;
            }
            let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
            let warnings = findings.len() - errors;
            let count =
                |number: usize, what| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
            let (services, errors) = (count(services, "service"), count(errors, "error"));
            writeln!(out, "{services}, {errors}, {}", count(warnings, "warning"))?;
        }
    }
    Ok(())
}
