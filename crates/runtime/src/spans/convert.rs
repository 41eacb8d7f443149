//! A finished recording as OpenTelemetry has it, after its semantic conventions for HTTP spans
//! (<https://opentelemetry.io/docs/specs/semconv/http/http-spans/>).

use std::str::FromStr;

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::{End, Recording, Side};
use crate::context::trace::TraceContext;

pub(super) fn span_data(recording: Recording) -> SpanData {
    let Recording {
        pipeline: _,
        side,
        context: TraceContext { trace, span, sampled: _ },
        parent,
        state,
        method,
        path,
        host,
        version,
        start,
        begun: _,
        lasted,
        ended: End { status, reason, error, grpc, route, peer, target },
    } = recording;
    let known = is_known(method.as_str());
    let shown = if known { method.as_str().to_owned() } else { "HTTP".to_owned() };
    let name = if route.is_empty() { shown } else { format!("{shown} {route}") };

    let mut attributes = Vec::with_capacity(12);
    let mut put = |key: &'static str, value: opentelemetry::Value| attributes.push(KeyValue::new(key, value));
    if known {
        put("http.request.method", method.as_str().to_owned().into());
    } else {
        put("http.request.method", "_OTHER".into());
        put("http.request.method_original", method.as_str().to_owned().into());
    }
    put("network.protocol.version", protocol_version(version).into());
    if !route.is_empty() {
        put("http.route", route.into());
    }
    let (address, port) = match &target {
        Some((host, port)) => (host.to_string(), Some(*port)),
        None => authority(&host),
    };
    if side == Side::Client {
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        put("url.full", format!("http://{address}{port}{path}").into());
    } else {
        put("url.scheme", "http".into());
        put("url.path", path.into());
    }
    put("server.address", address.into());
    if let Some(port) = port {
        put("server.port", i64::from(port).into());
    }
    put("service.peer.name", peer.into());
    if let Some(status) = status {
        put("http.response.status_code", i64::from(status.as_u16()).into());
    }
    if let Some(grpc) = grpc {
        put("rpc.grpc.status_code", i64::from(grpc).into());
    }
    // A client takes 4xx for an error as well, a server does not.
    let refused = side == Side::Client && status.is_some_and(|status| status.is_client_error());
    let error = error || refused || status.is_none();
    let class = status.filter(|status| status.is_client_error() || status.is_server_error());
    if error {
        let kind = reason.or_else(|| class.map(|status| status.as_str().to_owned()));
        put("error.type", kind.unwrap_or_else(|| "_OTHER".to_owned()).into());
    }

    SpanData {
        span_context: SpanContext::new(
            TraceId::from_bytes(trace.to_be_bytes()),
            SpanId::from_bytes(span.to_be_bytes()),
            TraceFlags::SAMPLED,
            false,
            state.and_then(|state| TraceState::from_str(state.to_str().ok()?).ok()).unwrap_or_default(),
        ),
        parent_span_id: parent.map_or(SpanId::INVALID, |parent| SpanId::from_bytes(parent.to_be_bytes())),
        parent_span_is_remote: parent.is_some(),
        span_kind: match side {
            Side::Server | Side::Edge => SpanKind::Server,
            Side::Client => SpanKind::Client,
        },
        name: name.into(),
        start_time: start,
        end_time: start + lasted,
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: if error { Status::error("") } else { Status::Unset },
        instrumentation_scope: InstrumentationScope::builder("goodgo-runtime")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build(),
    }
}

fn is_known(method: &str) -> bool {
    let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"];
    known.contains(&method)
}

fn protocol_version(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_10 => "1.0",
        http::Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

fn authority(host: &str) -> (String, Option<u16>) {
    match http::uri::Authority::from_str(host) {
        Ok(authority) => (authority.host().to_owned(), authority.port_u16()),
        Err(_) => (host.to_owned(), None),
    }
}
