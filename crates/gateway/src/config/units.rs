//! Times and sizes as people write them: `"30s"`, `"64KiB"`; and modes of sockets.

use std::{fmt, str::FromStr, time::Duration};

use super::text::written_as_text;

/// A time: `"500ms"`, `"30s"`, `"5m"`, `"1h30m"`. At most a year.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Span(Duration);

/// A number of bytes: `"64KiB"`, `"16MiB"`, `"512"`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Size(u64);

/// Who may connect to a Unix socket: `"0660"`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Mode(u32);

written_as_text!(Span, "a time such as `\"30s\"`", ["30s", "500ms", "1h30m"]);
written_as_text!(Size, "a size such as `\"64KiB\"`", ["64KiB", "16MiB"]);
written_as_text!(Mode, "an octal mode such as `\"0660\"`", ["0660", "0600"]);

impl Span {
    /// So many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// So many milliseconds.
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// The time.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl Size {
    /// So many units of 1,024 bytes.
    pub const fn kib(kib: u64) -> Self {
        Self(kib << 10)
    }

    /// The bytes.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl Mode {
    /// The mode whose bits are these, of `0o777`.
    pub(super) const fn new(bits: u32) -> Self {
        Self(bits & 0o777)
    }

    /// The bits.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl FromStr for Span {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "write a time such as `500ms`, `30s`, `5m` or `1h30m`";
        // A number alone means seconds to one reader and milliseconds to another.
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(FORM);
        }
        let span: jiff::SignedDuration = text.parse().map_err(|_| FORM)?;
        let span = Duration::try_from(span).map_err(|_| "a time is not negative")?;
        if span.subsec_nanos() % 1_000_000 != 0 {
            return Err("a millisecond is the least");
        }
        match span <= YEAR {
            true => Ok(Self(span)),
            false => Err("a year is the most"),
        }
    }
}

impl fmt::Display for Span {
    /// In the largest unit that says it exactly: `90s`, `24h`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0.as_secs(), self.0.subsec_millis());
        match (seconds % 3600, seconds % 60) {
            _ if millis != 0 => write!(f, "{}ms", self.0.as_millis()),
            (0, _) if seconds != 0 => write!(f, "{}h", seconds / 3600),
            (_, 0) if seconds != 0 => write!(f, "{}m", seconds / 60),
            _ => write!(f, "{seconds}s"),
        }
    }
}

impl FromStr for Size {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "write a size such as `512`, `64KiB` or `16MiB`";
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let (_, shift) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(FORM)?;
        let number: u64 = number.parse().map_err(|_| FORM)?;
        let bytes = number.checked_mul(1 << shift).map(Self);
        bytes.ok_or("the size is too large")
    }
}

impl fmt::Display for Size {
    /// In the largest unit that says it exactly.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = |(_, shift): &&(&str, u32)| self.0 != 0 && self.0.is_multiple_of(1 << shift);
        let (unit, shift) = UNITS.iter().rfind(exact).unwrap_or(&("", 0));
        write!(f, "{}{unit}", self.0 >> shift)
    }
}

impl FromStr for Mode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "write an octal mode of read and write, such as `0660`";
        let digits = text.strip_prefix('0').unwrap_or(text);
        let octal = digits.len() == 3 && digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
        let bits = u32::from_str_radix(digits, 8).ok().filter(|_| octal);
        bits.map(Self::new).ok_or(FORM)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

const UNITS: [(&str, u32); 4] = [("", 0), ("KiB", 10), ("MiB", 20), ("GiB", 30)];

#[cfg(test)]
mod tests {
    use super::*;

    /// What is parsed, and how it is written again; none when it is refused.
    fn check<T: FromStr + fmt::Display>(rows: &[(&str, Option<&str>)]) {
        for (text, shown) in rows {
            let parsed = text.parse::<T>().ok().map(|value| value.to_string());
            assert_eq!(parsed.as_deref(), *shown, "{text}");
        }
    }

    #[test]
    fn a_time_has_a_unit() {
        check::<Span>(&[
            ("500ms", Some("500ms")),
            ("0s", Some("0s")),
            ("30s", Some("30s")),
            ("90s", Some("90s")),
            ("1h30m", Some("90m")),
            ("24h", Some("24h")),
            ("8760h", Some("8760h")),
            ("8760h1s", None),
            ("99999999999999999999h", None),
            ("30", None),
            ("-5s", None),
            ("1us", None),
            ("soon", None),
            ("", None),
        ]);
    }

    #[test]
    fn a_size_is_in_bytes_or_powers_of_1024() {
        check::<Size>(&[
            ("512", Some("512")),
            ("0", Some("0")),
            ("64KiB", Some("64KiB")),
            ("2048KiB", Some("2MiB")),
            ("1GiB", Some("1GiB")),
            ("99999999999GiB", None),
            ("64KB", None),
            ("64 KiB", None),
            ("KiB", None),
            ("-1", None),
            ("", None),
        ]);
    }

    #[test]
    fn a_mode_is_octal() {
        check::<Mode>(&[
            ("0660", Some("0660")),
            ("660", Some("0660")),
            ("0600", Some("0600")),
            ("0888", None),
            ("4755", None),
            ("0o660", None),
            ("+60", None),
            ("60", None),
            ("", None),
        ]);
    }
}
