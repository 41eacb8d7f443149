//! Damaged files: whatever is read, nothing panics, and what is accepted can be written and read again as the same.

#![cfg(test)]

use goodgo_runtime_config::{MAX_FILE_BYTES, parse};

/// Where damage starts from; small, so that most of it hits something.
const CORPUS: [&str; 4] = [
    r#"{"version":"v1alpha1","revision":"a1","service":{"name":"a","namespace":"b"}}"#,
    r#"{"version":"v1alpha1","revision":"0","service":{"name":"a","namespace":"b"},"calls":{"iam":{"target":{"scheme":"https","host":"iam.example.","port":443,"service":{"pods":"_service._tcp.iam--pods.b.svc.","identity":true}},"policy":{"timeoutMs":1,"connectTimeoutMs":2,"perTryTimeoutMs":3,"idleTimeoutMs":4,"priority":"Low","retries":{"attempts":3,"backoffMs":1,"maxBackoffMs":2,"retryOn":["connect",503],"budgetPercent":20},"circuitBreaker":{"errorPercent":50,"windowMs":1,"minRequests":1,"resetAfterMs":1},"cache":{"maxAgeMs":1},"concurrency":1,"forwardAuthorization":true,"routes":[{"path":"/x","methods":["GET"],"timeoutMs":9}]}}}}"#,
    r#"{"version":"v1alpha1","revision":"0","service":{"name":"a","namespace":"b"},"calls":{"iam":{"unavailable":{"reason":"CalleeMissing","message":"m"}}},"inbound":{"authentication":{"required":true,"audience":"x","issuers":[{"issuer":"i","keys":[{"kty":"OKP","n":1e400}]}],"keys":true},"callers":[{"name":"a/b","subject":"s"}],"routes":[{"name":"r","path":"/a","exact":true,"methods":["GET"],"stripPrefix":"/a","auth":{"forward":{"call":"iam","path":"/v","headers":["x"]}},"timeoutMs":5,"maxBodyBytes":1,"contentTypes":["a/b"]}],"eventPaths":["/e"]}}"#,
    r#"{"version":"v1alpha1","revision":"0","service":{"name":"a","namespace":"b"},"protocol":"GRPC","health":{"database":{"required":true,"everyMs":1},"kafka":{"required":false,"everyMs":1,"bootstrap":["k:9092"]},"app":{"live":{"port":1,"path":"/l","timeoutMs":1},"ready":{"port":1,"grpc":"","timeoutMs":1}}},"observability":{"tracing":{"endpoint":"http://c:4317","samplingPercent":10},"appMetrics":{"port":1,"path":"/m"}},"drain":{"settleSeconds":1,"timeoutSeconds":2}}"#,
];
const TOKENS: [&str; 14] = [
    "null",
    "true",
    "-1",
    "0",
    "65536",
    "1e9",
    "\"\"",
    "[]",
    "{}",
    ",",
    "\u{0}",
    "\\u0000",
    "é",
    "\"calls\"",
];

fn executions() -> u64 {
    std::env::var("GOODGO_EXECUTIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(100_000)
}

#[test]
fn no_damage_makes_the_reader_panic_or_accept_what_it_would_not_write() {
    let mut random = fastrand::Rng::with_seed(20_261_125);
    let (mut accepted, mut refused) = (0_u64, 0_u64);
    for _ in 0..executions() {
        let mut bytes = random.choice(CORPUS).unwrap().as_bytes().to_vec();
        for _ in 0..random.u8(0..4) {
            damage(&mut bytes, &mut random);
        }
        match parse(&bytes) {
            Ok(config) => {
                let text = config.to_json().unwrap();
                assert!(text.len() <= MAX_FILE_BYTES);
                assert_eq!(parse(text.as_bytes()).unwrap(), config, "{text}");
                accepted += 1;
            }
            Err(error) => {
                assert!(error.to_string().starts_with("failed to "), "{error}");
                refused += 1;
            }
        }
    }
    assert!(accepted > 0 && refused > 0, "{accepted} accepted, {refused} refused: the damage shows nothing");
}

fn damage(bytes: &mut Vec<u8>, random: &mut fastrand::Rng) {
    let at = random.usize(0..=bytes.len());
    let to = (at + random.usize(0..12)).min(bytes.len());
    match random.u8(0..5) {
        0 => drop(bytes.drain(at..to)),
        1 => drop(bytes.splice(at..to, random.choice(TOKENS).unwrap().bytes())),
        2 => bytes.truncate(at),
        3 if at < bytes.len() => bytes[at] ^= 1 << random.u8(0..8),
        _ => {
            let piece = bytes[at..to].to_vec();
            drop(bytes.splice(at..at, piece));
        }
    }
}
