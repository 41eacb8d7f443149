//! What is loaded: an address, how a request for it reads, and the token that it carries.

use super::identity::Token;
use std::net::SocketAddr;
use std::sync::Arc;

/// Bytes of an answer's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// What most calls between services carry.
    Kilobyte,
    /// What shows the cost of copying.
    Kilobytes64,
}

impl Size {
    /// Path at the origin.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Kilobyte => "/1k",
            Self::Kilobytes64 => "/64k",
        }
    }

    /// Length in bytes.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Kilobyte => 1024,
            Self::Kilobytes64 => 64 * 1024,
        }
    }
}

/// Where requests are sent.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Who listens.
    pub(crate) address: SocketAddr,
    /// What comes before the origin's path.
    pub(crate) prefix: String,
    /// The caller's token, where the listener asks for one.
    pub(crate) token: Option<Arc<Token>>,
}

impl Target {
    /// The origin's own paths at `address`.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self { address, prefix: String::new(), token: None }
    }

    /// Path of a request.
    pub(crate) fn path(&self, size: Size) -> String {
        format!("{}{}", self.prefix, size.path())
    }
}
