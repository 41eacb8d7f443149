//! Ports, hosts, paths and address ranges.

use super::text_type;
use crate::rules::cel;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A TCP or UDP port, 1–65535, outside the runtime's own range 14000–14999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Port(pub u16);

impl JsonSchema for Port {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Port".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "integer", "format": "int32", "minimum": 1, "maximum": 65535,
            "x-kubernetes-validations": cel(&[(
                "self < 14000 || self > 14999",
                "ports 14000 to 14999 are the runtime's own: choose another",
            )]),
        })
    }
}

text_type!(
    /// A DNS name in lower case with at least one dot.
    Host, min: 3, max: 253,
    rule: "self.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?([.][a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)+$')",
    says: "a host is a DNS name in lower case with at least one dot, such as api.example.com",
    rule: "!self.matches('^[0-9.]+$')",
    says: "a host is a name, not an address",
);
text_type!(
    /// An address range in CIDR notation, IPv4 or IPv6.
    Cidr, min: 3, max: 49,
    rule: "isCIDR(self)",
    says: "write an address range in CIDR notation, such as 10.1.2.0/24",
);
text_type!(
    /// An absolute HTTP path of unreserved characters, without `..`, `//` or percent-encoding.
    HttpPath, min: 1, max: 256,
    rule: "self.matches('^/[-A-Za-z0-9._~/]*$') && !self.contains('//') && !self.matches('/[.][.]?(/|$)')",
    says: "a path starts with '/', has letters, digits and '-._~/', and has no '//', '/./' or '/../'",
);

/// A request method (RFC 9110, section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs, reason = "the names are RFC 9110's")]
pub enum HttpMethod {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}
