//! Certificates and keys of one cluster: one authority, one certificate for each part, the token key.

use crate::paths;
use crate::plan::Plan;
use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize,
};

/// Who gets a certificate: file name, common name (the user), organisation (the group).
const IDENTITIES: [(&str, &str, &str); 7] = [
    ("admin", "kubernetes-admin", "system:masters"),
    ("apiserver-kubelet", "kube-apiserver-kubelet-client", "system:masters"),
    ("controller-manager", "system:kube-controller-manager", ""),
    ("scheduler", "system:kube-scheduler", ""),
    ("proxy", "system:kube-proxy", ""),
    ("front-proxy", "front-proxy-client", ""),
    ("addons", "goodgo-dev", "system:masters"),
];

/// Writes `pki/` and every kubeconfig.
///
/// # Errors
/// When a file can't be written.
pub fn write(plan: &Plan) -> Result<()> {
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "goodgo development cluster");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    let authority =
        CertifiedIssuer::self_signed(authority, key()?).context("failed to sign the authority")?;
    store(plan, "ca", &authority.pem(), &authority.key().serialize_pem())?;

    for (file, user, group) in IDENTITIES {
        leaf(plan, &authority, file, user, group, Vec::new())?;
    }
    leaf(
        plan,
        &authority,
        "kubelet",
        &format!("system:node:{}", plan.node()),
        "system:nodes",
        vec![plan.node().to_owned(), plan.address.clone(), "127.0.0.1".to_owned()],
    )?;
    leaf(
        plan,
        &authority,
        "apiserver",
        "kube-apiserver",
        "",
        vec![
            plan.address.clone(),
            plan.kubernetes_service(),
            "127.0.0.1".to_owned(),
            "localhost".to_owned(),
            "kubernetes".to_owned(),
            "kubernetes.default".to_owned(),
            "kubernetes.default.svc".to_owned(),
            "kubernetes.default.svc.cluster.local".to_owned(),
        ],
    )?;
    // RSA, because that is what signs tokens on nearly every real cluster.
    let tokens = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)
        .context("failed to make the token key")?;
    paths::write(&plan.file("pki/tokens.key"), tokens.serialize_pem())?;
    paths::write(&plan.file("pki/tokens.pub"), tokens.public_key_pem())?;

    plan.write_kubeconfig("admin", &plan.admin_kubeconfig())?;
    for name in ["controller-manager", "scheduler", "proxy", "kubelet", "addons"] {
        plan.write_kubeconfig(name, &plan.file(&format!("kubeconfig-{name}")))?;
    }
    Ok(())
}

fn leaf(
    plan: &Plan,
    authority: &CertifiedIssuer<'_, KeyPair>,
    file: &str,
    user: &str,
    group: &str,
    names: Vec<String>,
) -> Result<()> {
    let mut params = CertificateParams::new(names).with_context(|| format!("failed to name {file}"))?;
    params.distinguished_name.push(DnType::CommonName, user);
    if !group.is_empty() {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    let key = key()?;
    let certificate = params.signed_by(&key, authority).with_context(|| format!("failed to sign {file}"))?;
    store(plan, file, &certificate.pem(), &key.serialize_pem())
}

/// A certificate for one host that nobody but itself signs, and its key, both as PEM.
///
/// # Errors
/// When the name is none that certificates can have.
pub fn for_host(host: &str) -> Result<(String, String)> {
    let signed = rcgen::generate_simple_self_signed([host.to_owned()])
        .with_context(|| format!("failed to make a certificate for {host}"))?;
    Ok((signed.cert.pem(), signed.signing_key.serialize_pem()))
}

fn key() -> Result<KeyPair> {
    KeyPair::generate().context("failed to make a key")
}

fn store(plan: &Plan, name: &str, certificate: &str, key: &str) -> Result<()> {
    paths::write(&plan.file(&format!("pki/{name}.crt")), certificate)?;
    paths::write(&plan.file(&format!("pki/{name}.key")), key)
}
