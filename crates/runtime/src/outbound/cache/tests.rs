//! What is kept and served, rule by rule of RFC 9111.

use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::time::advance;

use super::record::LIMIT;
use super::*;
use crate::proxy::BodyError;

type Headers<'a> = &'a [(&'a str, &'a str)];

fn cache(max_age: u64) -> CallCache {
    CallCache::new(Cache { max_age_ms: max_age * 1000 }, &Arc::new(Store::new()), 7)
}

fn request(method: &str, path: &str, headers: Headers<'_>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

fn answer(status: u16, headers: Headers<'_>) -> Response<Body> {
    let mut response = Response::builder().status(status).header("content-length", "5");
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Body::whole("fresh")).unwrap()
}

fn miss(cache: &CallCache, request: &Request<Body>) -> Miss {
    match cache.look_up(request, Instant::now()) {
        Looked::Miss(miss) => miss,
        Looked::Hit(_) => panic!("a hit for {request:?}"),
    }
}

/// Sends `request` on, and reads the answer to its end.
async fn fill(cache: &CallCache, request: &Request<Body>, response: Response<Body>) -> HeaderMap {
    let (head, body) = miss(cache, request).take(response, Instant::now()).into_parts();
    body.collect().await.unwrap();
    head.headers
}

fn hit(cache: &CallCache, request: &Request<Body>) -> Option<HeaderMap> {
    match cache.look_up(request, Instant::now()) {
        Looked::Hit(response) => Some(response.headers().clone()),
        Looked::Miss(_) => None,
    }
}

/// Whether the answer to a plain GET is kept.
async fn kept(asked: Headers<'_>, status: u16, answered: Headers<'_>) -> bool {
    let (cache, request) = (cache(60), request("GET", "/a", asked));
    fill(&cache, &request, answer(status, answered)).await;
    hit(&cache, &request).is_some()
}

const MINUTE: (&str, &str) = ("cache-control", "max-age=60");

#[tokio::test(start_paused = true)]
async fn a_hit_says_so_and_how_old_it_is() {
    let (cache, request) = (cache(60), request("GET", "/a?b=c", &[]));
    let first = fill(&cache, &request, answer(200, &[MINUTE, ("age", "3"), ("etag", "\"1\"")])).await;
    assert_eq!(first["cache-status"], "goodgo-runtime; fwd=uri-miss");
    advance(Duration::from_secs(10)).await;
    let Looked::Hit(response) = cache.look_up(&request, Instant::now()) else { panic!("no hit") };
    assert_eq!(response.headers()["age"], "13");
    assert_eq!(response.headers()["cache-status"], "goodgo-runtime; hit; ttl=47");
    assert_eq!(response.headers()["etag"], "\"1\"");
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "fresh");
    advance(Duration::from_secs(47)).await;
    let stale = fill(&cache, &request, answer(200, &[])).await;
    assert_eq!(stale["cache-status"], "goodgo-runtime; fwd=stale");
}

#[tokio::test(start_paused = true)]
async fn max_age_of_the_call_is_a_cap() {
    let (cache, request) = (cache(5), request("GET", "/a", &[]));
    fill(&cache, &request, answer(200, &[MINUTE])).await;
    advance(Duration::from_secs(4)).await;
    assert!(hit(&cache, &request).is_some());
    let stricter = CallCache { store: Arc::clone(&cache.store), max_age: Duration::from_secs(2), ..cache };
    assert!(hit(&stricter, &request).is_none(), "also for what was kept before it");
    advance(Duration::from_secs(1)).await;
    assert!(hit(&cache, &request).is_none());
}

