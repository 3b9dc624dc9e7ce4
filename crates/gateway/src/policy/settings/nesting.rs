//! How deep and how wide a TOML document may be nested, looked at before it is read.
//!
//! A dotted key makes a table of two bytes of text (`a.a.a = 1`), some hundred times as large in memory.

/// The deepest key: parts with dots between them.
const MAX_DEPTH: usize = 32;

/// The most tables that dotted keys of one document make.
const MAX_TABLES: usize = 1 << 16;

/// Whether the document can be read without more memory than it is worth.
///
/// # Errors
///
/// What is wrong, as a clause. What is no TOML is not noticed: the reader says so.
pub fn check(text: &str) -> Result<(), String> {
    let (mut rest, mut dots, mut tables) = (text, 0, 0);
    while let Some(character) = rest.chars().next() {
        let (skipped, at) = match character {
            '#' => (until(rest, "\n", false), None),
            '"' | '\'' => (string(rest), None),
            _ => (character.len_utf8(), Some(character)),
        };
        match at {
            Some('.') => dots += 1,
            Some('=' | ']') => {
                tables += dots;
                dots = 0;
            }
            Some('\n' | ',' | '[' | '{' | '}') => dots = 0,
            _ => {}
        }
        if dots >= MAX_DEPTH {
            return Err(format!("a key has more than {MAX_DEPTH} parts"));
        }
        if tables > MAX_TABLES {
            return Err(format!("dotted keys make more than {MAX_TABLES} tables"));
        }
        rest = rest.get(skipped..).unwrap_or("");
    }
    Ok(())
}

/// The bytes of the string that a text begins with.
fn string(text: &str) -> usize {
    let (quote, long) = match text.starts_with('"') {
        true => ("\"", "\"\"\""),
        false => ("'", "'''"),
    };
    let escapes = quote == "\"";
    let mark = if text.starts_with(long) { long } else { quote };
    let inside = text.get(mark.len()..).unwrap_or("");
    // A string of one line ends with it, whatever is wrong: what follows is looked at.
    let inside = match inside.split_once('\n') {
        Some((line, _)) if mark == quote => line,
        _ => inside,
    };
    (mark.len() + until(inside, mark, escapes)).min(text.len())
}

/// The bytes up to the end of the mark, or of the text.
fn until(text: &str, mark: &str, escapes: bool) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        if !escaped && text.get(at..).is_some_and(|rest| rest.starts_with(mark)) {
            return at + mark.len();
        }
        escaped = escapes && !escaped && character == '\\';
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_nested_within_bounds() {
        let key = |parts: usize| vec!["a"; parts].join(".");
        let many: String = (0..3000)
            .map(|line| format!("k{line}.{} = 1\n", key(30)))
            .collect();
        for (row, text, good) in [
            ("a deep key", format!("{} = 1", key(32)), true),
            ("a deeper key", format!("{} = 1", key(33)), false),
            ("a table", format!("[{}]", key(33)), false),
            ("a table of many", format!("[[{}]]", key(33)), false),
            (
                "inside a table",
                format!("x = {{ {} = 1 }}", key(33)),
                false,
            ),
            (
                "with blanks",
                format!("{} = 1", key(33).replace('.', " . ")),
                false,
            ),
            (
                "in quotes",
                format!("{} = 1", key(33).replace('a', "\"a.\"")),
                false,
            ),
            (
                "after a string",
                format!("x = \"\\\"#\"\n{} = 1", key(33)),
                false,
            ),
            (
                "after an open string",
                format!("x = \"\n{} = 1", key(33)),
                false,
            ),
            (
                "after a long one",
                format!("x = '''\n'\n'''\n{} = 1", key(33)),
                false,
            ),
            ("a string", format!("x = \"{}\"", key(99)), true),
            ("a literal string", format!("x = '{}'", key(99)), true),
            (
                "a long string",
                format!("x = \"\"\"\n\\\"{}\n\"\"\"", key(99)),
                true,
            ),
            ("a comment", format!("# {}", key(99)), true),
            (
                "figures",
                format!("x = [{}]", vec!["1.5"; 99_999].join(", ")),
                true,
            ),
            ("many tables", many, false),
        ] {
            assert_eq!(check(&text).is_ok(), good, "{row}");
        }
    }
}
