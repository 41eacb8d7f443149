//! CustomResourceDefinitions of kinds that are rendered and are not Kubernetes' own, from the Go modules that publish them.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// A file of a Go module.
#[derive(Debug, Clone, Copy)]
pub struct Definitions {
    module: &'static str,
    /// The checksum that Go's own database has of this version.
    sum: &'static str,
    file: &'static str,
}

/// Traefik's, all in one file.
pub const TRAEFIK: Definitions = Definitions {
    module: "github.com/traefik/traefik/v3@v3.7.13",
    sum: "h1:T8wy9KuaFzCkmXCqAzDy7t73pBDR1DHrJe3pqXpNXTw=",
    file: "docs/content/reference/dynamic-configuration/kubernetes-crd-definition-v1.yml",
};

/// cert-manager's Certificate.
pub const CERTIFICATE: Definitions = Definitions {
    module: "github.com/cert-manager/cert-manager@v1.21.2",
    sum: "h1:UWgoYM+KLNtRlqmoWOKjKBOBUPVHeepQ6/ac3ERJW68=",
    file: "deploy/crds/cert-manager.io_certificates.yaml",
};

impl Definitions {
    /// The definitions as YAML; Go keeps the module once it was fetched.
    ///
    /// # Errors
    /// When the module can't be fetched, or is not the one that was pinned.
    pub fn yaml(&self) -> Result<String> {
        let output = Command::new("go")
            .args(["mod", "download", "-json", self.module])
            .env("GOFLAGS", "")
            .env("GOWORK", "off")
            .current_dir(std::env::temp_dir())
            .output()
            .context("failed to run go; is it installed?")?;
        let found: Value = serde_json::from_slice(&output.stdout).with_context(|| {
            format!("failed to fetch {}: {}", self.module, String::from_utf8_lossy(&output.stderr))
        })?;
        let field = |name: &str| found.get(name).and_then(Value::as_str).unwrap_or_default();
        if field("Sum") != self.sum {
            bail!("failed to fetch {} as pinned: {} {}", self.module, field("Sum"), field("Error"));
        }
        let path = Path::new(field("Dir")).join(self.file);
        std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pinned_modules_define_what_is_rendered() {
        let text = format!("{}\n{}", TRAEFIK.yaml().unwrap(), CERTIFICATE.yaml().unwrap());
        for name in ["ingressroutes", "middlewares", "serverstransports"] {
            assert!(text.contains(&format!("name: {name}.traefik.io")), "{name}");
        }
        assert!(text.contains("name: certificates.cert-manager.io"));
    }
}
