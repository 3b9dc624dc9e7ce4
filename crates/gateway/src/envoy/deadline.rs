//! How long a decision may take: less than Envoy waits.

use std::time::Duration;

use http::HeaderMap;

/// The configured time, or what is left of Envoy's own after our answer has travelled.
pub(super) fn within(configured: Duration, headers: &HeaderMap) -> Duration {
    let theirs = headers
        .get("grpc-timeout")
        .and_then(|value| value.to_str().ok());
    match theirs.and_then(parse) {
        Some(theirs) => configured.min(theirs.saturating_sub(theirs / MARGIN)),
        None => configured,
    }
}

/// At most eight digits and a unit (the protocol of gRPC over HTTP/2).
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let plain = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let number: u64 = plain.then(|| digits.parse().ok())??;
    Some(match unit {
        "H" => Duration::from_secs(number * 3_600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// A fifth of Envoy's time is left for the way back.
const MARGIN: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shorter_time_counts() {
        let rows = [
            ("none", None, 1_500),
            ("longer", Some("2000m"), 1_500),
            ("shorter", Some("1S"), 800),
            ("tiny", Some("5000u"), 4),
            ("a unit that is not known", Some("10x"), 1_500),
            ("nine digits", Some("100000000n"), 1_500),
            ("no digits", Some("m"), 1_500),
            ("a sign", Some("+1S"), 1_500),
            ("nothing", Some(""), 1_500),
        ];
        for (row, value, expected) in rows {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert("grpc-timeout", value.parse().unwrap());
            }
            let within = within(Duration::from_millis(1_500), &headers);
            assert_eq!(within, Duration::from_millis(expected), "{row}");
        }
    }
}
