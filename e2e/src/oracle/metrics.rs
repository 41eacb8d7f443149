//! Prometheus' text format, as far as counters and histograms need it.

use anyhow::{Context, Result};

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

/// The buckets of histograms, added up.
#[derive(Debug, Clone, Default)]
pub struct Buckets {
    /// Upper bound, and how many values are not above it.
    upto: Vec<(f64, u64)>,
}

impl Buckets {
    /// Adds those of `histogram` in `text` whose labels contain every one of these texts.
    pub fn add(&mut self, text: &str, histogram: &str, labels: &[&str]) {
        let samples = text.lines().filter_map(|line| {
            let (found, value) = line.strip_prefix(histogram)?.strip_prefix("_bucket{")?.rsplit_once('}')?;
            let bound = found.split_once("le=\"")?.1.split_once('"')?.0;
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
            let all = labels.iter().all(|label| found.contains(label));
            all.then(|| Some((bound, value.split_whitespace().next()?.parse::<u64>().ok()?)))?
        });
        for (bound, count) in samples {
            match self.upto.iter_mut().find(|(known, _)| *known == bound) {
                Some((_, sum)) => *sum += count,
                None => self.upto.push((bound, count)),
            }
        }
        self.upto.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    }

    /// All values.
    pub fn count(&self) -> u64 {
        self.upto.last().map_or(0, |(_, count)| *count)
    }

    /// The upper bound of the bucket in which so many percent of the values have been seen, in the histogram's unit.
    ///
    /// # Errors
    /// When nothing was counted.
    pub fn percentile(&self, percent: u64) -> Result<f64> {
        let rank = (self.count() * percent).div_ceil(100).max(1);
        let found = self.upto.iter().find(|(_, count)| *count >= rank);
        found.map(|(bound, _)| *bound).context("failed to find a value in the histogram")
    }
}

#[cfg(test)]
mod tests {
    use super::{Buckets, sum};

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

    #[test]
    fn buckets_of_several_pods_add_up() {
        let pod = "\
took_seconds_bucket{le=\"0.001\",result=\"found\"} 8
took_seconds_bucket{le=\"0.005\",result=\"found\"} 9
took_seconds_bucket{le=\"+Inf\",result=\"found\"} 10
took_seconds_bucket{le=\"+Inf\",result=\"failed\"} 100
took_seconds_count{result=\"found\"} 10
";
        let mut all = Buckets::default();
        assert!(all.percentile(50).is_err());
        all.add(pod, "took_seconds", &["result=\"found\""]);
        all.add(pod, "took_seconds", &["result=\"found\""]);
        assert_eq!(all.count(), 20);
        assert_eq!([50, 85, 90].map(|percent| all.percentile(percent).unwrap()), [0.001, 0.005, 0.005]);
        assert_eq!(all.percentile(95).unwrap(), f64::INFINITY);
    }
}
