//! Questions of the runtime's own to a callee: made as the app's calls are, with everything that one request hands on to
//! the next, and counted and traced with them. What comes back is the failure itself rather than a problem.

use std::collections::HashMap;
use std::sync::Arc;

use http::{Request, Response};
use tower::{Layer, Service};

use super::{Body, Failure};
use crate::config::Hot;
use crate::context::OutgoingLayer;
use crate::metrics::{ListenerMetrics, Own};
use crate::outbound;
use crate::spans::{Side, Tracer};

/// Asks the callees of this service's calls.
#[derive(Debug)]
pub(crate) struct Asking {
    hot: Arc<Hot>,
    tracer: Arc<Tracer>,
    /// By the name of the call.
    metrics: HashMap<String, Arc<ListenerMetrics>>,
}

impl Asking {
    pub(crate) fn new(
        hot: Arc<Hot>,
        tracer: Arc<Tracer>,
        metrics: HashMap<String, Arc<ListenerMetrics>>,
    ) -> Self {
        Self { hot, tracer, metrics }
    }

    /// Asks the callee of `call`. The call's policy decides how long that may take.
    ///
    /// # Errors
    /// Those of a call.
    pub(crate) async fn ask(
        &self,
        call: &str,
        mut question: Request<Body>,
    ) -> Result<Response<Body>, Failure> {
        let Some(metrics) = self.metrics.get(call) else {
            return Err(Failure::CallNotConfigured { call: call.to_owned() });
        };
        // A call's peer is its callee.
        let (mut exchange, _) = metrics.exchange(question.method(), question.uri().path());
        exchange.trace(self.tracer.begin(Side::Client, &mut question, None));
        let stack = OutgoingLayer::new(call, Arc::clone(&self.hot));
        let outcome = stack.layer(outbound::Call::new(call, Arc::clone(&self.hot))).call(question).await;
        match outcome {
            Ok(mut response) => {
                exchange.answered(&mut response);
                Ok(response.map(|body| body.counted(Some(exchange))))
            }
            Err(failure) => {
                metrics.problem(&failure);
                let mut problem = failure.response(&failure.to_string());
                problem.extensions_mut().insert(Own { reason: failure.reason().to_owned() });
                exchange.answered(&mut problem);
                Err(failure)
            }
        }
    }
}
