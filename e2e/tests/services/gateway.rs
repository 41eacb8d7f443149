//! What a client sees at the gateway: the real Traefik of the chart, in front of real pods.

mod auth;
mod canary;
mod declared;
mod figures;
mod holders;
mod load;
mod many;
mod site;
mod steps;
mod streams;
mod updates;
