//! Lines of a file, bounded, with what a progress bar needs to know.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use anyhow::Context;

use crate::options;

/// The longest line that is read, in bytes.
const MAX_LINE: u64 = 1 << 20;

/// What some editors put before the first line of a UTF-8 file.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Reads a file line by line.
pub(crate) struct Lines {
    reader: BufReader<Box<dyn Read>>,
    number: usize,
    position: u64,
    size: Option<u64>,
}

/// One line that is not blank.
pub(crate) struct Line {
    /// Counts from 1.
    pub(crate) number: usize,
    /// The text, or why it cannot be read.
    pub(crate) text: Result<String, &'static str>,
}

impl Lines {
    /// Opens a file, `-` for standard input.
    pub(crate) fn open(file: &Path) -> anyhow::Result<Self> {
        if options::is_stdin(file) {
            return Ok(Self::new(Box::new(io::stdin()), None));
        }
        let opened = File::open(file);
        Self::of(
            file,
            opened.with_context(|| format!("cannot read `{}`", file.display()))?,
        )
    }

    /// The lines of an open file. A pipe has no size.
    pub(super) fn of(file: &Path, opened: File) -> anyhow::Result<Self> {
        let found = opened.metadata();
        let found = found.with_context(|| format!("cannot read `{}`", file.display()))?;
        let size = found.is_file().then_some(found.len());
        Ok(Self::new(Box::new(opened), size))
    }

    fn new(reader: Box<dyn Read>, size: Option<u64>) -> Self {
        Self {
            reader: BufReader::new(reader),
            number: 0,
            position: 0,
            size,
        }
    }

    /// The next line that is not blank.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let mut bytes = Vec::new();
            let read = (&mut self.reader)
                .take(MAX_LINE + 1)
                .read_until(b'\n', &mut bytes)? as u64;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            self.position += read;
            if read > MAX_LINE && !bytes.ends_with(b"\n") {
                self.position += skip_line(&mut self.reader)?;
                return Ok(Some(self.line(Err("the line is longer than 1 MiB"))));
            }
            match String::from_utf8(bytes) {
                Ok(text) if is_blank(&text) => {}
                Ok(text) => return Ok(Some(self.line(Ok(self.without_mark(text))))),
                Err(_) => return Ok(Some(self.line(Err("the line is not UTF-8")))),
            }
        }
    }

    /// Bytes in all; none when that is not known.
    pub(crate) fn size(&self) -> Option<u64> {
        self.size
    }

    /// Bytes read so far.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Whether the next line has to be waited for: what was written must be handed over before.
    pub(crate) fn would_wait(&self) -> bool {
        self.reader.buffer().is_empty()
    }

    fn line(&self, text: Result<String, &'static str>) -> Line {
        Line {
            number: self.number,
            text,
        }
    }

    fn without_mark(&self, text: String) -> String {
        match text.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) if self.number == 1 => rest.to_owned(),
            _ => text,
        }
    }
}

fn is_blank(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_whitespace())
}

/// Reads up to the end of the line and keeps nothing of it.
fn skip_line(reader: &mut impl BufRead) -> io::Result<u64> {
    let mut skipped = 0;
    loop {
        let buffer = reader.fill_buf()?;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let length = end.map_or(buffer.len(), |end| end + 1);
        let at_end = end.is_some() || buffer.is_empty();
        reader.consume(length);
        skipped += length as u64;
        if at_end {
            return Ok(skipped);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<(usize, Result<String, &'static str>)> {
        let mut lines = Lines::new(Box::new(io::Cursor::new(bytes.to_vec())), None);
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            all.push((
                line.number,
                line.text.map(|text| text.trim_end().to_owned()),
            ));
        }
        assert_eq!(lines.position(), bytes.len() as u64);
        all
    }

    #[test]
    fn blank_lines_count_but_are_not_given() {
        let expected = vec![(1, Ok("a".into())), (3, Ok("b".into()))];
        assert_eq!(lines(b"a\r\n \nb"), expected);
    }

    #[test]
    fn a_byte_order_mark_belongs_to_no_line() {
        assert_eq!(lines("\u{feff}{}\n".as_bytes()), [(1, Ok("{}".into()))]);
    }

    #[test]
    fn a_line_that_cannot_be_read_does_not_stop_the_next() {
        let mut bytes = vec![b'x'; MAX_LINE as usize * 3];
        bytes.extend(b"\n\xff\nok\n");
        assert_eq!(
            lines(&bytes),
            [
                (1, Err("the line is longer than 1 MiB")),
                (2, Err("the line is not UTF-8")),
                (3, Ok("ok".into())),
            ]
        );
    }

    #[test]
    fn a_line_of_exactly_the_limit_is_read() {
        let mut bytes = vec![b'x'; MAX_LINE as usize];
        bytes.push(b'\n');
        let all = lines(&bytes);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].1.as_ref().map(String::len), Ok(MAX_LINE as usize));
    }
}
