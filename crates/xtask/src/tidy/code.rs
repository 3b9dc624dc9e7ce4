//! A rough reading of Rust source that rustfmt has laid out: enough for the rules, no more.

/// The source with the text of comments, strings and character literals blanked out. Lines stay
/// where they are, so that a line number in the result is one in the source.
pub(crate) fn without_text(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = skipped(rest).unwrap_or(0);
        if length == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            // An identifier is taken whole: the `r` of `bar"` begins no raw string.
            if first.is_alphanumeric() || first == '_' {
                let word = rest
                    .find(|c: char| !c.is_alphanumeric() && c != '_')
                    .unwrap_or(rest.len());
                let prefix = matches!(first, 'b' | 'c' | 'r') && rest[word..].starts_with('"');
                let word = if prefix && word <= 1 { 0 } else { word };
                out.push_str(&rest[..word]);
                rest = &rest[word..];
            }
            continue;
        }
        out.extend(
            rest[..length]
                .chars()
                .map(|c| if c == '\n' { '\n' } else { ' ' }),
        );
        rest = &rest[length..];
    }
    out
}

/// The length of the comment or literal that begins here, if one does.
fn skipped(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment(rest));
    }
    if rest.starts_with('"') {
        return Some(string(rest));
    }
    if let Some(length) = raw_string(rest) {
        return Some(length);
    }
    character(rest)
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    rest.len()
}

/// `r"..."`, `r#"..."#`, with `b` or `c` before it.
fn raw_string(rest: &str) -> Option<usize> {
    let after = rest
        .strip_prefix(['b', 'c'])
        .unwrap_or(rest)
        .strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", &after[..hashes]);
    let start = rest.len() - body.len();
    Some(
        body.find(&end)
            .map_or(rest.len(), |at| start + at + end.len()),
    )
}

/// `'x'` and `'\n'`, and not the lifetime `'x`.
fn character(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix('\'')?;
    if body.starts_with('\\') {
        return body[2..].find('\'').map(|at| at + 4);
    }
    let first = body.chars().next()?;
    body[first.len_utf8()..]
        .starts_with('\'')
        .then_some(first.len_utf8() + 2)
}

/// Lines that hold code, without the test module at the end.
pub(crate) fn code_lines(code: &str) -> usize {
    product(code)
        .lines()
        .filter(|line| !line.trim().is_empty())
        .count()
}

/// The part before the test module.
pub(crate) fn product(code: &str) -> &str {
    let inline = code.find("\n#[cfg(test)]\nmod tests {");
    inline.map_or(code, |at| &code[..at])
}

/// One function: its name, the line it begins at, and how many lines it has.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Function<'a> {
    pub(crate) name: &'a str,
    pub(crate) line: usize,
    pub(crate) length: usize,
}

/// The functions of a formatted file: each ends at the first line that is a brace at its indent.
pub(crate) fn functions(code: &str) -> Vec<Function<'_>> {
    let lines: Vec<&str> = code.lines().collect();
    let begins = lines.iter().enumerate();
    begins
        .filter_map(|(at, line)| function_at(&lines, at, function_name(line)?))
        .collect()
}

fn function_at<'a>(lines: &[&str], at: usize, name: &'a str) -> Option<Function<'a>> {
    let line = lines.get(at)?;
    let indent = &line[..line.len() - line.trim_start().len()];
    let one_line = line.trim_end().ends_with(['}', ';']);
    let end = if one_line {
        at
    } else {
        end_of(lines, at, indent)?
    };
    Some(Function {
        name,
        line: at + 1,
        length: end - at + 1,
    })
}

fn end_of(lines: &[&str], at: usize, indent: &str) -> Option<usize> {
    let body = lines.iter().enumerate().skip(at + 1);
    let mut ends = body.filter(|(_, line)| {
        let rest = line.strip_prefix(indent).unwrap_or("");
        rest.starts_with('}') || (rest.starts_with(')') && rest.trim_end().ends_with(';'))
    });
    ends.next().map(|(end, _)| end)
}

fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let modifiers = [
        "pub",
        "pub(crate)",
        "pub(super)",
        "const",
        "async",
        "unsafe",
        "extern",
    ];
    if !before
        .split_whitespace()
        .all(|word| modifiers.contains(&word))
    {
        return None;
    }
    let end = after.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    (end > 0).then_some(&after[..end])
}

/// An attribute, from `#` to its `]`, with the line it begins at.
pub(crate) fn attributes<'a>(
    code: &'a str,
    name: &'a str,
) -> impl Iterator<Item = (usize, &'a str)> {
    code.match_indices(name).filter_map(move |(at, _)| {
        let start = code[..at].rfind('#')?;
        // Between `#` and the name: `[`, `![`, or a `cfg_attr(` with its condition.
        let lead = &code[start..at];
        let direct = lead == "#[" || lead == "#![";
        let conditional = lead.contains("cfg_attr(") && !lead.contains(']');
        if !direct && !conditional {
            return None;
        }
        let end = code[at..].find(']').map_or(code.len(), |end| at + end + 1);
        Some((code[..at].lines().count().max(1), &code[start..end]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_blanked_and_code_stays() {
        let cases = [
            ("line comment", "a // todo!()\nb", "a \nb"),
            ("nested comment", "a /* x /* y */ z */ b", "a b"),
            ("string", "f(\"// no\") // c", "f( ) "),
            ("escaped quote", r#"f("a\"b") g"#, "f( ) g"),
            ("escaped backslash", r#"f("a\\") g"#, "f( ) g"),
            ("raw string", "f(r#\"a\"b\"#) g", "f( ) g"),
            ("byte raw string", "f(br\"a\\\") g", "f( ) g"),
            ("byte string", "f(b\"ab\") g", "f(b ) g"),
            ("character", "f('\"') g", "f( ) g"),
            ("escaped character", r"f('\'') g", "f( ) g"),
            (
                "lifetime",
                "fn f<'a>(x: &'a str) {}",
                "fn f<'a>(x: &'a str) {}",
            ),
            ("word that ends in r", "for r in bar {}", "for r in bar {}"),
            ("lines stay", "\"a\nb\"\nc", " \n \nc"),
        ];
        for (name, source, expected) in cases {
            assert_eq!(squeeze(&without_text(source)), expected, "{name}");
        }
    }

    fn squeeze(text: &str) -> String {
        let mut chars: Vec<char> = text.chars().collect();
        chars.dedup_by(|a, b| (*a, *b) == (' ', ' '));
        chars.into_iter().collect()
    }

    #[test]
    fn functions_are_measured() {
        let code = "fn one() { 1 }\n\nimpl T {\n    pub(crate) async fn two(\n        a: u8,\n    ) -> u8 {\n        \
                    match a {\n            _ => 1,\n        }\n    }\n}\nlet f = |fn_| 1;\n";
        let found: Vec<_> = functions(code)
            .iter()
            .map(|f| (f.name, f.line, f.length))
            .collect();
        assert_eq!(found, [("one", 1, 1), ("two", 4, 3 + 4)]);
    }

    #[test]
    fn test_modules_are_not_code() {
        let code = "fn f() {}\n\n// c\n#[cfg(test)]\nmod tests {\n    fn g() {}\n}\n";
        assert_eq!(code_lines(&without_text(code)), 1);
    }

    #[test]
    fn attributes_are_found_in_all_their_forms() {
        let code =
            "#![allow(a)]\nx\n#[allow(\n  b\n)]\n#[cfg_attr(test, allow(c))]\nfn allow(d: u8) {}\n";
        let found: Vec<usize> = attributes(code, "allow(").map(|(line, _)| line).collect();
        assert_eq!(found, [1, 3, 6]);
    }
}
