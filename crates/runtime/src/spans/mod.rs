//! Traces: one server span for each request to the app, one client span for each of its calls, exported with OTLP.
//!
//! [`Tracer::begin`] decides for each request: a trace that a caller inside began is followed as it decided, another is
//! sampled by the configured share. So is one from outside, where anybody could ask for all of theirs. What is not sampled
//! costs one look at `traceparent`. A sampled request carries a [`Recording`] in its [`crate::metrics::Exchange`]; when
//! that ends, the recording goes into the queue of [`export`].

mod convert;
mod export;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;
use goodgo_runtime_config::{RuntimeConfig, Tracing};
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version};

use self::export::Pipeline;
use crate::context::Served;
use crate::context::trace::{TRACEPARENT, TRACESTATE, TraceContext};
use crate::metrics::Metrics;
use crate::upstream::Tls;

/// Begins spans as the configuration in force says. No state outside it.
#[derive(Debug)]
pub(crate) struct Tracer {
    active: ArcSwapOption<Active>,
    metrics: Arc<Metrics>,
    tls: Tls,
}

#[derive(Debug)]
struct Active {
    sampling_percent: u8,
    pipeline: Arc<Pipeline>,
}

/// Which side of a request a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// It was received for the app, from inside.
    Server,
    /// It was received for the app, from outside: whose trace it belongs to is their word, what is sampled is ours.
    Edge,
    /// It is a call of the app.
    Client,
}

impl Tracer {
    pub(crate) fn new(metrics: Arc<Metrics>, tls: Tls) -> Arc<Self> {
        Arc::new(Self { active: ArcSwapOption::empty(), metrics, tls })
    }

    /// Follows the configuration. Another endpoint gets another queue; the old one's spans still go to the old.
    pub(crate) fn configure(&self, config: &RuntimeConfig) {
        let Some(Tracing { endpoint, sampling_percent }) = &config.observability.tracing else {
            self.active.store(None);
            return;
        };
        let current = self.active.load();
        let same = current.as_ref().filter(|active| active.pipeline.endpoint() == endpoint);
        let pipeline = match same {
            Some(active) => Arc::clone(&active.pipeline),
            None => {
                match Pipeline::start(endpoint, &config.service, Arc::clone(&self.metrics), self.tls.clone())
                {
                    Ok(pipeline) => pipeline,
                    Err(error) => {
                        tracing::error!(%error, "failed to start the export of traces");
                        self.active.store(None);
                        return;
                    }
                }
            }
        };
        self.active.store(Some(Arc::new(Active { sampling_percent: *sampling_percent, pipeline })));
    }

    /// Ends tracing: what is queued is exported, for at most `limit`.
    pub(crate) async fn close(&self, limit: Duration) {
        if let Some(active) = self.active.swap(None) {
            let closed = active.pipeline.close();
            let _ = tokio::time::timeout(limit, closed).await;
        }
    }

    /// Puts a request into its trace: `traceparent` names the next hop's parent afterwards. A call continues the request
    /// that it is made for unless the app says otherwise. Returns what to record, for what is sampled.
    pub(crate) fn begin<B>(
        &self,
        side: Side,
        request: &mut Request<B>,
        served: Option<&Served>,
    ) -> Option<Box<Recording>> {
        let headers = request.headers_mut();
        let mut parent = TraceContext::of(headers);
        if parent.is_none() {
            headers.remove(TRACEPARENT);
            // Without a parent it belongs to nothing.
            headers.remove(TRACESTATE);
        }
        if let Some(served) = served {
            served.continue_trace(headers);
            parent = parent.or_else(|| TraceContext::of(headers));
        }
        let active = self.active.load();
        let active = active.as_ref()?;
        let context = match parent {
            Some(parent) if side == Side::Edge => {
                // Not by the trace's bits, which are theirs too.
                let sampled = is_sampled(fastrand::u128(1..), active.sampling_percent);
                TraceContext { sampled, ..parent.child() }
            }
            // Its spans are not wanted, so that of this hop would have no parent.
            Some(parent) if !parent.sampled => return None,
            Some(parent) => parent.child(),
            None => {
                let trace = fastrand::u128(1..);
                TraceContext::root(trace, is_sampled(trace, active.sampling_percent))
            }
        };
        context.write(headers);
        context.sampled.then(|| {
            Box::new(Recording {
                pipeline: Arc::clone(&active.pipeline),
                side,
                context,
                parent: parent.map(|parent| parent.span),
                state: request.headers().get(TRACESTATE).cloned(),
                method: request.method().clone(),
                path: request.uri().path().to_owned(),
                host: host(request.headers(), request.uri()),
                version: request.version(),
                start: SystemTime::now(),
                begun: Instant::now(),
                lasted: Duration::ZERO,
                ended: End::default(),
            })
        })
    }
}

/// The same for every span of one trace: decided by its random bits.
fn is_sampled(trace: u128, percent: u8) -> bool {
    trace % 10_000 < u128::from(percent) * 100
}

fn host(headers: &HeaderMap, uri: &http::Uri) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    uri.authority().map(http::uri::Authority::as_str).or(host).unwrap_or_default().to_owned()
}

/// A span under way.
#[derive(Debug)]
pub(crate) struct Recording {
    pipeline: Arc<Pipeline>,
    side: Side,
    context: TraceContext,
    parent: Option<u64>,
    state: Option<HeaderValue>,
    method: Method,
    /// Without the query, which may hold secrets.
    path: String,
    /// `Host` or `:authority`.
    host: String,
    version: Version,
    start: SystemTime,
    /// The clock on the wall may jump meanwhile.
    begun: Instant,
    lasted: Duration,
    ended: End,
}

/// How it ended.
#[derive(Debug, Default)]
pub(crate) struct End {
    /// None when the client went away before there was an answer.
    pub(crate) status: Option<StatusCode>,
    /// Why the runtime answered itself, or what else went wrong.
    pub(crate) reason: Option<String>,
    /// Whether it counts as an error in the metrics.
    pub(crate) error: bool,
    /// gRPC's status.
    pub(crate) grpc: Option<u8>,
    /// The declared route, if any.
    pub(crate) route: String,
    /// Who is at the other end.
    pub(crate) peer: String,
    /// Where a call goes.
    pub(crate) target: Option<(Arc<str>, u16)>,
}

impl Recording {
    /// Hands it to the exporter.
    pub(crate) fn end(mut self: Box<Self>, ended: End) {
        self.lasted = self.begun.elapsed();
        self.ended = ended;
        let pipeline = Arc::clone(&self.pipeline);
        pipeline.push(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_sampled_traces_is_the_configured_one() {
        for percent in [0, 1, 50, 100] {
            let sampled = (0..20_000).filter(|_| is_sampled(fastrand::u128(1..), percent)).count();
            let expected = usize::from(percent) * 200;
            // Five standard deviations of the widest case are below 400.
            assert!(sampled.abs_diff(expected) < 400, "{percent} %: {sampled}");
            assert!(percent != 0 || sampled == 0);
            assert!(percent != 100 || sampled == 20_000);
        }
    }
}
