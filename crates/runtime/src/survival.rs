//! Notices that a drained pod goes on living, so that it can come back into service.
//!
//! A preStop hook runs before every stop of the app that the kubelet decides on, also before it restarts an app whose
//! liveness or startup probe failed. The hook can't tell the two apart, and neither can the drain: but when the pod ends,
//! this process gets its SIGTERM right after the app's end, and when it does not end, the app comes back.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;

use crate::drain::{Drain, Lifecycle, Phase};

/// Pause between looks at the app. A container's restart takes far longer, so its absence can't be missed.
const PAUSE: Duration = Duration::from_millis(250);
/// What the kubelet may take beyond the grace period.
const MARGIN: Duration = Duration::from_secs(5);

/// Resolves once the pod was drained and is certainly not ending: the app was gone and is back, or the grace period is
/// over without a SIGTERM.
pub(crate) async fn survived(drain: &Drain, inbound: &Lifecycle, app_port: Option<u16>, grace: Duration) {
    inbound.reached(Phase::Settling).await;
    let overdue = tokio::time::sleep(grace + MARGIN);
    let returned = async {
        drain.done().await;
        match app_port {
            Some(port) => app_returned(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = overdue => tracing::warn!("the grace period is over and the pod was not ended"),
        () = returned => tracing::warn!("the app was restarted and the pod goes on"),
    }
}

async fn app_returned(app: SocketAddr) {
    while listens(app).await {
        tokio::time::sleep(PAUSE).await;
    }
    while !listens(app).await {
        tokio::time::sleep(PAUSE).await;
    }
}

async fn listens(address: SocketAddr) -> bool {
    TcpStream::connect(address).await.is_ok()
}
