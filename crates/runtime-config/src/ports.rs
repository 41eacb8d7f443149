//! The runtime's ports. 14000–14999 are reserved on every pod that has a runtime, so an app's port never collides.

/// In-cluster traffic for the app; the Service's port leads here (named port `service`).
pub const SERVICE: u16 = 14001;
/// Traffic that came through the gateway; only declared routes are answered (named port `gateway`).
pub const GATEWAY: u16 = 14002;
/// Publishing of events by the app, on loopback alone.
pub const EVENTS: u16 = 14003;
/// Probes, running configuration and metrics (named port `admin`).
pub const ADMIN: u16 = 14010;
/// `GET /drain` for the app container's preStop hook (named port `drain`).
pub const DRAIN: u16 = 14011;
/// First port of the loopback listeners of declared calls, which are numbered in sorted order of the calls' names.
pub const CALLS_FROM: u16 = 14100;
/// First reserved port.
pub const RESERVED_FROM: u16 = 14000;
/// Last reserved port.
pub const RESERVED_TO: u16 = 14999;

/// How many calls a pod can have: one reserved port each.
pub const MAX_CALLS: usize = (RESERVED_TO - CALLS_FROM) as usize + 1;

/// Whether an app must not listen on `port`.
#[must_use]
pub const fn is_reserved(port: u16) -> bool {
    port >= RESERVED_FROM && port <= RESERVED_TO
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listener_is_in_the_reserved_range() {
        for port in [SERVICE, GATEWAY, EVENTS, ADMIN, DRAIN, CALLS_FROM] {
            assert!(is_reserved(port), "{port}");
        }
        assert!(!is_reserved(13_999) && !is_reserved(15_000) && !is_reserved(3000));
        assert_eq!(MAX_CALLS, 900);
    }
}
