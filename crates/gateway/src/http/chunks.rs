//! The framing of a chunked body, read strictly and without its content: where the next request begins.
//!
//! Each step looks at the bytes that are there and says how many of them may pass.

/// Where in a chunked body the reader is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Chunks {
    /// Before a line with a size.
    Size,
    /// In the bytes of a chunk; so many are left.
    Data(u64),
    /// Before the line end after a chunk.
    DataEnd,
    /// In the trailers; so many bytes of them came.
    Trailers(usize),
    /// After the last byte.
    Done,
}

/// The body breaks the rules, or its framing is larger than what is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Broken;

impl Chunks {
    /// Goes on over the front of `bytes`: how many of them pass, and where that leads. Nothing passes when a line is
    /// not complete yet.
    pub(crate) fn step(self, bytes: &[u8]) -> Result<(usize, Self), Broken> {
        match self {
            Self::Size => {
                let Some(line) = line(bytes)? else {
                    return Ok((0, self));
                };
                let next = match size(line)? {
                    0 => Self::Trailers(0),
                    size => Self::Data(size),
                };
                Ok((line.len() + 2, next))
            }
            Self::Data(left) => {
                let passed = (bytes.len() as u64).min(left);
                let next = match left - passed {
                    0 => Self::DataEnd,
                    left => Self::Data(left),
                };
                // Not more than `bytes.len()`.
                Ok((passed as usize, next))
            }
            Self::DataEnd => match line(bytes)? {
                None => Ok((0, self)),
                Some([]) => Ok((2, Self::Size)),
                Some(_) => Err(Broken),
            },
            Self::Trailers(before) => match line(bytes)? {
                None => Ok((0, self)),
                Some([]) => Ok((2, Self::Done)),
                Some(line) if is_trailer(line) && before + line.len() <= TRAILERS => {
                    Ok((line.len() + 2, Self::Trailers(before + line.len())))
                }
                Some(_) => Err(Broken),
            },
            Self::Done => Ok((0, self)),
        }
    }
}

/// The first line of `bytes`, without its end; none when it is not complete.
fn line(bytes: &[u8]) -> Result<Option<&[u8]>, Broken> {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        return match bytes.len() <= LINE {
            true => Ok(None),
            false => Err(Broken),
        };
    };
    let line = bytes.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    // A CR elsewhere is a line end to some readers, and a control character to all.
    line.filter(|line| line.len() <= LINE && !line.iter().any(|b| is_control(*b)))
        .map(Some)
        .ok_or(Broken)
}

/// A size in hexadecimal digits. An extension after it is skipped, and not sent on: it has no control characters, so
/// that everybody sees its end where we do.
fn size(line: &[u8]) -> Result<u64, Broken> {
    let text = line.split(|byte| *byte == b';').next().unwrap_or_default();
    let digits = (1..=SIZE_DIGITS).contains(&text.len()) && text.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(text).ok().filter(|_| digits);
    text.and_then(|text| u64::from_str_radix(text, 16).ok())
        .ok_or(Broken)
}

fn is_trailer(line: &[u8]) -> bool {
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
    name.len() < line.len()
        && !name.is_empty()
        && name
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(b))
}

fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f
}

/// Bytes of a line of the framing.
const LINE: usize = 1 << 10;

/// Bytes of all trailers.
const TRAILERS: usize = 8 << 10;

/// Digits of a size: chunks below 2^60 bytes.
const SIZE_DIGITS: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    type Row = (&'static str, &'static [u8], Result<Option<usize>, Broken>);

    /// How many bytes of the body pass until it is done; none when it does not end.
    fn walk(mut bytes: &[u8]) -> Result<Option<usize>, Broken> {
        let (mut chunks, mut total) = (Chunks::Size, 0);
        loop {
            let (passed, next) = chunks.step(bytes)?;
            (bytes, total) = (&bytes[passed..], total + passed);
            if next == Chunks::Done {
                return Ok(Some(total));
            }
            if passed == 0 && next == chunks {
                return Ok(None);
            }
            chunks = next;
        }
    }

    #[test]
    fn bodies_end_where_everybody_ends_them() {
        let rows: [Row; 22] = [
            ("empty", b"0\r\n\r\nGET", Ok(Some(5))),
            ("one chunk", b"5\r\nhello\r\n0\r\n\r\nGET", Ok(Some(15))),
            ("hexadecimal", b"A\r\n0123456789\r\n0\r\n\r\n", Ok(Some(20))),
            ("trailer", b"0\r\nX: 1\r\n\r\nGET", Ok(Some(11))),
            (
                "content with line ends",
                b"4\r\n\r\n\r\n\r\n0\r\n\r\n",
                Ok(Some(14)),
            ),
            ("cut in the size", b"5", Ok(None)),
            ("cut in the data", b"5\r\nhel", Ok(None)),
            ("cut after the data", b"5\r\nhello\r", Ok(None)),
            ("cut in the trailers", b"0\r\nX: 1\r\n", Ok(None)),
            ("no size", b"\r\nhello\r\n", Err(Broken)),
            ("extension", b"5;a=b\r\nhello\r\n0\r\n\r\n", Ok(Some(19))),
            (
                "bare LF in an extension",
                b"5;a\nb\r\nhello\r\n0\r\n\r\n",
                Err(Broken),
            ),
            (
                "space before an extension",
                b"5 ;a\r\nhello\r\n0\r\n\r\n",
                Err(Broken),
            ),
            ("bare LF", b"5\nhello\r\n0\r\n\r\n", Err(Broken)),
            ("bare CR", b"5\rX\r\nhello\r\n0\r\n\r\n", Err(Broken)),
            ("sign", b"+5\r\nhello\r\n0\r\n\r\n", Err(Broken)),
            ("prefix", b"0x5\r\nhello\r\n0\r\n\r\n", Err(Broken)),
            ("space", b"5 \r\nhello\r\n0\r\n\r\n", Err(Broken)),
            ("too large", b"10000000000000005\r\nhello\r\n", Err(Broken)),
            (
                "data longer than its size",
                b"3\r\nhello\r\n0\r\n\r\n",
                Err(Broken),
            ),
            ("trailer without a name", b"0\r\n: 1\r\n\r\n", Err(Broken)),
            ("trailer, folded", b"0\r\nX: 1\r\n a\r\n\r\n", Err(Broken)),
        ];
        for (name, bytes, expected) in rows {
            assert_eq!(walk(bytes), expected, "{name}");
        }
    }

    #[test]
    fn framing_is_bounded() {
        assert_eq!(walk(&[b'1'; LINE + 2]), Err(Broken));
        let trailers = [b"0\r\n".as_slice(), &b"X: 1\r\n".repeat(TRAILERS)].concat();
        assert_eq!(walk(&trailers), Err(Broken));
    }
}
