//! The file as text: what is accepted, what is refused and how, and that the committed schema is this type's.

#![cfg(test)]

use goodgo_runtime_config::{
    Call, Drain, Error, MAX_FILE_BYTES, Protocol, RuntimeConfig, Scheme, ServiceRef, Version, json_schema,
    parse,
};

const WHOLE: &str = r#"{
  "version": "v1alpha1",
  "revision": "9f86d081884c7d65",
  "service": {
    "name": "user-service",
    "namespace": "shop"
  },
  "protocol": "HTTP",
  "calls": {
    "iam-service": {
      "target": {
        "scheme": "http",
        "host": "iam-service.shop.svc.cluster.local.",
        "port": 3001
      }
    },
    "missing-one": {
      "unavailable": {
        "reason": "CalleeMissing",
        "message": "no GoodGoService missing-one in namespace shop; create it"
      }
    },
    "payments": {
      "target": {
        "scheme": "https",
        "host": "api.example.com",
        "port": 443
      }
    }
  },
  "drain": {
    "settleSeconds": 5,
    "timeoutSeconds": 25
  }
}
"#;

fn whole() -> RuntimeConfig {
    RuntimeConfig {
        version: Version::V1Alpha1,
        revision: "9f86d081884c7d65".to_owned(),
        service: ServiceRef { name: "user-service".to_owned(), namespace: "shop".to_owned() },
        protocol: Protocol::Http,
        calls: [
            ("payments", Call::to(Scheme::Https, "api.example.com", 443)),
            ("iam-service", Call::to(Scheme::Http, "iam-service.shop.svc.cluster.local.", 3001)),
            (
                "missing-one",
                Call::unavailable(
                    "CalleeMissing",
                    "no GoodGoService missing-one in namespace shop; create it",
                ),
            ),
        ]
        .map(|(name, call)| (name.to_owned(), call))
        .into(),
        drain: Drain::default(),
    }
}

/// The violations' paths of `WHOLE` with one piece of text replaced.
fn paths_after(from: &str, to: &str) -> Vec<String> {
    assert!(WHOLE.contains(from), "{from} is not in the fixture");
    let error = parse(WHOLE.replacen(from, to, 1).as_bytes()).unwrap_err();
    let Error::Invalid(violations) = error else { unreachable!("after {from} -> {to}: {error}") };
    violations.into_iter().map(|v| v.path).collect()
}

fn decode_error(text: &str) -> String {
    let error = parse(text.as_bytes()).unwrap_err();
    assert!(matches!(error, Error::Decode(_)), "{error}");
    error.to_string()
}

#[test]
fn writes_the_same_bytes_that_it_reads() {
    assert_eq!(whole().to_json().unwrap(), WHOLE);
    assert_eq!(parse(WHOLE.as_bytes()).unwrap(), whole());
}

#[test]
fn optional_parts_have_defaults() {
    let config =
        parse(br#"{"version":"v1alpha1","revision":"0","service":{"name":"a","namespace":"b"}}"#).unwrap();
    assert_eq!(config.protocol, Protocol::Http);
    assert!(config.calls.is_empty());
    assert_eq!(config.drain, Drain { settle_seconds: 5, timeout_seconds: 25 });
}

#[test]
fn values_out_of_bounds_are_named_by_path() {
    for (from, to, path) in [
        ("9f86d081884c7d65", "not hex", "revision"),
        ("9f86d081884c7d65", "", "revision"),
        ("user-service", "User", "service.name"),
        (r#""namespace": "shop""#, r#""namespace": "-""#, "service.namespace"),
        (r#""iam-service": {"#, r#""iam_service": {"#, "calls.iam_service"),
        ("3001", "0", "calls.iam-service.target.port"),
        ("api.example.com", "api.example.com:443", "calls.payments.target.host"),
        ("api.example.com", "", "calls.payments.target.host"),
        ("api.example.com", "10.0.0.999", "calls.payments.target.host"),
        ("api.example.com", "a..b", "calls.payments.target.host"),
        ("CalleeMissing", "callee missing", "calls.missing-one.unavailable.reason"),
        (r#""settleSeconds": 5"#, r#""settleSeconds": 3601"#, "drain.settleSeconds"),
        (r#""timeoutSeconds": 25"#, r#""timeoutSeconds": 86401"#, "drain.timeoutSeconds"),
    ] {
        assert_eq!(paths_after(from, to), [path], "after {from} -> {to}");
    }
}

#[test]
fn a_call_is_exactly_one_of_target_and_unavailable() {
    let mut config = whole();
    let call = config.calls.get_mut("payments").unwrap();
    call.unavailable = Call::unavailable("A", "").unavailable;
    let error = config.to_json().unwrap_err().to_string();
    assert_eq!(
        error,
        "failed to validate the runtime configuration: calls.payments: set exactly one of target and unavailable; \
         both are set"
    );
    config.calls.insert("payments".to_owned(), Call::default());
    assert!(config.to_json().unwrap_err().to_string().contains("none is set"));
}

#[test]
fn addresses_are_hosts_too() {
    for host in ["10.0.0.1", "::1", "localhost", "a.b."] {
        let text = WHOLE.replacen("api.example.com", host, 1);
        assert!(parse(text.as_bytes()).is_ok(), "{host}");
    }
}

#[test]
fn unknown_fields_versions_and_types_are_refused_with_line_and_column() {
    let error = decode_error(&WHOLE.replacen("settleSeconds", "settle", 1));
    assert!(error.contains("unknown field `settle`") && error.contains("line 32 column"), "{error}");
    assert!(decode_error(&WHOLE.replacen("v1alpha1", "v9", 1)).contains("expected `v1alpha1`"));
    assert!(decode_error(&WHOLE.replacen("\"HTTP\"", "\"SMTP\"", 1)).contains("SMTP"));
    assert!(decode_error(&WHOLE.replacen("3001", "70000", 1)).contains("70000"));
    assert!(decode_error("").contains("line 1 column 0"));
}

#[test]
fn a_file_larger_than_a_config_map_is_refused_unread() {
    let error = parse(&vec![b' '; MAX_FILE_BYTES + 1]).unwrap_err();
    assert!(matches!(error, Error::TooLarge { bytes } if bytes == MAX_FILE_BYTES + 1));
}

#[test]
fn content_does_not_depend_on_the_revision() {
    let other = RuntimeConfig { revision: "ff".to_owned(), ..whole() };
    assert_eq!(whole().content().unwrap(), other.content().unwrap());
    let changed = RuntimeConfig { drain: Drain { settle_seconds: 6, ..Drain::default() }, ..whole() };
    assert_ne!(whole().content().unwrap(), changed.content().unwrap());
}

#[test]
fn the_committed_schema_has_no_drift() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/runtime-config.schema.json");
    let generated = json_schema().unwrap();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(committed, generated, "rewrite it with UPDATE_GOLDEN=1 cargo test -p goodgo-runtime-config");
}
