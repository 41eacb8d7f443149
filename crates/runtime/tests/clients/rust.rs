//! A service in Rust that answers with what iam-service answered.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::get;

// guide: begin
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;

const PASSED: [&str; 3] = ["x-goodgo-context", "x-correlation-id", "traceparent"];

tokio::task_local! {
    /// Headers of the request being served that its calls carry on.
    static SERVED: HeaderMap;
}

/// With `Router::layer(axum::middleware::from_fn(serving))`.
async fn serving(request: Request, next: Next) -> Response {
    let mut headers = request.headers().clone();
    for name in request.headers().keys().filter(|name| !PASSED.contains(&name.as_str())) {
        headers.remove(name);
    }
    SERVED.scope(headers, next.run(request)).await
}

/// With `client.get(url).headers(continued())`.
fn continued() -> HeaderMap {
    SERVED.try_with(HeaderMap::clone).unwrap_or_default()
}
// guide: end

/// The app's address, and where to put the URL of iam-service.
pub(crate) async fn app() -> (SocketAddr, Arc<OnceLock<String>>) {
    let iam_url: Arc<OnceLock<String>> = Arc::default();
    let client = reqwest::Client::new();
    let handler = |carry_on: bool| {
        let (client, iam_url) = (client.clone(), Arc::clone(&iam_url));
        get(move || async move {
            let call = client.get(format!("{}/whoami", iam_url.get().unwrap()));
            let call = if carry_on { call.headers(continued()) } else { call };
            call.send().await.unwrap().text().await.unwrap()
        })
    };
    let router = Router::new().route("/reqwest", handler(true)).route("/plain", handler(false));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, router.layer(from_fn(serving))).into_future());
    (address, iam_url)
}
