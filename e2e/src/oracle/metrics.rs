//! Prometheus' text format, as far as counters need it.

/// The sum of all samples of a metric whose labels contain every one of these texts, such as
/// `listener="service"`.
pub fn sum(text: &str, metric: &str, labels: &[&str]) -> f64 {
    text.lines()
        .filter_map(|line| {
            let rest = line.strip_prefix(metric)?;
            let (found, value) = match rest.strip_prefix('{') {
                Some(rest) => rest.rsplit_once('}')?,
                None => ("", rest.strip_prefix(' ').map(|_| rest)?),
            };
            let all = labels.iter().all(|label| found.contains(label));
            all.then(|| value.split_whitespace().next()?.parse::<f64>().ok()).flatten()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::sum;

    const TEXT: &str = "# TYPE requests counter
requests_total{listener=\"service\",code=\"2xx\"} 3
requests_total{listener=\"service\",code=\"5xx\"} 1
requests_total{listener=\"iam\",code=\"2xx\"} 7
requests_total_other{listener=\"service\"} 100
up 1
";

    #[test]
    fn only_the_named_metric_with_the_labels_counts() {
        assert_eq!(sum(TEXT, "requests_total", &["listener=\"service\""]), 4.0);
        assert_eq!(sum(TEXT, "requests_total", &["listener=\"service\"", "code=\"5xx\""]), 1.0);
        assert_eq!(sum(TEXT, "requests_total", &[]), 11.0);
        assert_eq!(sum(TEXT, "up", &[]), 1.0);
        assert_eq!(sum(TEXT, "down", &[]), 0.0);
    }
}
