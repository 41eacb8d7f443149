//! Everything that stands while the bench runs: origin, collector, identities, peers.

use super::identity::Identity;
use super::peers::{self, GoodGo, Peer, free_ports, loopback};
use super::process::Process;
use super::target::Target;
use super::{Options, Rival};
use crate::product;
use crate::progress::Step;
use anyhow::{Context, Result};
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::SocketAddr;
use std::path::Path;

/// The standing parts. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct Stage {
    /// All ways to the origin, the direct one first.
    pub(crate) peers: Vec<Peer>,
    /// Both runtimes.
    pub(crate) goodgo: GoodGo,
    /// Who they are, unless identities are off.
    pub(crate) identity: Option<Identity>,
    collector: SocketAddr,
    _origin: Process,
    _collector: Process,
}

impl Stage {
    /// Starts all of it in `folder`.
    ///
    /// # Errors
    /// The first part that can't be had or does not start.
    pub(crate) fn start(folder: &Path, options: &Options) -> Result<Self> {
        let myself = std::env::current_exe().context("failed to find this program")?;
        let [origin_port, collector_port] = free_ports()?;
        let (origin_at, collector_at) = (loopback(origin_port), loopback(collector_port));
        let part = |name: &str, port: u16| {
            let args = ["bench", name, "--port", &port.to_string()].map(str::to_owned);
            let mut process = Process::start(folder, name, &myself, &args)?;
            process.listening(loopback(port))?;
            anyhow::Ok(process)
        };
        let (origin, collector) = (part("origin", origin_port)?, part("collector", collector_port)?);

        let identity = if options.identity {
            Some(Identity::start(&folder.join("tokens"), &peers::CALLS, options.rotation)?)
        } else {
            None
        };
        let program = match &options.runtime {
            Some(program) => program.canonicalize().context("failed to find the runtime's program")?,
            None => product::compile()?.join("goodgo-runtime"),
        };
        let goodgo = GoodGo::start(folder, &program, origin_at, collector_at, identity.as_ref())?;
        let direct = Peer { name: "direct", hops: 0, target: Target::at(origin_at), processes: Vec::new() };
        let mut all = vec![direct];
        all.extend(goodgo.peers());
        for rival in &options.rivals {
            let step = Step::begin(&format!("starting {rival}"), None);
            match rival.start(folder, origin_at) {
                Ok(peers) => all.extend(peers),
                Err(error) => {
                    step.failed();
                    return Err(error.context(format!("failed to have {rival} beside us")));
                }
            }
            step.done("serves");
        }
        Ok(Self {
            peers: all,
            goodgo,
            identity,
            collector: collector_at,
            _origin: origin,
            _collector: collector,
        })
    }

    /// Spans that the collector got.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) async fn spans(&self) -> Result<u64> {
        let stream =
            tokio::net::TcpStream::connect(self.collector).await.context("failed to reach the collector")?;
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let request = http::Request::get(format!("http://{}/spans", self.collector))
            .body(http_body_util::Empty::<hyper::body::Bytes>::new())?;
        let answer = sender.send_request(request).await.context("failed to ask the collector")?;
        let body = answer.into_body().collect().await?.to_bytes();
        driver.abort();
        std::str::from_utf8(&body)?.parse().context("failed to read the collector's count")
    }
}

impl Rival {
    fn start(self, folder: &Path, origin: SocketAddr) -> Result<Vec<Peer>> {
        Ok(match self {
            Self::Envoy => vec![peers::envoy(folder, origin)?],
            Self::Nginx => vec![peers::nginx(folder, origin)?],
            Self::Haproxy => vec![peers::haproxy(folder, origin)?],
            Self::Daprd => {
                let callee = peers::daprd(folder, origin)?;
                let both = peers::daprd_twice(folder, &callee)?;
                vec![callee, both]
            }
        })
    }
}
