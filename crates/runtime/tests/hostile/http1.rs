//! The HTTP/1.1 vectors.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::apps::{self, App, Speaks, Understood};
use crate::client::{Answers, LAST, exchange};
use crate::recorder::{Recorder, Seen};
use crate::strict::Message;
use crate::support::{Running, config};
use crate::vector::{Outcome, Vector};

/// The last request of a vector's connection, and the one that follows on a connection of its own.
const LAST_TARGET: &str = "/whoami?last";
const AFTER_TARGET: &str = "/whoami?after";
const AFTER: &[u8] = b"GET /whoami?after HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// Far longer than any answer takes; a vector that never ends is told by it.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long nothing must come back of what is not complete.
const SILENCE: Duration = Duration::from_millis(100);

pub(crate) fn vectors() -> Vec<Vector> {
    let files = [include_str!("vectors/http1-framing.http"), include_str!("vectors/http1-head.http")];
    files.into_iter().flat_map(Vector::all).collect()
}

/// Sends a vector, then an innocent request that would meet whatever the vector left behind.
async fn send(runtime: SocketAddr, vector: &Vector) -> (Answers, Answers) {
    let answers = match vector.outcome() {
        Outcome::Waits => exchange(runtime, &vector.bytes(), SILENCE).await,
        Outcome::BreaksOff | Outcome::Answered { .. } => {
            exchange(runtime, &[&vector.bytes(), LAST].concat(), PATIENCE).await
        }
    };
    (answers, exchange(runtime, AFTER, PATIENCE).await)
}

fn is_ours(target: &str) -> bool {
    [LAST_TARGET, AFTER_TARGET].contains(&target)
}

#[tokio::test]
async fn the_app_gets_one_well_formed_request_for_each_that_is_accepted() {
    let app = Recorder::start().await;
    let running = Running::start(app.address, &config([])).await;
    let mut wrong = Vec::new();
    for vector in vectors() {
        let (answers, after) = send(running.service(), &vector).await;
        let seen = app.take();
        if let Err(why) = judge(&vector, &answers, &after, &seen) {
            let answered: Vec<_> = answers.all.iter().map(|answer| answer.status).collect();
            wrong.push(format!(
                "{}: {why}; answered {answered:?}, closed {}, app {seen:?}",
                vector.name, answers.closed
            ));
        }
    }
    running.stop().await;
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), vectors().len(), wrong.join("\n"));
}

fn judge(vector: &Vector, answers: &Answers, after: &Answers, seen: &Seen) -> Result<(), String> {
    if !seen.broken.is_empty() {
        return Err("the app got what is not well formed".to_owned());
    }
    let [innocent] = &after.all[..] else { return Err(format!("the request after it got {after:?}")) };
    if innocent.status != 200 || seen.whole.iter().filter(|one| one.target == AFTER_TARGET).count() != 1 {
        return Err(format!("the request after it got {innocent:?}"));
    }
    let reached = seen.whole.iter().filter(|one| !is_ours(&one.target)).count();
    let last = seen.whole.iter().any(|one| one.target == LAST_TARGET);
    let mut statuses: Vec<String> = answers.all.iter().map(|answer| answer.status.to_string()).collect();
    match vector.outcome() {
        Outcome::Waits => {
            check(reached == 0 && !last, "a request reached the app")?;
            check(statuses.is_empty() && !answers.closed, "it was answered")
        }
        Outcome::BreaksOff => {
            check(reached == 0 && !last, "a request reached the app")?;
            check(answers.closed, "the connection stays open")?;
            check(statuses.iter().all(|status| status == "400"), "it was not refused")
        }
        Outcome::Answered { reaches, statuses: mut wanted } => {
            check(answers.closed, "the connection stays open")?;
            check(reached == reaches, &format!("{reached} reached the app"))?;
            if last {
                check(statuses.pop().as_deref() == Some("200"), "the last request was not answered")?;
            }
            let end = wanted.pop_if(|word| word == "refused" || word == "closes");
            if end.as_deref() == Some("refused") {
                statuses.retain(|status| status != "400");
            }
            check(statuses == wanted, "other answers")?;
            // After a good answer the connection goes on, unless it says otherwise.
            check(end.is_none() || !last, "the connection went on")?;
            let goes_on = end.is_none() && wanted.iter().all(|status| status == "200");
            check(last || !goes_on, "the connection did not go on")
        }
    }
}

fn check(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}

/// What a real app told of a vector, up to the innocent request after it.
fn understood(app: &App) -> Result<Vec<Understood>, String> {
    let Some(told) = &app.told else { return Ok(Vec::new()) };
    let (mut all, deadline) = (Vec::new(), Instant::now() + PATIENCE);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let one =
            told.recv_timeout(left).map_err(|_| format!("never told of the request after it: {all:?}"))?;
        if one.target == AFTER_TARGET && !one.refused {
            return Ok(all);
        }
        all.push(one);
    }
}

/// The recorder and a real app get the same vector, each behind a runtime: they must count alike.
async fn agrees(app: App) {
    let recorder = Recorder::start().await;
    let (judging, real) =
        (Running::start(recorder.address, &config([])).await, Running::start(app.address, &config([])).await);
    let mut wrong = Vec::new();
    for vector in vectors() {
        send(judging.service(), &vector).await;
        let seen = recorder.take();
        let (answers, after) = send(real.service(), &vector).await;
        if let Err(why) = compare(&vector, &app, &seen, &answers, &after) {
            let answered: Vec<_> = answers.all.iter().map(|answer| answer.status).collect();
            wrong.push(format!("{}: {why}; answered {answered:?}, judge saw {seen:?}", vector.name));
        }
    }
    judging.stop().await;
    real.stop().await;
    assert!(wrong.is_empty(), "{} disagrees on {}:\n{}", app.name, wrong.len(), wrong.join("\n"));
}

fn compare(
    vector: &Vector,
    app: &App,
    seen: &Seen,
    answers: &Answers,
    after: &Answers,
) -> Result<(), String> {
    check(
        after.all.len() == 1 && after.all[0].status == 200,
        &format!("the request after it got {after:?}"),
    )?;
    let judged: Vec<&Message> = seen.whole.iter().filter(|one| one.target != AFTER_TARGET).collect();
    let partial = seen.heads - seen.whole.len();
    if app.told.is_none() {
        // A body that breaks may have been answered before it did.
        let forwarded = answers.all.iter().filter(|answer| !answer.ours).count();
        return check(
            (judged.len()..=judged.len() + partial).contains(&forwarded),
            &format!("{forwarded} answers of the app"),
        );
    }
    let told = understood(app)?;
    check((judged.len()..=judged.len() + partial).contains(&told.len()), &format!("it understood {told:?}"))?;
    for (one, judged) in told.iter().zip(judged).filter(|(one, _)| !one.refused) {
        check(one.method == judged.method && one.target == judged.target, &format!("it understood {one:?}"))?;
        check(
            one.body.as_ref().is_none_or(|body| *body == judged.body),
            &format!("{}: it read another body: {one:?}", vector.name),
        )?;
    }
    Ok(())
}

#[tokio::test]
async fn node_agrees_on_every_boundary() {
    agrees(apps::node(Speaks::Http1)).await;
}

#[tokio::test]
async fn nginx_agrees_on_every_boundary() {
    agrees(apps::nginx(Speaks::Http1)).await;
}

#[tokio::test]
async fn the_demo_service_agrees_on_every_boundary() {
    agrees(apps::demo()).await;
}