#[tokio::test(start_paused = true)]
async fn only_what_permits_it_is_kept() {
    assert!(kept(&[], 200, &[MINUTE]).await);
    assert!(kept(&[], 200, &[("cache-control", "s-maxage=9, max-age=0")]).await);
    for answered in [
        &[][..],
        &[("cache-control", "max-age=0")],
        &[("cache-control", "max-age=60, s-maxage=0")],
        &[("cache-control", "max-age=60, no-store")],
        &[("cache-control", "max-age=60, no-cache")],
        &[("cache-control", "max-age=60, private")],
        &[("cache-control", "max-age=60, nonsense=\"")],
        &[MINUTE, ("age", "60")],
        &[MINUTE, ("vary", "*")],
        &[MINUTE, ("set-cookie", "session=1")],
        &[("expires", "0")],
        &[("expires", "Thu, 01 Jan 1970 00:00:00 GMT")],
    ] {
        assert!(!kept(&[], 200, answered).await, "{answered:?}");
    }
    for status in [201, 203, 204, 206, 301, 404, 410, 500] {
        assert!(!kept(&[], status, &[MINUTE]).await, "{status}");
    }
    for asked in [("cache-control", "no-store"), ("range", "bytes=0-1"), ("if-none-match", "\"1\"")] {
        assert!(!kept(&[asked], 200, &[MINUTE]).await, "{asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn expires_counts_from_the_answers_date() {
    let at = |seconds| httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(seconds));
    assert!(kept(&[], 200, &[("date", &at(0)), ("expires", &at(30))]).await);
    assert!(!kept(&[], 200, &[("date", &at(30)), ("expires", &at(30))]).await);
    let old = httpdate::fmt_http_date(SystemTime::now() - Duration::from_secs(90));
    assert!(
        !kept(&[], 200, &[MINUTE, ("date", &old)]).await,
        "it was on its way for longer than it is fresh"
    );
}

#[tokio::test(start_paused = true)]
async fn identities_never_meet() {
    let shared = ("cache-control", "public, max-age=60");
    let cache = cache(60);
    let of = |token| request("GET", "/me", &[("authorization", token)]);
    fill(&cache, &of("Bearer alice"), answer(200, &[shared])).await;
    assert!(hit(&cache, &of("Bearer alice")).is_some());
    assert!(hit(&cache, &of("Bearer bob")).is_none());
    assert!(hit(&cache, &request("GET", "/me", &[])).is_none());
    assert!(hit(&cache, &request("GET", "/me", &[("cookie", "a=1")])).is_none());
    assert!(!kept(&[("authorization", "Bearer alice")], 200, &[MINUTE]).await, "not permitted");
}

#[tokio::test(start_paused = true)]
async fn variants_are_kept_apart() {
    let cache = cache(60);
    let of = |language: &str| request("GET", "/a", &[("accept-language", language)]);
    let vary = &[MINUTE, ("vary", "Accept-Language, accept-encoding")];
    fill(&cache, &of("de"), answer(200, vary)).await;
    assert_eq!(
        fill(&cache, &of("en"), answer(200, vary)).await["cache-status"],
        "goodgo-runtime; fwd=vary-miss"
    );
    assert!(hit(&cache, &of("de")).is_some() && hit(&cache, &of("en")).is_some());
    assert!(hit(&cache, &request("GET", "/a", &[])).is_none());
    for number in 0..20 {
        fill(&cache, &of(&format!("x-{number}")), answer(200, vary)).await;
    }
    assert!(hit(&cache, &of("x-19")).is_some() && hit(&cache, &of("de")).is_none(), "eight at most");
}

#[tokio::test(start_paused = true)]
async fn a_write_makes_what_is_kept_wrong_for_everybody() {
    let cache = cache(60);
    let get = request("GET", "/users/1?full=1", &[("cookie", "a=1")]);
    let shared = &[("cache-control", "public, max-age=60")];
    for (status, is_kept) in [(204, false), (303, false), (409, true), (500, true)] {
        fill(&cache, &get, answer(200, shared)).await;
        let write = request("DELETE", "/users/1", &[]);
        assert_eq!(
            fill(&cache, &write, answer(status, &[])).await["cache-status"],
            "goodgo-runtime; fwd=method"
        );
        assert_eq!(hit(&cache, &get).is_some(), is_kept, "{status}");
        cache.store.invalidate(&cache.store.generation(7, "/users/1"));
    }
    // A GET that was under way during the write may have seen the old state.
    let under_way = miss(&cache, &get);
    fill(&cache, &request("PUT", "/users/1", &[]), answer(200, &[])).await;
    under_way.take(answer(200, shared), Instant::now()).into_body().collect().await.unwrap();
    assert!(hit(&cache, &get).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_client_may_ask_for_something_fresher() {
    let cache = cache(60);
    fill(&cache, &request("GET", "/a", &[]), answer(200, &[MINUTE])).await;
    advance(Duration::from_secs(20)).await;
    for (asked, is_hit) in [
        ("max-age=20", true),
        ("max-age=19", false),
        ("min-fresh=40", true),
        ("min-fresh=41", false),
        ("no-cache", false),
    ] {
        let got = hit(&cache, &request("GET", "/a", &[("cache-control", asked)])).is_some();
        assert_eq!(got, is_hit, "{asked}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_whole_and_small_bodies_are_kept() {
    let get = request("GET", "/a", &[]);
    let streamed = |frames: Vec<Result<Frame<bytes::Bytes>, BodyError>>| {
        let body = Body::wrapped(StreamBody::new(futures::stream::iter(frames)));
        Response::builder()
            .header("transfer-encoding", "chunked")
            .header(MINUTE.0, MINUTE.1)
            .body(body)
            .unwrap()
    };
    let chunk = |length| Ok(Frame::data(bytes::Bytes::from(vec![b'x'; length])));
    let trailers = || Ok(Frame::trailers(HeaderMap::new()));
    for (frames, is_kept) in [
        (vec![chunk(LIMIT / 2), chunk(LIMIT / 2)], true),
        (vec![chunk(LIMIT / 2), chunk(LIMIT / 2 + 1)], false),
        (vec![chunk(1), trailers()], false),
        (vec![chunk(1), Err("broken".into())], false),
    ] {
        let cache = cache(60);
        let response = miss(&cache, &get).take(streamed(frames), Instant::now());
        let _ = response.into_body().collect().await;
        assert_eq!(hit(&cache, &get).is_some(), is_kept);
    }
    let abandoned = cache(60);
    drop(miss(&abandoned, &get).take(streamed(vec![chunk(1)]), Instant::now()));
    assert!(hit(&abandoned, &get).is_none());
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded() {
    let cache = cache(60);
    for number in 0..400 {
        let response = Response::builder()
            .header("content-length", "100000")
            .header(MINUTE.0, MINUTE.1)
            .body(Body::whole(vec![b'x'; 100_000]))
            .unwrap();
        fill(&cache, &request("GET", &format!("/{number}"), &[]), response).await;
    }
    let bytes = cache.store.bytes();
    assert!((1_000_000..=8 * 1024 * 1024).contains(&bytes), "{bytes}");
}
