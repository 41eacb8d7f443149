//! The tries of one call, all under one deadline: send, judge, wait, send again.

use std::pin::pin;
use std::time::{Duration, SystemTime};

use goodgo_runtime_config::Retries;
use http::header::HeaderName;
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Body as _;
use tokio::time::{Instant, timeout_at};

use super::Callee;
use super::backoff;
use super::gzip;
use super::idle::Activity;
use super::policy::{Rules, Until};
use super::repeat::{self, Safety};
use super::replay::Replay;
use crate::proxy::{Body, Failure};
use crate::upstream::{Avoid, Try};

/// On a response: how many tries were made below, so that the layer above repeats nothing.
pub(crate) const RETRIED: HeaderName = HeaderName::from_static("x-goodgo-retried");

type Outcome = Result<Response<Body>, Failure>;

/// Makes the call.
pub(super) async fn run(
    callee: &Callee,
    rules: &Rules,
    until: Until<'_>,
    request: Request<Body>,
    now: Instant,
) -> Outcome {
    callee.budget.deposit(now);
    let compressed = callee.is_service()
        && callee.accepts.gzip(now)
        && gzip::is_worth_it(request.headers(), &request.body().size_hint());
    let repeats = rules.retries.as_ref().filter(|retries| retries.attempts > 1);
    if !compressed && repeats.is_none() {
        // Most calls: nothing is copied and nothing remembered.
        return once(callee, until, request, &Try::new(callee.policy.connect_timeout, Avoid::default()))
            .await;
    }
    let (head, body) = request.into_parts();
    let safety = Safety::of(&head);
    Call { callee, until, head, safety, body: Replay::new(body), compressed, avoid: Avoid::default() }
        .repeat(repeats)
        .await
}

/// A call that may take more than one try.
struct Call<'a> {
    callee: &'a Callee,
    until: Until<'a>,
    head: Parts,
    safety: Safety,
    body: Replay,
    compressed: bool,
    /// The pods that have failed it.
    avoid: Avoid,
}

impl Call<'_> {
    async fn repeat(mut self, retries: Option<&Retries>) -> Outcome {
        let mut tries = 1;
        loop {
            let outcome = self.once().await;
            let Some(wait) = retries.and_then(|retries| self.wait(retries, tries, &outcome)) else {
                return mark(outcome, tries);
            };
            self.callee.metrics.retried();
            if let Ok(response) = outcome {
                discard(response).await;
            }
            tokio::time::sleep(wait).await;
            tries += 1;
        }
    }

    async fn once(&mut self) -> Outcome {
        let outcome = self.send().await;
        match outcome {
            // It says that it did nothing: no repetition in the sense of the policy.
            Ok(response) if self.compressed && gzip::was_not_read(&response) && self.body.can_repeat() => {
                discard(response).await;
                self.callee.accepts.forget();
                self.compressed = false;
                self.send().await
            }
            outcome => outcome,
        }
    }

    async fn send(&mut self) -> Outcome {
        // The copy is the one that stays: it has no room for the headers that the try adds.
        let kept = self.head.clone();
        let head = std::mem::replace(&mut self.head, kept);
        let mut request = Request::from_parts(head, self.body.next());
        if self.compressed {
            request = gzip::compress(request);
        }
        let how = Try::new(self.callee.policy.connect_timeout, self.avoid.clone());
        let outcome = once(self.callee, self.until, request, &how).await;
        // Should there be another try, another pod is the better bet.
        if let Some(endpoint) = how.endpoint() {
            self.avoid.add(endpoint);
        }
        outcome
    }

    /// How long to wait before another try; none when there is to be none.
    fn wait(&self, retries: &Retries, tries: u32, outcome: &Outcome) -> Option<Duration> {
        let wanted = tries < retries.attempts
            && self.body.can_repeat()
            && repeat::is_wanted(&retries.retry_on, outcome, self.safety, &self.head, &self.body);
        if !wanted {
            return None;
        }
        let mut wait = backoff::jittered(retries, tries - 1);
        if let Ok(response) = outcome
            && let Some(asked) = backoff::asked(response.status(), response.headers(), SystemTime::now())
        {
            wait = wait.max(asked.min(Duration::from_millis(retries.max_backoff_ms)));
        }
        // A try that could begin only when its time is over would hide the answer that is there.
        let now = Instant::now();
        if wait >= self.until.deadline.left(now) {
            return None;
        }
        if !self.callee.budget.withdraw(retries.budget_percent, now) {
            self.callee.metrics.retry_denied();
            return None;
        }
        Some(wait)
    }
}

