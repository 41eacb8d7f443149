//! The database's URL, which is written for the app's driver, as the one driver here understands it.
//!
//! Drivers know parameters that others refuse (`schema`, `pgbouncer`, `connection_limit`), and schemes of their own
//! (`postgresql+asyncpg`). What concerns how to connect is kept, the rest is left out. `sslmode` means what libpq's
//! documentation says, with one difference: `require` and `verify-ca` verify the certificate's name as well.

use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

use super::check::Error;

/// Parameters that say where and how to connect; `sslmode` is translated.
const KEPT: [&str; 11] = [
    "user",
    "password",
    "dbname",
    "host",
    "hostaddr",
    "port",
    "options",
    "target_session_attrs",
    "channel_binding",
    "sslnegotiation",
    "load_balance_hosts",
];

/// Whether the server's certificate is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// TLS if the server has it, whoever it is: no worse than none, which is allowed too.
    Anybody,
    /// TLS with certificate and name verified.
    Verified,
}

/// # Errors
/// [`Error::BadUrl`], without a word of the URL.
pub(super) fn parse(url: &str) -> Result<(Config, Trust), Error> {
    let (scheme, rest) = url.split_once("://").ok_or(Error::BadUrl("it has no scheme"))?;
    let scheme = scheme.strip_prefix("jdbc:").unwrap_or(scheme);
    let scheme = scheme.split('+').next().unwrap_or_default();
    if !matches!(scheme, "postgres" | "postgresql") {
        return Err(Error::BadUrl("its scheme is not postgresql"));
    }
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (mut mode, mut trust) = (SslMode::Prefer, Trust::Anybody);
    let mut kept = Vec::new();
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=').unwrap_or((parameter, "")) {
            ("sslmode", "disable") => mode = SslMode::Disable,
            ("sslmode", "allow" | "prefer") => mode = SslMode::Prefer,
            ("sslmode" | "ssl", "require" | "verify-ca" | "verify-full" | "true") => {
                (mode, trust) = (SslMode::Require, Trust::Verified);
            }
            ("sslmode", _) => return Err(Error::BadUrl("its sslmode is unknown")),
            (name, _) if KEPT.contains(&name) => kept.push(parameter),
            _ => {}
        }
    }
    let url = format!("postgresql://{address}?{}", kept.join("&"));
    let mut config: Config = url.parse().map_err(|_| Error::BadUrl("it is not one of PostgreSQL"))?;
    config.ssl_mode(mode).application_name("goodgo-runtime");
    Ok((config, trust))
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::Host;

    use super::*;

    #[test]
    fn urls_of_common_drivers_are_understood() {
        let neon = "postgresql://u:p%40ss@ep-x.eu.neon.tech/db?sslmode=require&channel_binding=require";
        let (config, trust) = parse(neon).unwrap();
        assert_eq!((config.get_ssl_mode(), trust), (SslMode::Require, Trust::Verified));
        assert_eq!(config.get_password(), Some(b"p@ss".as_slice()));
        let prisma = "postgres://u:p@db:6432/shop?schema=public&pgbouncer=true&connection_limit=5";
        let (config, trust) = parse(prisma).unwrap();
        assert_eq!((config.get_ssl_mode(), trust), (SslMode::Prefer, Trust::Anybody));
        assert_eq!(config.get_ports(), [6432]);
        let (config, _) = parse("postgresql+asyncpg://u@a:1,b:2/shop?sslmode=disable").unwrap();
        assert_eq!(config.get_hosts(), [Host::Tcp("a".to_owned()), Host::Tcp("b".to_owned())]);
        assert_eq!(config.get_ssl_mode(), SslMode::Disable);
        let (config, trust) = parse("jdbc:postgresql://db/shop?user=u&password=p&ssl=true").unwrap();
        assert_eq!((config.get_user(), trust), (Some("u"), Trust::Verified));
    }

    #[test]
    fn errors_do_not_show_the_password() {
        for bad in [
            "secret",
            "mysql://u:secret@db/x",
            "postgresql://u:secret@db:port/x",
            "postgresql://u:secret@db/x?sslmode=secret",
        ] {
            let error = parse(bad).map(|_| ()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
    }
}
