//! Where in a JSON text something went wrong: from an offset to a JSON Pointer.
//!
//! The reader knows line and column only. Walking over the text once more, and only when there is an
//! error, costs less code in every component than carrying a path along through all of serde.

use std::ops::Range;

/// A place in a JSON text.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Place {
    /// JSON Pointer (RFC 6901).
    pub(crate) pointer: String,
    /// Where the key of the innermost enclosing member begins; `None` outside of all objects.
    pub(crate) member: Option<usize>,
}

/// An object or array that is open at some offset.
enum Open {
    /// The octets of the current key with its quotes, when it was read.
    Object(Option<Range<usize>>),
    /// The current position.
    Array(usize),
}

/// The offset of a line and column as serde_json counts them: lines from 1, columns in octets.
pub(crate) fn offset(json: &str, line: usize, column: usize) -> usize {
    let before = json.split_inclusive('\n').take(line.saturating_sub(1));
    before.map(str::len).sum::<usize>() + column
}

/// The value that ends at `offset`, or begins there. Text that is no JSON ends the search early.
pub(crate) fn locate(json: &str, offset: usize) -> Place {
    let mut open = Vec::new();
    let mut at = 0;
    while let Some(token) = next_token(json, at).filter(|token| token.start < offset) {
        at = token.end;
        step(&mut open, json, token);
        if at >= offset {
            break;
        }
    }
    Place {
        pointer: pointer(json, &open),
        member: open.iter().rev().find_map(key_start),
    }
}

/// Overwrites a member, given where its key begins, and one comma beside it with spaces.
pub(crate) fn blank_member(json: &mut String, key: usize) {
    let Some(value) = next_token(json, key).and_then(|key| value_after(json, key.end)) else {
        return;
    };
    let before = json
        .get(..key)
        .map_or(0, |text| text.trim_ascii_end().len());
    let after = next_token(json, value.end).filter(|token| json.get(token.clone()) == Some(","));
    let comma_before = before
        .checked_sub(1)
        .filter(|at| json.get(*at..before) == Some(","));
    let range = match (after, comma_before) {
        (Some(comma), _) => key..comma.end,
        (None, Some(comma)) => comma..value.end,
        (None, None) => key..value.end,
    };
    let spaces = " ".repeat(range.len());
    json.replace_range(range, &spaces);
}

/// Follows one token into or out of what is open.
fn step(open: &mut Vec<Open>, json: &str, token: Range<usize>) {
    match (json.as_bytes().get(token.start), open.last_mut()) {
        (Some(b'{'), _) => open.push(Open::Object(None)),
        (Some(b'['), _) => open.push(Open::Array(0)),
        (Some(b'}' | b']'), _) => drop(open.pop()),
        (Some(b','), Some(Open::Object(key))) => *key = None,
        (Some(b','), Some(Open::Array(index))) => *index += 1,
        (Some(b'"'), Some(Open::Object(key @ None))) => *key = Some(token),
        _ => {}
    }
}

fn key_start(open: &Open) -> Option<usize> {
    match open {
        Open::Object(key) => key.as_ref().map(|key| key.start),
        Open::Array(_) => None,
    }
}

fn pointer(json: &str, open: &[Open]) -> String {
    let mut pointer = String::new();
    for each in open {
        let part = match each {
            Open::Object(Some(key)) => escape(&unquote(json.get(key.clone()).unwrap_or_default())),
            Open::Object(None) => continue,
            Open::Array(index) => index.to_string(),
        };
        pointer.push('/');
        pointer.push_str(&part);
    }
    pointer
}

