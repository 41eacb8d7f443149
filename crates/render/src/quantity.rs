//! Quantities in Kubernetes' canonical form: `500m` not `0.5`, `1Gi` not `1024Mi`, `1k` not `1000`.
//!
//! The API server answers with the canonical form, and a list that holds another one never compares equal. The rules are
//! those of apimachinery's `resource.Quantity`: no fraction, the largest suffix that leaves none, the family of suffixes
//! as written, and decimal ones where the binary ones would round.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

/// A parsed quantity. Equal amounts compare equal however they were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Quantity {
    /// The amount in billionths, Kubernetes' smallest unit.
    nanos: i128,
    family: Family,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    Decimal,
    Binary,
    /// Written with an exponent (`1e3`).
    Exponent,
}

const NANO: i128 = 1_000_000_000;
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: [(&str, u32); 6] = [("Ki", 1), ("Mi", 2), ("Gi", 3), ("Ti", 4), ("Pi", 5), ("Ei", 6)];
/// Beyond 2^63 − 1 Kubernetes caps; so large an amount is a mistake here.
const MAX: i128 = (i64::MAX as i128) * NANO;

impl Quantity {
    /// Reads `text`; `None` when it is no quantity, is not positive, or is larger than Kubernetes can hold.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let end = text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let (number, suffix) = text.split_at_checked(end)?;
        let (family, factor, divisor) = scale(suffix)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return None;
        }
        let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
        let fraction_scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let divisor = divisor.checked_mul(fraction_scale)?;
        let scaled = digits.checked_mul(factor)?.checked_mul(NANO)?;
        // What is finer than a billionth is rounded up, as Kubernetes does.
        let nanos = scaled.checked_add(divisor - 1)?.checked_div(divisor)?;
        (nanos > 0 && nanos <= MAX).then_some(Self { nanos, family })
    }

    /// Whether it is more than `other`.
    pub(crate) const fn exceeds(self, other: Self) -> bool {
        self.nanos > other.nanos
    }

    /// The amount in whole units (bytes of a size), rounded up.
    pub(crate) fn ceil(self) -> u64 {
        u64::try_from((self.nanos + NANO - 1) / NANO).unwrap_or(u64::MAX)
    }

    /// The canonical text.
    pub(crate) fn canonical(self) -> String {
        let whole = self.nanos % NANO == 0;
        if self.family == Family::Binary && whole && self.nanos >= 1024 * NANO {
            return binary(self.nanos / NANO);
        }
        let (number, exponent) = decimal(self.nanos);
        if self.family == Family::Exponent {
            return if exponent == 0 { number.to_string() } else { format!("{number}e{exponent}") };
        }
        let suffix = DECIMAL.iter().find(|(_, scale)| *scale == exponent).map_or("", |(suffix, _)| *suffix);
        format!("{number}{suffix}")
    }

    /// As Kubernetes' own type.
    pub(crate) fn to_api(self) -> ApiQuantity {
        ApiQuantity(self.canonical())
    }
}

/// Family, factor and divisor of a suffix.
fn scale(suffix: &str) -> Option<(Family, i128, i128)> {
    if let Some((_, power)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return Some((Family::Binary, 1024_i128.pow(*power), 1));
    }
    let (family, exponent) = match DECIMAL.iter().find(|(name, _)| *name == suffix) {
        Some((_, exponent)) => (Family::Decimal, *exponent),
        None => (Family::Exponent, suffix.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?),
    };
    let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
    Some(if exponent < 0 { (family, 1, power) } else { (family, power, 1) })
}

fn binary(mut amount: i128) -> String {
    let mut suffix = "";
    for (name, _) in BINARY {
        if amount % 1024 != 0 {
            break;
        }
        amount /= 1024;
        suffix = name;
    }
    format!("{amount}{suffix}")
}

/// A number and the largest exponent of ten, in steps of three, that leaves it whole.
fn decimal(mut nanos: i128) -> (i128, i32) {
    let mut exponent = -9;
    while nanos % 1000 == 0 && exponent < 18 {
        nanos /= 1000;
        exponent += 3;
    }
    (nanos, exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_the_api_server_answers() {
        for (written, canonical) in [
            ("0.5", "500m"),
            ("500m", "500m"),
            ("1000m", "1"),
            ("1", "1"),
            ("1000", "1k"),
            ("1500", "1500"),
            ("1024Mi", "1Gi"),
            ("1536Mi", "1536Mi"),
            ("1.5Gi", "1536Mi"),
            ("0.5Gi", "512Mi"),
            ("0.5Ki", "512"),
            ("1Ki", "1Ki"),
            ("1000Ki", "1000Ki"),
            ("128Mi", "128Mi"),
            ("0.1Mi", "104857600m"),
            ("1e3", "1e3"),
            ("12e6", "12e6"),
            ("1E", "1E"),
            ("100n", "100n"),
            ("0.0000000001", "1n"),
            (".5", "500m"),
            ("5.", "5"),
            ("250M", "250M"),
            ("1048576", "1048576"),
        ] {
            assert_eq!(
                Quantity::parse(written).map(Quantity::canonical).as_deref(),
                Some(canonical),
                "{written}"
            );
        }
    }

    #[test]
    fn refuses_what_is_none() {
        for text in ["", "0", "-1", "1Kb", "abc", "1 Gi", "1..2", ".", "9999999999E", "1e99", "m", "é"] {
            assert_eq!(Quantity::parse(text), None, "{text}");
        }
    }

    #[test]
    fn compares_across_families() {
        let parse = |text| Quantity::parse(text).unwrap();
        assert!(parse("1Gi").exceeds(parse("1G")) && !parse("1").exceeds(parse("1000m")));
    }
}
