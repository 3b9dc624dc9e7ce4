//! Text that a terminal can show, and do nothing else with: a server must not drive the terminal.

use crate::text::is_harmful;

/// Judges a text that comes in pieces, which may cut a character.
#[derive(Debug, Default)]
pub(super) struct Plain {
    /// The beginning of a character: at most three bytes.
    cut: Vec<u8>,
}

/// The text holds what a terminal may obey, or is not UTF-8.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct NotPlain;

impl Plain {
    /// The text up to here that has not been given before.
    pub(super) fn take(&mut self, piece: &[u8]) -> Result<String, NotPlain> {
        let mut bytes = std::mem::take(&mut self.cut);
        bytes.extend_from_slice(piece);
        if let Err(error) = std::str::from_utf8(&bytes) {
            match error.error_len() {
                None => self.cut = bytes.split_off(error.valid_up_to()),
                Some(_) => return Err(NotPlain),
            }
        }
        let text = String::from_utf8(bytes).map_err(|_| NotPlain)?;
        let is_layout = |character| matches!(character, '\t' | '\n' | '\r');
        match text.chars().all(|c| is_layout(c) || !is_harmful(c)) {
            true => Ok(text),
            false => Err(NotPlain),
        }
    }

    /// Whether the rest of a character is still to come.
    pub(super) fn is_cut(&self) -> bool {
        !self.cut.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(pieces: &[&[u8]]) -> Result<String, NotPlain> {
        let mut plain = Plain::default();
        let texts = pieces.iter().map(|piece| plain.take(piece));
        let text = texts.collect::<Result<String, _>>()?;
        if plain.is_cut() {
            Err(NotPlain)
        } else {
            Ok(text)
        }
    }

    #[test]
    fn a_terminal_gets_text_only() {
        for (row, pieces, text) in [
            (
                "text",
                &[&b"<p>\tx\r\n</p>"[..]][..],
                Some("<p>\tx\r\n</p>"),
            ),
            (
                "utf-8",
                &["\u{e4}\u{65e5}".as_bytes()],
                Some("\u{e4}\u{65e5}"),
            ),
            ("cut in two", &[b"a\xe6\x97", b"\xa5b"], Some("a\u{65e5}b")),
            (
                "cut in three",
                &[b"\xe6", b"\x97", b"\xa5"],
                Some("\u{65e5}"),
            ),
            ("nul", &[b"a\0b"], None),
            ("escape", &[b"a\x1b[2J"], None),
            ("delete", &[b"\x7f"], None),
            ("C1 control", &[b"a\xc2\x9b2J"], None),
            ("C1 control, cut", &[b"a\xc2", b"\x9b2J"], None),
            ("C1 control, raw", &[b"a\x9b2J"], None),
            ("right-to-left override", &["a\u{202e}b".as_bytes()], None),
            ("invalid", &[b"\xff"], None),
            ("invalid, cut", &[b"\xe6", b"a"], None),
            ("ends in a character", &[b"a\xe6\x97"], None),
        ] {
            assert_eq!(shown(pieces).ok().as_deref(), text, "{row}");
        }
    }
}
