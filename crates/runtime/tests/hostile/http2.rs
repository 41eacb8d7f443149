//! The HTTP/2 vectors, which reach the app as HTTP/2.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::Response;
use http_body_util::BodyExt;

use crate::apps::{self, App, Speaks};
use crate::frames::{Came, exchange};
use crate::support::{Running, Upstream, config, full, get, http2, upstream};
use crate::vector::Vector;

const AFTER: &str = "http://a/whoami?after";
const PATIENCE: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_millis(100);

pub(crate) fn vectors() -> Vec<Vector> {
    Vector::all(include_str!("vectors/http2.frames"))
}

/// A request that an app read to its end.
#[derive(Debug, Clone, PartialEq)]
struct Whole {
    method: String,
    target: String,
    body: Vec<u8>,
}

type Record = Arc<Mutex<Vec<Whole>>>;

/// An app that keeps what it read whole; a length that the body does not have would end it.
async fn recorder() -> (Upstream, Record) {
    let record = Record::default();
    let keep = Arc::clone(&record);
    let app = upstream(move |request| {
        let keep = Arc::clone(&keep);
        async move {
            let (head, body) = request.into_parts();
            if let Ok(body) = body.collect().await {
                let body = body.to_bytes().to_vec();
                let target = head.uri.path_and_query().unwrap().to_string();
                keep.lock().unwrap().push(Whole { method: head.method.to_string(), target, body });
            }
            Response::new(full(""))
        }
    })
    .await;
    (app, record)
}

/// Streams that the vector opens with a head.
fn opened(vector: &Vector) -> usize {
    let heads = vector.lines.iter().filter_map(|line| line.strip_prefix("HEADERS ")?.split(' ').next());
    heads.collect::<BTreeSet<_>>().len()
}

/// Sends a vector, then an innocent request on a connection of its own; returns what came and the innocent's status.
async fn send(runtime: SocketAddr, vector: &Vector) -> (Came, u16) {
    let patience = match vector.outcome.as_str() {
        "waits" => SILENCE,
        _ => PATIENCE,
    };
    // Of a flood the end is awaited, not each answer.
    let streams = if vector.outcome == "survives" { 0 } else { opened(vector) };
    let came = exchange(runtime, vector, streams, patience).await;
    let answer = http2(runtime).await.send_request(get(AFTER)).await;
    (came, answer.map_or(0, |answer| answer.status().as_u16()))
}

fn judge(vector: &Vector, came: &Came, after: u16, whole: &[Whole]) -> Result<(), String> {
    let innocent = whole.iter().filter(|one| one.target == "/whoami?after").count();
    if after != 200 || innocent != 1 {
        return Err(format!("the request after it got {after} and reached the app {innocent} times"));
    }
    let reached = whole.len() - innocent;
    let answers: Vec<&str> = came.streams.values().map(String::as_str).collect();
    let holds = match vector.outcome.as_str() {
        "survives" => return Ok(()),
        "waits" => reached == 0 && answers.is_empty() && !came.ended,
        "reaches 0 | refused" => {
            let refused = answers.iter().all(|answer| ["reset", "400", "431"].contains(answer));
            reached == 0 && refused && (came.ended || !answers.is_empty())
        }
        other => {
            let (count, wanted) = other.split_once(" | ").unwrap();
            let count: usize = count.strip_prefix("reaches ").unwrap().parse().unwrap();
            reached == count && answers == wanted.split(' ').collect::<Vec<_>>() && !came.ended
        }
    };
    if holds { Ok(()) } else { Err(format!("{reached} reached the app")) }
}

#[tokio::test]
async fn the_app_gets_one_whole_request_for_each_that_is_accepted() {
    let (app, record) = recorder().await;
    let running = Running::start(app.address, &config([])).await;
    let mut wrong = Vec::new();
    for vector in vectors() {
        let (came, after) = send(running.service(), &vector).await;
        let whole = std::mem::take(&mut *record.lock().unwrap());
        if let Err(why) = judge(&vector, &came, after, &whole) {
            wrong.push(format!("{} ({}): {why}; {came:?}, app {whole:?}", vector.name, vector.outcome));
        }
    }
    running.stop().await;
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), vectors().len(), wrong.join("\n"));
}

/// A real app must understand what the recorder did.
async fn agrees(app: App) {
    let (judge, record) = recorder().await;
    let (judging, real) =
        (Running::start(judge.address, &config([])).await, Running::start(app.address, &config([])).await);
    let mut wrong = Vec::new();
    // How far a flood gets is a matter of time. And this nginx answers a head without waiting for its body.
    let told_apart = |vector: &&Vector| match vector.outcome.as_str() {
        "survives" => false,
        "waits" => app.name != "nginx",
        _ => true,
    };
    for vector in vectors().iter().filter(told_apart) {
        send(judging.service(), vector).await;
        let judged = std::mem::take(&mut *record.lock().unwrap());
        let (came, after) = send(real.service(), vector).await;
        let told = match told(&app) {
            Ok(told) => told,
            Err(why) => {
                wrong.push(format!("{}: {why}", vector.name));
                continue;
            }
        };
        // Of an app that tells nothing it is known that it still understands what comes next.
        let same = app.told.is_none()
            || told.len() == judged.len()
                && judged.iter().zip(&told).all(|(judged, (method, target, body))| {
                    (&judged.method, &judged.target) == (method, target)
                        && body.as_ref().is_none_or(|body| *body == judged.body)
                });
        if after != 200 || !same {
            wrong.push(format!("{}: {told:?} for {judged:?}; {came:?}, then {after}", vector.name));
        }
    }
    judging.stop().await;
    real.stop().await;
    assert!(wrong.is_empty(), "{} disagrees on {}:\n{}", app.name, wrong.len(), wrong.join("\n"));
}

type Told = (String, String, Option<Vec<u8>>);

/// What the app understood of a vector, with the innocent request after it.
fn told(app: &App) -> Result<Vec<Told>, String> {
    let Some(tells) = &app.told else { return Ok(Vec::new()) };
    let (mut all, deadline) = (Vec::new(), Instant::now() + PATIENCE);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let one =
            tells.recv_timeout(left).map_err(|_| format!("never told of the request after it: {all:?}"))?;
        let last = one.target == "/whoami?after";
        all.push((one.method, one.target, one.body));
        if last {
            return Ok(all);
        }
    }
}

#[tokio::test]
async fn node_agrees_on_every_stream() {
    agrees(apps::node(Speaks::Http2)).await;
}

#[tokio::test]
async fn nginx_agrees_on_every_stream() {
    agrees(apps::nginx(Speaks::Http2)).await;
}

#[tokio::test]
async fn the_demo_service_agrees_on_every_stream() {
    agrees(apps::demo()).await;
}
