//! Bounded text whose grammar is somebody else's.

use super::text_type;

text_type!(
    /// Bounded text without further grammar, such as an argument or a variable's value.
    Text, min: 0, max: 8192,
);
text_type!(
    /// A container image reference, with a tag or digest.
    ImageRef, min: 1, max: 512,
    rule: "self.matches('^[a-zA-Z0-9][a-zA-Z0-9._:/@-]*$')",
    says: "write an image reference, such as registry.example/user-service:1.4.2",
);
text_type!(
    /// An absolute path in the container's file system.
    MountPath, min: 2, max: 512,
    rule: "self.startsWith('/') && !self.contains(':') && !self.matches('(^|/)[.][.](/|$)')",
    says: "write an absolute path without ':' or '..'",
);
text_type!(
    /// Name of an HTTP header field (RFC 9110, section 5.1).
    HeaderName, min: 1, max: 64,
    rule: "self.matches('^[A-Za-z0-9][A-Za-z0-9_-]*$')",
    says: "a header's name has letters, digits, '-' and '_'",
);
