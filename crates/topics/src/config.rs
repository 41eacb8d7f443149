//! What a change of one configuration value can lose.

/// Whether going from `found` to `declared` can make Kafka drop messages that it has, or confirm some that it then
/// loses. Unknown settings and values that are no numbers can: who adopts a topic should not guess.
///
/// Kafka documentation, "Topic Configs".
pub(crate) fn can_lose(key: &str, found: &str, declared: &str) -> bool {
    if found == declared {
        return false;
    }
    match key {
        // Less is kept; -1 is without a limit.
        "retention.ms" | "retention.bytes" => less(declared, found, true),
        // Read of a compacted topic may miss tombstones, or a broker loses confirmed messages.
        "delete.retention.ms" | "min.compaction.lag.ms" | "min.insync.replicas" => {
            less(declared, found, false)
        }
        // Producers' larger messages are refused, which loses nothing that is there: they are told.
        "max.message.bytes"
        | "compression.type"
        | "segment.ms"
        | "segment.bytes"
        | "segment.index.bytes"
        | "segment.jitter.ms"
        | "index.interval.bytes"
        | "max.compaction.lag.ms"
        | "min.cleanable.dirty.ratio"
        | "message.timestamp.type"
        | "flush.ms"
        | "flush.messages"
        | "file.delete.delay.ms"
        | "preallocate" => false,
        "unclean.leader.election.enable" => declared != "false",
        // cleanup.policy among them: compaction drops all but the newest of a key, deletion what compaction had kept.
        _ => true,
    }
}

fn less(declared: &str, found: &str, minus_one_is_endless: bool) -> bool {
    let number = |text: &str| {
        let number: i128 = text.trim().parse().ok()?;
        Some(if minus_one_is_endless && number < 0 { i128::MAX } else { number })
    };
    match (number(declared), number(found)) {
        (Some(declared), Some(found)) => declared < found,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_of_anything_that_is_kept_can_lose() {
        for (key, found, declared, loses) in [
            ("retention.ms", "1000", "2000", false),
            ("retention.ms", "2000", "1000", true),
            ("retention.ms", "2000", "-1", false),
            ("retention.ms", "-1", "2000", true),
            ("retention.bytes", "-1", "-1", false),
            ("retention.ms", "2000", "soon", true),
            ("cleanup.policy", "delete", "compact", true),
            ("cleanup.policy", "compact", "compact", false),
            ("min.insync.replicas", "2", "1", true),
            ("min.insync.replicas", "1", "2", false),
            ("unclean.leader.election.enable", "false", "true", true),
            ("unclean.leader.election.enable", "true", "false", false),
            ("max.message.bytes", "2000", "1000", false),
            ("what.is.this", "1", "2", true),
        ] {
            assert_eq!(can_lose(key, found, declared), loses, "{key}: {found} to {declared}");
        }
    }
}
