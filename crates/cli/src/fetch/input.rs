//! Values of the options: methods, headers, data, budgets.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use anyhow::Context;
use http::{HeaderName, HeaderValue};

use crate::fault::Fault;

/// The most that is read from a file or from standard input to be sent, in bytes.
const MAX_DATA: u64 = 256 << 20;

/// `Name: value`.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub(super) name: HeaderName,
    pub(super) value: HeaderValue,
}

impl FromStr for Header {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once(':').ok_or("write `Name: value`")?;
        let name = name
            .parse()
            .map_err(|_| format!("`{name}` is not a header name"))?;
        let value = value.trim().parse();
        let value = value.map_err(|_| String::from("the value holds a control character"))?;
        Ok(Self { name, value })
    }
}

/// What is sent as a body.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Data {
    Text(String),
    File(PathBuf),
    Stdin,
}

impl FromStr for Data {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.strip_prefix('@') {
            None => Self::Text(text.into()),
            Some("-") => Self::Stdin,
            Some(file) => Self::File(file.into()),
        })
    }
}

impl Data {
    /// Whether there is anything to read, as far as that can be told without waiting.
    pub(super) fn is_there(&self) -> anyhow::Result<()> {
        match self {
            Self::Text(_) | Self::Stdin => Ok(()),
            Self::File(file) => fs::metadata(file)
                .map(drop)
                .with_context(|| format!("cannot read `{}`", file.display())),
        }
    }

    /// The bytes. They are kept whole, so that a redirect can send them again.
    pub(super) fn read(&self) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::Text(text) => Ok(text.clone().into()),
            Self::Stdin => bounded(io::stdin(), Path::new("-")),
            Self::File(file) => {
                let opened = fs::File::open(file);
                bounded(
                    opened.with_context(|| format!("cannot read `{}`", file.display()))?,
                    file,
                )
            }
        }
    }
}

fn bounded(from: impl Read, file: &Path) -> anyhow::Result<Vec<u8>> {
    let shown = file.display();
    let mut bytes = Vec::new();
    let read = from.take(MAX_DATA + 1).read_to_end(&mut bytes);
    let read = read.with_context(|| format!("cannot read `{shown}`"))? as u64;
    if read > MAX_DATA {
        let message = format!("`{shown}` is longer than {} MiB", MAX_DATA >> 20);
        return Err(Fault::new(message, "send large files with another tool").into());
    }
    Ok(bytes)
}

/// The longest time that may be given: a year. A clock cannot be asked for any time whatsoever.
const MAX_TIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A number of seconds, with decimals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Seconds(Duration);

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds = text.parse().ok();
        seconds
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .filter(|time| !time.is_zero() && *time <= MAX_TIME)
            .map(Self)
            .ok_or_else(|| {
                "write a number of seconds above 0, a year at most, such as `30` or `0.5`".into()
            })
    }
}

impl From<Seconds> for Duration {
    fn from(seconds: Seconds) -> Self {
        seconds.0
    }
}

/// A number of bytes: `1000`, `64k`, `10M`, `2G`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Bytes(u64);

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (digits, shift) = match text.as_bytes().last() {
            Some(b'k' | b'K') => (text.get(..text.len() - 1), 10),
            Some(b'm' | b'M') => (text.get(..text.len() - 1), 20),
            Some(b'g' | b'G') => (text.get(..text.len() - 1), 30),
            _ => (Some(text), 0),
        };
        digits
            .and_then(|digits| digits.parse::<u64>().ok())
            .and_then(|number| number.checked_mul(1 << shift))
            .map(Self)
            .ok_or_else(|| String::from("write a number of bytes, such as `1000`, `64k` or `10M`"))
    }
}

impl From<Bytes> for u64 {
    fn from(bytes: Bytes) -> Self {
        bytes.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_binary_suffixes() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("1000", Some(1000)),
            ("64k", Some(65_536)),
            ("10M", Some(10_485_760)),
            ("2G", Some(2_147_483_648)),
            ("", None),
            ("k", None),
            ("-1", None),
            ("1.5M", None),
            ("99999999999G", None),
            ("1\u{e9}", None),
        ] {
            assert_eq!(text.parse::<Bytes>().ok().map(u64::from), bytes, "{text}");
        }
    }

    #[test]
    fn seconds_are_positive_and_bounded() {
        for (text, milliseconds) in [
            ("30", Some(30_000)),
            ("0.25", Some(250)),
            ("0", None),
            ("-1", None),
            ("NaN", None),
            ("inf", None),
            ("31536000", Some(31_536_000_000)),
            ("31536001", None),
            ("1e19", None),
            ("1e300", None),
        ] {
            let parsed = text.parse::<Seconds>().ok().map(Duration::from);
            assert_eq!(parsed, milliseconds.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn a_header_cannot_smuggle_a_second_one() {
        let header = "X-Trace:  a: b ".parse::<Header>().unwrap();
        assert_eq!(
            (header.name.as_str(), header.value.to_str().unwrap()),
            ("x-trace", "a: b")
        );
        for text in ["no colon", "bad name: x", ": x", "a: b\r\nc: d", "a: b\0"] {
            assert!(text.parse::<Header>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn data_is_text_unless_it_begins_with_an_at_sign() {
        assert_eq!("a@b".parse(), Ok(Data::Text("a@b".into())));
        assert_eq!("@a b".parse(), Ok(Data::File("a b".into())));
        assert_eq!("@-".parse(), Ok(Data::Stdin));
    }
}
