//! Names of headers that the gateway and the runtime agree on, in lower case.

/// `gateway`: what the gateway says of a request that it has let through itself.
pub const AUTHENTICATED: &str = "x-goodgo-authenticated";
/// Its value.
pub const BY_GATEWAY: &str = "gateway";
/// A caller's token.
pub const SERVICE_AUTH: &str = "x-service-auth";
/// A fixed key.
pub const API_KEY: &str = "x-internal-api-key";
/// What the app is told about its caller.
pub const CALLER: &str = "x-goodgo-caller";

/// What no client outside may say. Some frameworks take the method or the path from the first five, so that a request would
/// be another one to the app than to the route that let it through; others believe the rest as the word of a proxy in front,
/// and Traefik sets none of them itself.
pub const NOT_FROM_OUTSIDE: [&str; 14] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
    "x-original-uri",
    "forwarded",
    "x-forwarded-user",
    "x-forwarded-groups",
    "x-forwarded-email",
    "x-forwarded-preferred-username",
    "x-forwarded-access-token",
    "x-forwarded-scheme",
    "x-forwarded-ssl",
];
