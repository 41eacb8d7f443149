//! The exporter: a bounded queue and one thread with an executor of its own.
//!
//! A request only ever pushes to the queue under a short lock. When the collector is slow or dead the queue fills up and
//! spans are dropped and counted; encoding and sending happen on the thread.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use goodgo_runtime_config::ServiceRef;
use hyper_util::rt::TokioIo;
use opentelemetry::KeyValue;
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanExporter as _;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_util::either::Either;
use tonic::transport::{Channel, Endpoint, Uri};

use super::{Recording, convert};
use crate::metrics::Metrics;
use crate::upstream::{Alpn, Tls};

/// Most spans that wait; about 2 MiB.
const CAPACITY: usize = 4096;
/// So many wake the thread before [`INTERVAL`], and one export takes no more: while a span is converted and encoded it
/// takes several times what it does in the queue. Far below what a gRPC message may have (4 MiB).
const BATCH: usize = 512;
/// Longest time that a span waits for others.
const INTERVAL: Duration = Duration::from_secs(1);
/// Time for one export.
const EXPORT_LIMIT: Duration = Duration::from_secs(5);
/// Pause after a failed export, so that a dead collector costs nothing.
const PAUSE: Duration = Duration::from_secs(1);
/// A failing exporter logs at most once in this time; the metrics count all.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// One endpoint's queue.
#[derive(Debug)]
pub(super) struct Pipeline {
    endpoint: String,
    shared: Arc<Shared>,
    ended: Mutex<Option<oneshot::Receiver<()>>>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// There is a batch, or nothing more will come.
    wake: Condvar,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Queue {
    spans: VecDeque<Box<Recording>>,
    closed: bool,
}

impl Pipeline {
    /// # Errors
    /// When there can't be another thread.
    pub(super) fn start(
        endpoint: &str,
        service: &ServiceRef,
        metrics: Arc<Metrics>,
        tls: Tls,
    ) -> std::io::Result<Arc<Self>> {
        let shared = Arc::new(Shared { queue: Mutex::default(), wake: Condvar::new(), metrics });
        let (done, ended) = oneshot::channel();
        let (url, resource, queue) = (endpoint.to_owned(), resource(service), Arc::clone(&shared));
        std::thread::Builder::new().name("span-export".to_owned()).stack_size(512 * 1024).spawn(
            move || {
                // Made here: dropped in the thread of another executor, for want of a thread, it would panic.
                match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                    Ok(executor) => executor.block_on(run(&url, &resource, &queue, tls)),
                    Err(error) => {
                        tracing::error!(%error, "failed to start the export of traces");
                        queue.close();
                    }
                }
                let _ = done.send(());
            },
        )?;
        Ok(Arc::new(Self { endpoint: endpoint.to_owned(), shared, ended: Mutex::new(Some(ended)) }))
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(super) fn push(&self, span: Box<Recording>) {
        let mut queue = self.shared.lock();
        if queue.spans.len() >= CAPACITY || queue.closed {
            drop(queue);
            self.shared.metrics.spans("dropped", 1);
            return;
        }
        queue.spans.push_back(span);
        // Once a batch: a wake-up is a system call.
        if queue.spans.len() == BATCH {
            self.shared.wake.notify_one();
        }
    }

    /// Takes no more; resolves once the last spans are exported or given up.
    pub(super) fn close(&self) -> impl Future<Output = ()> + use<> {
        self.shared.close();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move {
            if let Some(ended) = ended {
                let _ = ended.await;
            }
        }
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    /// What waits, at most [`BATCH`] and possibly nothing; none once it is closed and empty. Blocks the exporter's own thread.
    fn take(&self) -> Option<VecDeque<Box<Recording>>> {
        let waiting = |queue: &mut Queue| queue.spans.len() < BATCH && !queue.closed;
        let (mut queue, _) = self
            .wake
            .wait_timeout_while(self.lock(), INTERVAL, waiting)
            .unwrap_or_else(PoisonError::into_inner);
        if queue.spans.is_empty() && queue.closed {
            return None;
        }
        let batch = queue.spans.len().min(BATCH);
        Some(queue.spans.drain(..batch).collect())
    }

    fn is_closed(&self) -> bool {
        self.lock().closed
    }
}

fn resource(service: &ServiceRef) -> Resource {
    let ServiceRef { name, namespace } = service;
    Resource::builder()
        .with_service_name(name.clone())
        .with_attribute(KeyValue::new("service.namespace", namespace.clone()))
        .build()
}

/// Connections to the collector: as to any other callee over TLS where the endpoint says https.
fn channel(endpoint: &str, tls: Tls) -> Result<Channel, tonic::transport::Error> {
    let connect = tower::service_fn(move |to: Uri| {
        let tls = tls.clone();
        async move {
            let https = to.scheme_str() == Some("https");
            let name = to.host().unwrap_or_default();
            // An IPv6 address stands in brackets in a URI, and nowhere else.
            let host = name.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(name);
            let port = to.port_u16().unwrap_or(if https { 443 } else { 80 });
            let stream = TcpStream::connect((host, port)).await?;
            let stream = match https {
                true => Either::Left(tls.connect(host, stream, Alpn::Http2).await?),
                false => Either::Right(stream),
            };
            Ok::<_, std::io::Error>(TokioIo::new(stream))
        }
    });
    Ok(Endpoint::from_shared(endpoint.to_owned())?.connect_with_connector_lazy(connect))
}

async fn run(endpoint: &str, resource: &Resource, shared: &Shared, tls: Tls) {
    let exporter = channel(endpoint, tls).map_err(|error| error.to_string()).and_then(|channel| {
        let builder = SpanExporter::builder().with_tonic().with_channel(channel).with_timeout(EXPORT_LIMIT);
        builder.build().map_err(|error| error.to_string())
    });
    let mut exporter = match exporter {
        Ok(exporter) => exporter,
        Err(error) => {
            tracing::error!(%error, "failed to export traces; is the endpoint https://host:port?");
            shared.close();
            return;
        }
    };
    exporter.set_resource(resource);
    let mut logged: Option<Instant> = None;
    while let Some(batch) = shared.take() {
        if batch.is_empty() {
            continue;
        }
        let count = batch.len() as u64;
        let batch = batch.into_iter().map(|span| convert::span_data(*span)).collect();
        let exported = tokio::time::timeout(EXPORT_LIMIT, exporter.export(batch)).await;
        let failed = match exported {
            Ok(Ok(())) => {
                shared.metrics.spans("exported", count);
                continue;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        shared.metrics.spans("failed", count);
        if logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
            logged = Some(Instant::now());
            tracing::warn!(error = %failed, "failed to export traces; goodgo_runtime_spans counts what is lost");
        }
        if shared.is_closed() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