fn unquote(key: &str) -> String {
    serde_json::from_str(key).unwrap_or_default()
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// The value that follows a key.
fn value_after(json: &str, key_end: usize) -> Option<Range<usize>> {
    let colon = next_token(json, key_end)?;
    let first = next_token(json, colon.end)?;
    let (start, mut end, mut depth) = (first.start, first.end, nesting(json, &first));
    while depth > 0 {
        let token = next_token(json, end)?;
        end = token.end;
        depth += nesting(json, &token);
    }
    Some(start..end)
}

fn nesting(json: &str, token: &Range<usize>) -> isize {
    match json.as_bytes().get(token.start) {
        Some(b'{' | b'[') => 1,
        Some(b'}' | b']') => -1,
        _ => 0,
    }
}

/// The next token at or after `at`: a bracket, comma or colon, a string, or a run of anything else.
fn next_token(json: &str, at: usize) -> Option<Range<usize>> {
    let bytes = json.as_bytes();
    let start = at
        + bytes
            .get(at..)?
            .iter()
            .position(|octet| !octet.is_ascii_whitespace())?;
    let rest = bytes.get(start..)?;
    let length = match rest.first()? {
        b'{' | b'}' | b'[' | b']' | b',' | b':' => 1,
        b'"' => string_length(rest)?,
        _ => rest
            .iter()
            .position(|octet| ends_scalar(*octet))
            .unwrap_or(rest.len()),
    };
    Some(start..start + length)
}

fn ends_scalar(octet: u8) -> bool {
    octet.is_ascii_whitespace() || matches!(octet, b'{' | b'}' | b'[' | b']' | b',' | b':' | b'"')
}

/// The length of a string with its quotes.
fn string_length(from_quote: &[u8]) -> Option<usize> {
    let mut escaped = false;
    for (at, octet) in from_quote.iter().enumerate().skip(1) {
        match octet {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_becomes_a_pointer() {
        // `^` marks the offset and is taken out.
        let table = [
            (r#"{ "a": 1^, "b": 2 }"#, "/a"),
            (r#"{ "a": ^{} }"#, "/a"),
            (r#"{ "a":^{} }"#, "/a"),
            (r#"{ "a"^: 1 }"#, "/a"),
            (r#"{ "a": 1, "b"^ : 2 }"#, "/b"),
            (r#"{ "a": 1 }^"#, ""),
            (r#"{ "a": [1, ^[]] }"#, "/a/1"),
            (r#"{ "a": [1,^[]] }"#, "/a/1"),
            (r#"{ "a": [^7] }"#, "/a/0"),
            (r#"{ "a": [{ "b": 1 }^] }"#, "/a/0"),
            (r#"{ "x": "}],:\"", "a": [[], {}, "]"^] }"#, "/a/2"),
            (r#"{ "a/b~c": 1^ }"#, "/a~1b~0c"),
            (r#"{ "\u0061": 1^ }"#, "/a"),
            (r#"[1, 2^]"#, "/1"),
            ("^", ""),
            (r#"{ "unfinished^"#, ""),
            ("]]]^", ""),
        ];
        for (marked, expected) in table {
            let offset = marked.find('^').unwrap();
            assert_eq!(
                locate(&marked.replace('^', ""), offset).pointer,
                expected,
                "{marked}"
            );
        }
    }

    #[test]
    fn lines_and_columns_become_offsets() {
        let json = "{\n  \"ü\": 1,\n  \"b\": x\n}";
        let error = serde_json::from_str::<serde_json::Value>(json).unwrap_err();
        let found = offset(json, error.line(), error.column());
        assert_eq!(locate(json, found).pointer, "/b");
    }

    #[test]
    fn a_member_leaves_a_document_behind() {
        let table = [
            (r#"{ "a": 1 }"#, r#"{}"#),
            (r#"{ "a": 1, "b": 2 }"#, r#"{"b":2}"#),
            (r#"{ "b": 2, "a": [1, {"x": "}"}] }"#, r#"{"b":2}"#),
            (r#"{ "b": 2 ,"a":{}, "c": 3 }"#, r#"{"b":2,"c":3}"#),
        ];
        for (json, expected) in table {
            let mut text = json.to_owned();
            blank_member(&mut text, json.find("\"a\"").unwrap());
            let left: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(left.to_string(), expected, "{json}");
            assert_eq!(text.len(), json.len(), "{json}");
        }
    }
}
