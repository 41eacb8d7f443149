//! cert-manager's Certificate.

use serde::Serialize;

/// What is asked of cert-manager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateSpec {
    pub(crate) secret_name: String,
    pub(crate) dns_names: Vec<String>,
    pub(crate) issuer_ref: IssuerRef,
}

/// Who signs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IssuerRef {
    pub(crate) group: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) name: String,
}
