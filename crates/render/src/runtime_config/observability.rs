//! What the runtime traces, and the app's metrics that it relays.

use crate::platform::PlatformConfig;
use goodgo_api::GoodGoServiceSpec;
use goodgo_runtime_config::{AppMetrics, Observability, Tracing};

/// Share of requests that start a trace where the service does not say, in percent: the API's default.
const SAMPLING: u8 = 10;

pub(crate) fn observability(spec: &GoodGoServiceSpec, platform: &PlatformConfig) -> Observability {
    let settings = spec.observability.clone().unwrap_or_default();
    let sampling = settings.tracing.as_ref().and_then(|tracing| {
        tracing.sampling.as_str().strip_suffix('%').and_then(|number| number.parse().ok())
    });
    // The runtime exports with gRPC alone; an app's own SDK may use another protocol of the collector.
    let collector = platform.tracing.as_ref().filter(|tracing| tracing.protocol == "grpc");
    Observability {
        tracing: collector.map(|tracing| Tracing {
            endpoint: tracing.otlp_endpoint.clone(),
            sampling_percent: sampling.unwrap_or(SAMPLING),
        }),
        app_metrics: settings
            .metrics
            .map(|metrics| AppMetrics { port: metrics.port.unwrap_or(spec.port).0, path: metrics.path.0 }),
    }
}
