//! Redis: `PING` over one kept connection, and in a cluster whether the cluster is whole.
//!
//! The URL is the app's own. One host or several, cluster or not: the first that answers suffices, as a client finds the
//! others through it. That a node is part of a cluster shows in what it answers to `CLUSTER INFO`, not in the URL.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::check::{Error, Probe};
use super::url::UrlFile;
use crate::upstream::Tls;

pub(super) struct Redis {
    url: UrlFile,
    tls: TlsConnector,
    kept: Option<MultiplexedConnection>,
}

impl Redis {
    pub(super) fn new(url: UrlFile, tls: &Tls) -> Self {
        Self { url, tls: TlsConnector::from(Arc::new(tls.client_config())), kept: None }
    }

    async fn connect(&self, seed: &ConnectionInfo) -> Result<MultiplexedConnection, Error> {
        let (host, port, tls) = match seed.addr() {
            ConnectionAddr::Tcp(host, port) => (host, *port, false),
            ConnectionAddr::TcpTls { host, port, .. } => (host, *port, true),
            _ => return Err(Error::BadUrl("it names no host")),
        };
        let failed = |source| Error::Connect { to: format!("{host}:{port}"), source };
        let stream = TcpStream::connect((host.as_str(), port)).await.map_err(failed)?;
        if !tls {
            return greet(seed.redis_settings(), stream).await;
        }
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Error::BadUrl("its host can't be in a certificate"))?;
        let stream = self.tls.connect(name, stream).await.map_err(failed)?;
        greet(seed.redis_settings(), stream).await
    }
}

/// Authenticates and selects the database.
async fn greet<S>(info: &RedisConnectionInfo, stream: S) -> Result<MultiplexedConnection, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // The check as a whole has its limit.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let (connection, driver) =
        MultiplexedConnection::new_with_config(info, stream, config).await.map_err(|e| answer(&e))?;
    // Ends with the connection.
    tokio::spawn(driver);
    Ok(connection)
}

impl Probe for Redis {
    async fn check(&mut self) -> Result<(), Error> {
        let (url, changed) = self.url.read()?;
        let seeds = seeds(url)?;
        // Taken out while it is in use: a check that is given up leaves a connection in an unknown state behind.
        if let Some(mut connection) = self.kept.take().filter(|_| !changed)
            && ping(&mut connection).await.is_ok()
        {
            self.kept = Some(connection);
            return Ok(());
        }
        let mut last = Error::BadUrl("it names no host");
        for seed in &seeds {
            let trying = async {
                let mut connection = self.connect(seed).await?;
                ping(&mut connection).await.map(|()| connection)
            };
            match trying.await {
                Ok(connection) => {
                    self.kept = Some(connection);
                    return Ok(());
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

async fn ping(connection: &mut MultiplexedConnection) -> Result<(), Error> {
    let pong: String = redis::cmd("PING").query_async(connection).await.map_err(|e| answer(&e))?;
    if pong != "PONG" {
        return Err(Error::Answer("the answer to PING is not PONG".to_owned()));
    }
    // An error means that it is no cluster, or that this user may not ask.
    match redis::cmd("CLUSTER").arg("INFO").query_async::<String>(connection).await {
        Ok(info) if !info.lines().any(|line| line.trim() == "cluster_state:ok") => {
            Err(Error::Answer("the cluster's state is not ok".to_owned()))
        }
        _ => Ok(()),
    }
}

/// What the server or the system said. Neither ever repeats a password.
fn answer(error: &redis::RedisError) -> Error {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => Error::Answer(format!("{code} {detail}")),
        _ => Error::Answer(error.to_string()),
    }
}

/// The servers that a URL names: `redis[s]://[user:password@]host[:port][,host…][/database]`, also with `+cluster` after
/// the scheme, and as a list of whole URLs.
fn seeds(url: &str) -> Result<Vec<ConnectionInfo>, Error> {
    let bad = || Error::BadUrl("it is not one of Redis");
    let (scheme, rest) = url.split_once("://").ok_or_else(bad)?;
    let scheme = scheme.strip_suffix("+cluster").unwrap_or(scheme);
    if !matches!(scheme, "redis" | "rediss" | "valkey" | "valkeys") {
        return Err(Error::BadUrl("its scheme is neither redis nor rediss"));
    }
    let rest = rest.split('?').next().unwrap_or_default();
    let (mut user, mut database, mut hosts) = ("", "", Vec::new());
    for one in rest.split(',') {
        let one = one.split_once("://").map_or(one, |(_, one)| one);
        let (its_user, one) = one.rsplit_once('@').unwrap_or(("", one));
        let (host, its_database) = one.split_once('/').unwrap_or((one, ""));
        user = if its_user.is_empty() { user } else { its_user };
        database = if its_database.is_empty() { database } else { its_database };
        hosts.push(host);
    }
    let at = if user.is_empty() { "" } else { "@" };
    let seed =
        |host| format!("{scheme}://{user}{at}{host}/{database}").into_connection_info().map_err(|_| bad());
    hosts.into_iter().map(seed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> Vec<String> {
        let show = |seed: &ConnectionInfo| {
            let redis = seed.redis_settings();
            let user = redis.username().unwrap_or_default();
            format!("{} {user}:{} /{}", seed.addr(), redis.password().unwrap_or_default(), redis.db())
        };
        seeds(url).unwrap().iter().map(show).collect()
    }

    #[test]
    fn one_host_or_several_in_every_common_form() {
        assert_eq!(shown("redis://cache"), ["cache:6379 : /0"]);
        assert_eq!(shown("rediss://u:p%40@cache:6380/2"), ["cache:6380 u:p@ /2"]);
        assert_eq!(shown("redis+cluster://:p@a:1,b:2"), ["a:1 :p /0", "b:2 :p /0"]);
        assert_eq!(shown("redis://:p@a:1,redis://:p@b:2"), ["a:1 :p /0", "b:2 :p /0"]);
        assert_eq!(shown("redis://a:1,b:2/3?family=6"), ["a:1 : /3", "b:2 : /3"]);
    }

    #[test]
    fn errors_do_not_show_the_password() {
        for bad in ["secret", "http://:secret@a", "redis://:secret@a:port", "redis://:secret@a/secret"] {
            let error = seeds(bad).map(|_| ()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
    }
}
