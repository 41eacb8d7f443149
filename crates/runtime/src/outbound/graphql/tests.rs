//! What the GraphQL scanner takes for reading, and that nothing makes it take a mutation for it.

use http::Request;

use super::*;

fn head(uri: &str, content_type: &str) -> Parts {
    Request::post(uri).header(CONTENT_TYPE, content_type).body(()).unwrap().into_parts().0
}

#[test]
fn queries_read() {
    for document in [
        "{ users { id } }",
        "query { users }",
        "query Users($ids: [ID!]! = [\"}\", \"mutation\"], $by: By = {field: NAME}) @live(if: true) { users }",
        "query A { a } query B { b }",
        "fragment F on User @x(y: {z: 1}) { id } { users { ...F ... on Admin { mutation } } }",
        "# mutation { a }\n{ a } # mutation",
        "\u{feff}, ,\r\n{a}",
        r#"{ a(text: "}\" mutation {") }"#,
        r#"{ a(text: """ } \""" mutation { "quoted" """) b }"#,
        "{ a(x: -1.5e+3, y: $v) }",
        "query mutation { a }",
    ] {
        assert!(reads(document), "{document}");
    }
}

#[test]
fn everything_else_does_not() {
    for document in [
        "",
        "# nothing",
        "fragment F on User { id }",
        "mutation { a }",
        "subscription { a }",
        "query A { a } mutation B { b }",
        "mutation B { b } query A { a }",
        "fragment F on User { id } mutation { a }",
        "{ a } mutation { b }",
        "{ a",
        "{ a }}",
        "{ a ) }",
        "query",
        "query A(",
        "query A { a } query",
        "Query { a }",
        "{ a(text: \"unclosed) }",
        "{ a(text: \"two\nlines\") }",
        "{ a(text: \"\\q\") }",
        r#"{ a(text: """ unclosed ) }"#,
        "type User { id: ID }",
        "extend schema { query: Query }",
        "\"description\" query { a }",
        "{ a } ; { b }",
        "{ ä }",
    ] {
        assert!(!reads(document), "{document}");
    }
    assert!(!reads(&format!("{}{}", "{a".repeat(300), "}".repeat(300))), "deeper than anybody writes");
}

#[test]
fn an_endpoint_is_known_by_its_media_types_or_its_path() {
    assert!(is_graphql(&head("/graphql", "application/json")));
    assert!(is_graphql(&head("/api/v1/graphql/?x=1", "application/json")));
    assert!(is_graphql(&head("/api", "application/graphql")));
    let mut accepts = head("/api", "application/json");
    accepts.headers.insert(ACCEPT, "application/graphql-response+json, */*".parse().unwrap());
    assert!(is_graphql(&accepts));
    assert!(!is_graphql(&head("/search", "application/json")), "a body with a member query is not enough");
    assert!(!is_graphql(&head("/graphqlx", "application/json")));
}

#[test]
fn a_body_reads_when_its_document_does() {
    let json = head("/graphql", "Application/JSON; charset=utf-8");
    assert!(body_reads(&json, br#"{"query":"{ a }","variables":{"query":"mutation"}}"#));
    assert!(
        body_reads(&json, br#"{"operationName":null,"query":"query \"\u0041\" { a }"}"#)
            == reads("query \"A\" { a }")
    );
    assert!(body_reads(&json, br#"{"query":"\u007b a }"}"#), "escapes of JSON are undone first");
    for body in [
        &br#"{"query":"mutation { a }"}"#[..],
        br#"{"query":"{ a }","query":"mutation { a }"}"#,
        br#"[{"query":"{ a }"},{"query":"mutation { a }"}]"#,
        br#"{"extensions":{"persistedQuery":{"sha256Hash":"x"}}}"#,
        br#"{"query":null}"#,
        br#"{"query":"{ a }""#,
        b"",
        b"\xff",
    ] {
        assert!(!body_reads(&json, body), "{}", String::from_utf8_lossy(body));
    }
    assert!(body_reads(&head("/graphql", "application/graphql"), b"{ a }"));
    assert!(!body_reads(&head("/graphql", "multipart/form-data"), br#"{"query":"{ a }"}"#));
}

#[test]
fn the_urls_query_is_decoded_first() {
    let url = |uri| url_reads(&head(uri, "application/json"));
    assert_eq!(url("/graphql?query=%7B+a+%7D"), Some(true));
    assert_eq!(url("/graphql?query=mutation%7Ba%7D"), Some(false));
    assert_eq!(url("/graphql?query=%7Ba%7D&query=mutation%7Ba%7D"), Some(false));
    assert_eq!(url("/graphql?x=%7Ba%7D"), None);
    assert_eq!(url("/graphql"), None);
}

/// A random document, of pieces that bring it close to being one.
fn document(random: &mut fastrand::Rng) -> String {
    const PIECES: [&str; 28] = [
        "{", "}", "(", ")", "[", "]", "\"", "\"\"\"", "\\", "#", "\n", " ", ",", "query", "mutation",
        "fragment", "on", "a", "$", "!", "@", "...", ":", "=", "-1", "\u{feff}", "é", "{a}",
    ];
    (0..random.usize(0..16)).map(|_| PIECES[random.usize(0..PIECES.len())]).collect()
}

/// Whatever stands before or behind it, a mutation outside of brackets, strings and comments is seen.
#[test]
fn no_document_hides_a_mutation() {
    let mut hidden_in = 0;
    for seed in 0..crate::executions() {
        let around = document(&mut fastrand::Rng::with_seed(seed));
        // May be anything, but neither a panic nor a hang.
        if !reads(&around) {
            continue;
        }
        hidden_in += 1;
        let after = format!("{around}\nmutation M {{ a }}");
        assert!(!reads(&after), "{after}");
        let before = format!("mutation M {{ a }}\n{around}");
        assert!(!reads(&before), "{before}");
        let longer = format!("{around}\n{{ b }}");
        assert!(reads(&longer), "{longer}");
    }
    assert!(hidden_in > 500, "{hidden_in} documents that read");
}
