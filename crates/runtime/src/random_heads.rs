//! Random heads of requests: nobody speaks through a protected name, no deadline grows, and a trace stays what it was.

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::{Duration, Instant};

use crate::context::trace::TraceContext;
use crate::corpus::{Corpus, executions};
use crate::identity::headers::Protected;
use crate::proxy::deadline::Deadline;

const TOKENS: [&str; 22] = [
    "x-goodgo-",
    "X_Goodgo_",
    "x-user-id",
    "x_role",
    "caller",
    "x-service-auth",
    "x-internal-api-key",
    "traceparent: ",
    "grpc-timeout: ",
    "x-goodgo-timeout-ms: ",
    "timeout-ms",
    "00-",
    "-01",
    "ff",
    "0",
    "9",
    "S",
    "m",
    "-",
    "_",
    "\n",
    ": ",
];

/// As servers in the tradition of CGI hand them to an app.
const TAKEN: [&str; 9] = [
    "X_USER_ID",
    "X_ROLE",
    "X_SERVICE_AUTH",
    "X_INTERNAL_API_KEY",
    "X_HTTP_METHOD_OVERRIDE",
    "X_HTTP_METHOD",
    "X_METHOD_OVERRIDE",
    "X_ORIGINAL_URL",
    "X_REWRITE_URL",
];

/// `name: value` lines; what is no header is left out, as hyper would refuse it.
fn head(input: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in input.split(|byte| *byte == b'\n').take(64) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let value = line[colon + 1..].trim_ascii();
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(value))
        {
            headers.append(name, value);
        }
    }
    headers
}

#[test]
fn a_random_head_smuggles_nothing_extends_no_deadline_and_keeps_its_trace() {
    let protected = Protected::outside(["X-User-Id", "x-role"]);
    let now = Instant::now();
    let outcomes = Corpus::open(env!("CARGO_MANIFEST_DIR"), "headers").run(executions(), &TOKENS, |input| {
        let headers = head(input);
        let mut stripped = headers.clone();
        protected.strip(&mut stripped);
        for name in headers.keys() {
            let cgi = name.as_str().to_ascii_uppercase().replace('-', "_");
            let taken = TAKEN.contains(&cgi.as_str()) || cgi.starts_with("X_GOODGO_");
            assert_eq!(stripped.contains_key(name), !taken, "{name}");
        }
        let deadline = Deadline::of(&headers, now);
        if let Some(deadline) = deadline {
            let left = deadline.left(now);
            assert!(left <= Duration::from_secs(86_400), "{left:?}");
            let mut next = headers.clone();
            deadline.write(&mut next, now);
            let told = Deadline::of(&next, now).unwrap().left(now);
            assert!(told <= left && told + Duration::from_millis(1) > left, "{left:?} became {told:?}");
        }
        let trace = TraceContext::of(&headers);
        if let Some(trace) = trace {
            assert!(trace.trace != 0 && trace.span != 0);
            let mut next = headers.clone();
            trace.write(&mut next);
            assert_eq!(TraceContext::of(&next), Some(trace));
        }
        let magnitude = deadline.map(|deadline| deadline.left(now).as_millis().checked_ilog10());
        let digits =
            magnitude.map_or_else(String::new, |digits| "x".repeat(digits.map_or(0, |n| n as usize + 1)));
        let removed = ["nothing", "some"][usize::from(stripped.len() < headers.len())];
        let sampled = trace.map_or("no", |trace| ["an unsampled", "a sampled"][usize::from(trace.sampled)]);
        format!("{removed} removed, {sampled} trace, deadline {digits}")
    });
    println!("{outcomes} outcomes");
    assert!(outcomes > 20, "{outcomes} outcomes");
}
