//! Bounds that the types alone can't hold; all violations are reported at once.

mod call;
mod health;
mod inbound;

use std::net::IpAddr;

use crate::model::{
    AppMetrics, Drain, Milliseconds, Observability, PreStop, RuntimeConfig, ServiceRef, Tracing,
};
use crate::{Error, Violation, ports};

const MAX_SETTLE_SECONDS: u32 = 3600;
const MAX_TIMEOUT_SECONDS: u32 = 86_400;
const MAX_MILLISECONDS: Milliseconds = 30 * 86_400_000;
/// RFC 1035: 253 characters and, when fully qualified, the final dot.
const MAX_HOST_BYTES: usize = 253;
const MAX_PATH_BYTES: usize = 512;

impl RuntimeConfig {
    /// Checks every value against its bounds.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all violations.
    pub fn validate(&self) -> Result<(), Error> {
        // Destructured whole: a new field can't be forgotten here.
        let Self { version: _, revision, service, protocol: _, calls, inbound, health, observability, drain } =
            self;
        let mut report = Report::default();
        if !is_revision(revision) {
            report.add("revision", "must be 1 to 64 lower-case hex digits; use the hash of the content");
        }
        check_service(service, &mut report);
        if calls.len() > ports::MAX_CALLS {
            report.add("calls", &format!("at most {} calls have a port; declare fewer", ports::MAX_CALLS));
        }
        for (name, call) in calls {
            call::check(name, call, &mut report);
        }
        inbound::check(inbound, calls, &mut report);
        health::check(health, &mut report);
        check_observability(observability, &mut report);
        check_drain(drain, &mut report);
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

fn check_observability(observability: &Observability, report: &mut Report) {
    let Observability { tracing, app_metrics } = observability;
    if let Some(Tracing { endpoint, sampling_percent }) = tracing {
        if !is_http_url(endpoint) {
            report.add("observability.tracing.endpoint", "must be http://host:port or https://host:port");
        }
        report.percent("observability.tracing.samplingPercent", *sampling_percent);
    }
    if let Some(AppMetrics { port, path }) = app_metrics {
        report.port("observability.appMetrics.port", *port);
        report.path("observability.appMetrics.path", path);
    }
}

fn check_drain(drain: &Drain, report: &mut Report) {
    let Drain { settle_seconds, timeout_seconds, pre_stop } = drain;
    if *settle_seconds > MAX_SETTLE_SECONDS {
        report.add("drain.settleSeconds", "must be at most 3600");
    }
    if *timeout_seconds > MAX_TIMEOUT_SECONDS {
        report.add("drain.timeoutSeconds", "must be at most 86400");
    }
    if let Some(PreStop { port, path }) = pre_stop {
        report.port("drain.preStop.port", *port);
        report.path("drain.preStop.path", path);
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

/// RFC 2782: `_service._proto.name`.
fn is_srv_name(value: &str) -> bool {
    let mut parts = value.splitn(3, '.');
    let is_underscored =
        |part: Option<&str>| part.and_then(|part| part.strip_prefix('_')).is_some_and(is_label);
    is_underscored(parts.next()) && is_underscored(parts.next()) && parts.next().is_some_and(is_host)
}

/// Whether it is a URL that the runtime takes: scheme and authority, and a path at most; no user, query or fragment.
#[must_use]
pub fn is_http_url(value: &str) -> bool {
    let rest = value.strip_prefix("http://").or_else(|| value.strip_prefix("https://"));
    let authority = rest.map(|rest| rest.split_once('/').map_or(rest, |(authority, _)| authority));
    let plain =
        value.len() <= 512 && value.bytes().all(|b| b.is_ascii_graphic() && !b"@?#\\\"<>".contains(&b));
    plain && authority.is_some_and(is_authority)
}

/// Whether it is `host` or `host:port`.
#[must_use]
pub fn is_authority(value: &str) -> bool {
    match value.rsplit_once(':') {
        Some((host, port)) => is_host(host) && port.parse::<u16>().is_ok_and(|port| port != 0),
        None => is_host(value),
    }
}

/// RFC 9110 5.6.2: a token.
fn is_token(value: &str) -> bool {
    !value.is_empty()
        && value.len() <= 256
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Headers that say where a message ends or to whom it goes, that end at one hop (RFC 9110 7.6.1), or are the runtime's
/// word. Servers in the tradition of CGI take an underscore for a hyphen.
fn is_reserved(header: &str) -> bool {
    const NAMES: [&str; 13] = [
        "host",
        "content-length",
        "content-encoding",
        "transfer-encoding",
        "connection",
        "upgrade",
        "te",
        "trailer",
        "keep-alive",
        "expect",
        "http2-settings",
        "x-service-auth",
        "x-internal-api-key",
    ];
    let name = header.to_ascii_lowercase().replace('_', "-");
    NAMES.contains(&name.as_str()) || ["proxy-", "x-goodgo-"].iter().any(|prefix| name.starts_with(prefix))
}

#[derive(Default)]
struct Report(Vec<Violation>);

impl Report {
    fn add(&mut self, path: &str, message: &str) {
        self.0.push(Violation { path: path.to_owned(), message: message.to_owned() });
    }

    fn time(&mut self, path: &str, milliseconds: Milliseconds) {
        if milliseconds == 0 || milliseconds > MAX_MILLISECONDS {
            self.add(path, "must be 1 ms to 30 days, in milliseconds");
        }
    }

    fn times(&mut self, path: &str, times: &[(&str, Option<Milliseconds>)]) {
        for (field, milliseconds) in times {
            if let Some(milliseconds) = milliseconds {
                self.time(&format!("{path}.{field}"), *milliseconds);
            }
        }
    }

    fn percent(&mut self, path: &str, percent: u8) {
        if percent > 100 {
            self.add(path, "must be 0 to 100");
        }
    }

    fn port(&mut self, path: &str, port: u16) {
        if port == 0 {
            self.add(path, "must be 1 to 65535");
        }
    }

    fn path(&mut self, path: &str, value: &str) {
        let plain = value.bytes().all(|b| b.is_ascii_graphic() && !b"?#\\\"<>".contains(&b));
        if !value.starts_with('/') || value.len() > MAX_PATH_BYTES || !plain {
            self.add(
                path,
                "must be a path: '/' and up to 511 printable characters without ?, #, \\, \", < and >",
            );
        }
    }

    fn tokens(&mut self, path: &str, what: &str, values: &[String]) {
        for (index, value) in values.iter().enumerate() {
            if !is_token(value) {
                self.add(&format!("{path}[{index}]"), &format!("must be a {what} (RFC 9110 5.6.2)"));
            }
        }
    }

    /// Names of headers that are given to the app in the name of a user.
    fn headers(&mut self, path: &str, names: &[String]) {
        self.tokens(path, "header name", names);
        for (index, name) in names.iter().enumerate() {
            if is_reserved(name) {
                let message = "frames or directs messages, or is the platform's: choose another name";
                self.add(&format!("{path}[{index}]"), message);
            }
        }
    }

    fn into_result(self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Invalid(self.0)) }
    }
}
