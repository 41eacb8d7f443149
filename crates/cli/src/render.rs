//! `goodgoctl render`: the exact children of services.

use std::io::Write;

use anyhow::{Result, anyhow};
use goodgo_render::{Observed, ValidatedService, render};
use serde_json::{Value, json};

use crate::Outcome;
use crate::args::{self, Objects};
use crate::fleet::{self, Service};
use crate::validate::Admission;
use crate::{manifests, platform};

pub(crate) fn run(arguments: &args::Render) -> Result<Outcome> {
    let platform = platform::read(arguments.source.platform.as_deref())?;
    let (services, findings) = Admission::new()?.services(manifests::read(&arguments.source)?, &platform);
    let mut errors = std::io::stderr().lock();
    for finding in &findings {
        writeln!(errors, "{finding}")?;
    }
    let only = match &arguments.service {
        Some(name) => Some(fleet::named(name, &services)?),
        None => None,
    };
    let fleet = fleet::of(&services);
    let mut objects = Vec::new();
    for Service { key, object, .. } in &services {
        if only.as_ref().is_some_and(|only| only != key) {
            continue;
        }
        let service = ValidatedService::new(object, &platform)
            .map_err(|_| anyhow!("{key} was accepted and is refused now"))?;
        // As it is once all is well.
        let observed = Observed { canary_available: 100 };
        // The keys of the cluster's issuers are known inside of it alone; they stand in the runtime's configuration.
        let children = render(&service, &fleet.view(key), &platform, &[], observed)?;
        objects.extend(children.objects()?.into_iter().map(|child| child.object));
    }
    write(objects, arguments.output)?;
    Ok(if findings.is_empty() { Outcome::Fine } else { Outcome::Findings })
}

fn write(objects: Vec<Value>, output: Objects) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match output {
        Objects::Json => {
            let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
            writeln!(out, "{}", serde_json::to_string_pretty(&list)?)?;
        }
        Objects::Yaml => {
            for object in objects {
                write!(out, "---\n{}", serde_saphyr::to_string(&object)?)?;
            }
        }
    }
    Ok(())
}
