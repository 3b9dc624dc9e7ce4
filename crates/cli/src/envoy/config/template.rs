//! Pieces of YAML with places to fill, `@name@`.
//!
//! A place that is alone on its line takes a block: each line of it is indented like the place, and no line is left where
//! the block is empty. Other places take a value. What was filled in is never looked at for places again.

/// Fills the places of a piece.
pub(super) fn fill(piece: &str, places: &[(&str, &str)]) -> String {
    let mut text = String::with_capacity(piece.len());
    for line in piece.lines() {
        let place = line.trim_start();
        let indent = line.strip_suffix(place).unwrap_or_default();
        match places.iter().find(|(name, _)| is_place(place, name)) {
            Some((_, block)) => block.lines().for_each(|line| {
                add(&mut text, indent, line);
            }),
            None => add(&mut text, "", &fill_line(line, places)),
        }
    }
    text
}

fn add(text: &mut String, indent: &str, line: &str) {
    if !line.is_empty() {
        text.push_str(indent);
        text.push_str(line);
    }
    text.push('\n');
}

fn is_place(text: &str, name: &str) -> bool {
    let inner = text
        .strip_prefix('@')
        .and_then(|text| text.strip_suffix('@'));
    inner == Some(name)
}

fn fill_line(line: &str, places: &[(&str, &str)]) -> String {
    let (mut filled, mut rest) = (String::with_capacity(line.len()), line);
    while let Some((before, after)) = rest.split_once('@') {
        filled.push_str(before);
        let found = places.iter().find_map(|(name, value)| {
            let after = after.strip_prefix(name)?.strip_prefix('@')?;
            Some((value, after))
        });
        match found {
            Some((value, after)) => {
                filled.push_str(value);
                rest = after;
            }
            None => {
                filled.push('@');
                rest = after;
            }
        }
    }
    filled.push_str(rest);
    filled
}

/// Text as a YAML scalar: JSON's quotes are YAML's.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_once() {
        let rows = [
            ("a value", "a: @x@ @y@", "a: 1 @x@\n"),
            ("a block", "a:\n  @b@", "a:\n  - 1\n\n  - 2\n"),
            ("no block", "a:\n  @none@\nb:", "a:\nb:\n"),
            ("no place", "\"@type\": a@b @z@", "\"@type\": a@b @z@\n"),
        ];
        let places = [
            ("x", "1"),
            ("y", "@x@"),
            ("b", "- 1\n\n- 2\n"),
            ("none", ""),
        ];
        for (row, piece, filled) in rows {
            assert_eq!(fill(piece, &places), filled, "{row}");
        }
    }

    #[test]
    fn text_is_quoted() {
        assert_eq!(quoted("/a \"b\"\\: #\n"), r#""/a \"b\"\\: #\n""#);
    }
}