/// Tells the layer above that this one has repeated.
fn mark(outcome: Outcome, tries: u32) -> Outcome {
    if tries == 1 {
        return outcome;
    }
    match outcome {
        Ok(mut response) => {
            response.headers_mut().insert(RETRIED, HeaderValue::from(tries));
            Ok(response)
        }
        Err(last) => Err(Failure::Repeated { tries, last: Box::new(last) }),
    }
}

/// One try: until the head of its answer, the idle timeout beyond it.
async fn once(callee: &Callee, until: Until<'_>, mut request: Request<Body>, how: &Try) -> Outcome {
    let (now, policy) = (Instant::now(), &callee.policy);
    if callee.is_service() {
        until.deadline.write(request.headers_mut(), now);
        callee.identify(request.headers_mut())?;
    }
    let whole = until.deadline.instant();
    let own = policy.per_try_timeout.map(|limit| (now + limit, limit)).filter(|(ends, _)| *ends < whole);
    let timed_out = || match own {
        Some((_, limit)) => Failure::TryTimeout { policy: policy.field("perTryTimeout"), limit },
        None => until.failure(),
    };
    let ends = own.map_or(whole, |(ends, _)| ends);
    let activity = policy.idle_timeout.map(|limit| Activity::new(limit, now));
    if let Some(activity) = &activity {
        request = request.map(|body| activity.noting(body));
    }
    let mut sending = pin!(callee.upstream.send(request, how));
    let outcome = match &activity {
        None => timeout_at(ends, sending.as_mut()).await.unwrap_or_else(|_| Err(timed_out())),
        Some(activity) => tokio::select! {
            biased;
            outcome = timeout_at(ends, sending.as_mut()) => outcome.unwrap_or_else(|_| Err(timed_out())),
            () = activity.silence() => {
                Err(Failure::IdleTimeout { policy: policy.field("idleTimeout"), limit: activity.limit() })
            }
        },
    };
    match outcome {
        Ok(response) => Ok(match activity {
            Some(activity) => watched(response, activity),
            None => response,
        }),
        Err(failure) => {
            // While the try is still there: it is the pod's fault that it is dropped. A deadline that the request
            // brought may have been too short for any pod.
            if matches!(
                failure,
                Failure::CallTimeout { .. } | Failure::TryTimeout { .. } | Failure::IdleTimeout { .. }
            ) {
                how.timed_out();
            }
            Err(named(callee, failure))
        }
    }
}

/// Says which field of the policy made the upstream give up.
fn named(callee: &Callee, failure: Failure) -> Failure {
    match failure {
        Failure::ConnectTimeout { .. } => {
            Failure::Decided { policy: callee.policy.field("connectTimeout"), failure: Box::new(failure) }
        }
        failure => failure,
    }
}

/// The idle timeout of what follows the head: a body, or an upgraded connection.
fn watched(mut response: Response<Body>, activity: Activity) -> Response<Body> {
    activity.note();
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        response.extensions_mut().insert(activity);
        return response;
    }
    response.map(|body| activity.ending(body))
}

/// Reads what has arrived of an answer that nobody gets: mostly that is all of it, and the connection can be used again.
/// If not, dropping the rest closes it.
pub(crate) async fn discard(response: Response<Body>) {
    const ENOUGH: u64 = 64 * 1024;
    let mut body = response.into_body();
    let mut read = 0;
    let reading = std::future::poll_fn(|cx| {
        while !body.is_end_stream() && read < ENOUGH {
            match std::pin::Pin::new(&mut body).poll_frame(cx) {
                std::task::Poll::Ready(Some(Ok(frame))) => {
                    read += frame.data_ref().map_or(0, |data| data.len() as u64);
                }
                _ => break,
            }
        }
        std::task::Poll::Ready(())
    });
    reading.await;
}
