//! Values of configuration: which are the same, and what a change of one can lose.

/// Whether two values are one to Kafka. It answers what it parsed and not what was written: `0.50` as `0.5`, `TRUE` as
/// `true`, `compact, delete` as `compact,delete` (`ConfigDef.parseType` and `convertToString` of Kafka's clients).
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    one == other || canonical(one) == canonical(other)
}

fn canonical(value: &str) -> String {
    let item = |item: &str| {
        let item = item.trim();
        let lower = item.to_ascii_lowercase();
        // Letters other than an exponent would make numbers of names, such as `inf`.
        let numeric = item.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
        if let Ok(number) = item.parse::<i128>() {
            number.to_string()
        } else if let Some(number) = numeric.then(|| item.parse::<f64>().ok()).flatten() {
            number.to_string()
        } else if lower == "true" || lower == "false" {
            lower
        } else {
            item.to_owned()
        }
    };
    let items: Vec<String> = value.split(',').map(item).collect();
    items.join(",")
}

/// Whether going from `found` to `declared` can make Kafka drop messages that it has, or confirm some that it then
/// loses. Unknown settings and values that are no numbers can: who adopts a topic should not guess.
///
/// Kafka documentation, "Topic Configs".
pub(crate) fn can_lose(key: &str, found: &str, declared: &str) -> bool {
    if is_same(found, declared) {
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
        "unclean.leader.election.enable" => !is_same(declared, "false"),
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
    fn what_kafka_answers_is_what_was_written() {
        let same = [
            ("0.50", "0.5"),
            ("1", "1.0"),
            ("10000000", "1.0E7"),
            ("TRUE", "true"),
            ("compact, delete", "compact,delete"),
            (" 007 ", "7"),
            ("9223372036854775807", "9223372036854775807"),
        ];
        for (written, answered) in same {
            assert!(is_same(written, answered), "{written:?} is {answered:?}");
            assert!(!can_lose("cleanup.policy", written, answered), "{written:?} is {answered:?}");
        }
        let others = [
            ("0.5", "0.51"),
            ("true", "false"),
            ("compact,delete", "compact"),
            ("Compact", "compact"),
            ("9223372036854775807", "9223372036854775806"),
            ("inf", "infinity"),
            ("", "0"),
        ];
        for (one, other) in others {
            assert!(!is_same(one, other), "{one:?} is not {other:?}");
        }
    }

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
