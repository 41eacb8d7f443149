//! Bounds that the types alone can't hold; all violations are reported at once.

use std::net::IpAddr;

use crate::model::{Call, Drain, RuntimeConfig, ServiceRef, Target, Unavailable};
use crate::{Error, Violation, ports};

const MAX_SETTLE_SECONDS: u32 = 3600;
const MAX_TIMEOUT_SECONDS: u32 = 86_400;
const MAX_MESSAGE_CHARS: usize = 1024;
/// RFC 1035: 253 characters and, when fully qualified, the final dot.
const MAX_HOST_BYTES: usize = 253;

impl RuntimeConfig {
    /// Checks every value against its bounds.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all violations.
    pub fn validate(&self) -> Result<(), Error> {
        // Destructured whole: a new field can't be forgotten here.
        let Self { version: _, revision, service, protocol: _, calls, drain } = self;
        let mut report = Report::default();
        if !is_revision(revision) {
            report.add("revision", "must be 1 to 64 lower-case hex digits; use the hash of the content");
        }
        check_service(service, &mut report);
        if calls.len() > ports::MAX_CALLS {
            report.add("calls", &format!("at most {} calls have a port; declare fewer", ports::MAX_CALLS));
        }
        for (name, call) in calls {
            check_call(name, call, &mut report);
        }
        check_drain(*drain, &mut report);
        report.into_result()
    }
}

fn check_service(service: &ServiceRef, report: &mut Report) {
    let ServiceRef { name, namespace } = service;
    for (path, value) in [("service.name", name), ("service.namespace", namespace)] {
        if !is_label(value) {
            report.add(path, LABEL);
        }
    }
}

fn check_call(name: &str, call: &Call, report: &mut Report) {
    let path = format!("calls.{name}");
    if !is_label(name) {
        report.add(&path, LABEL);
    }
    let Call { target, unavailable } = call;
    match (target, unavailable) {
        (Some(target), None) => check_target(&path, target, report),
        (None, Some(unavailable)) => check_unavailable(&path, unavailable, report),
        (None, None) => report.add(&path, "set exactly one of target and unavailable; none is set"),
        (Some(_), Some(_)) => report.add(&path, "set exactly one of target and unavailable; both are set"),
    }
}

fn check_target(path: &str, target: &Target, report: &mut Report) {
    let Target { scheme: _, host, port } = target;
    if !is_host(host) {
        report.add(&format!("{path}.target.host"), "must be a DNS name or an IP address without port");
    }
    if *port == 0 {
        report.add(&format!("{path}.target.port"), "must be 1 to 65535");
    }
}

fn check_unavailable(path: &str, unavailable: &Unavailable, report: &mut Report) {
    let Unavailable { reason, message } = unavailable;
    let word = reason.starts_with(|c: char| c.is_ascii_uppercase())
        && reason.len() <= 64
        && reason.bytes().all(|b| b.is_ascii_alphanumeric());
    if !word {
        report.add(
            &format!("{path}.unavailable.reason"),
            "must be one CamelCase word of at most 64 characters",
        );
    }
    if message.chars().count() > MAX_MESSAGE_CHARS {
        report.add(&format!("{path}.unavailable.message"), "must have at most 1024 characters; shorten it");
    }
}

fn check_drain(drain: Drain, report: &mut Report) {
    let Drain { settle_seconds, timeout_seconds } = drain;
    if settle_seconds > MAX_SETTLE_SECONDS {
        report.add("drain.settleSeconds", "must be at most 3600");
    }
    if timeout_seconds > MAX_TIMEOUT_SECONDS {
        report.add("drain.timeoutSeconds", "must be at most 86400");
    }
}

const LABEL: &str =
    "must be 1 to 63 lower-case letters, digits and '-', starting and ending with a letter or digit";

fn is_label(value: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    value.len() <= 63
        && edge(value.bytes().next())
        && edge(value.bytes().last())
        && value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_revision(value: &str) -> bool {
    (1..=64).contains(&value.len()) && value.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_host(value: &str) -> bool {
    if value.parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = value.strip_suffix('.').unwrap_or(value);
    name.len() <= MAX_HOST_BYTES
        // A last label of digits alone is a mistyped address, and resolvers disagree on it.
        && name.rsplit('.').next().is_some_and(|last| !last.bytes().all(|b| b.is_ascii_digit()))
        && name.split('.').all(is_label)
}

#[derive(Default)]
struct Report(Vec<Violation>);

impl Report {
    fn add(&mut self, path: &str, message: &str) {
        self.0.push(Violation { path: path.to_owned(), message: message.to_owned() });
    }

    fn into_result(self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Invalid(self.0)) }
    }
}
