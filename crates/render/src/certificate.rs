//! The certificate of the hosts that the service holds, where cert-manager makes it. Old hosts are in it: they redirect
//! over TLS too. Other hosts are not: their holder's certificate is theirs.

use crate::edge::Edge;
use crate::labels;
use crate::traefik::{CERT_MANAGER, Certificate, CertificateSpec, IssuerRef};

/// None where the service brings its own Secret, has no TLS, holds no host, or the platform has no issuer.
pub(crate) fn certificate(edge: Option<&Edge<'_>>) -> Option<Certificate> {
    let edge = edge?;
    let issuer = edge.issuer()?;
    let name = &edge.service.names().certificate;
    let hosts = edge.held_hosts().chain(edge.old_hosts());
    let mut dns_names: Vec<_> = hosts.map(|host| host.0.clone()).collect();
    if dns_names.is_empty() {
        return None;
    }
    dns_names.sort();
    let issuer_ref = IssuerRef { group: CERT_MANAGER, kind: "ClusterIssuer", name: issuer.to_owned() };
    let spec = CertificateSpec { secret_name: name.to_string(), dns_names, issuer_ref };
    Some(Certificate::new(labels::metadata(edge.service, name), spec))
}
