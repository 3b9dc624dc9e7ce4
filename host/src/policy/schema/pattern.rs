//! Patterns of a schema, bounded in what making and matching them costs.

use regex::{Regex, RegexBuilder};

/// Patterns in a schema.
pub(super) const MOST: usize = 64;
/// Octets in a pattern.
const SOURCE: usize = 1 << 10;
/// Sizes of the compiled form that are tried, in octets. It bounds what one octet of text can cost.
const SIZES: [usize; 4] = [1 << 10, 4 << 10, 16 << 10, 64 << 10];
/// Octets of the compiled form that count as one step for each octet of text.
const SIZE_PER_STEP: usize = 512;

/// A regular expression that runs in linear time.
#[derive(Debug)]
pub(super) struct Pattern<'a> {
    pub(super) source: &'a str,
    regex: Regex,
    /// Steps for each octet of text.
    cost: u64,
}

impl<'a> Pattern<'a> {
    /// Compiles a pattern, or says why it cannot be used.
    pub(super) fn new(source: &'a str) -> Result<Self, String> {
        if source.len() > SOURCE {
            return Err(format!("is longer than {SOURCE} octets"));
        }
        let Some(syntax) = syntax(source) else {
            return Err("is written in a way that two readers may take differently".into());
        };
        let mut problem = String::new();
        for size in SIZES {
            match RegexBuilder::new(&syntax).size_limit(size).build() {
                Ok(regex) => {
                    let cost = (size / SIZE_PER_STEP) as u64;
                    return Ok(Self {
                        source,
                        regex,
                        cost,
                    });
                }
                Err(regex::Error::CompiledTooBig(_)) => problem = "is too large".into(),
                Err(error) => problem = format!("is no regular expression: {error}"),
            }
        }
        Err(problem)
    }

    /// What matching this text costs, in steps.
    pub(super) fn cost(&self, text: &str) -> u64 {
        self.cost.saturating_mul(1 + text.len() as u64)
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

/// A pattern of JSON Schema (ECMA-262) in the syntax of the engine. What is written the same way and
/// means something else is rewritten: classes are those of ASCII, which also keeps them small, and
/// within brackets there are no sets. None for what can only be guessed at.
fn syntax(source: &str) -> Option<String> {
    let (mut out, mut class) = (String::new(), false);
    let mut rest = source.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next()? {
                'd' => out.push_str("[0-9]"),
                'D' => out.push_str("[^0-9]"),
                'w' => out.push_str("[0-9A-Za-z_]"),
                'W' => out.push_str("[^0-9A-Za-z_]"),
                other => out.extend(['\\', other]),
            },
            '[' if !class => {
                class = true;
                out.push(c);
                out.extend(rest.next_if_eq(&'^'));
                // An empty class here, a bracket in the class there.
                if rest.peek() == Some(&']') {
                    return None;
                }
            }
            ']' => {
                class = false;
                out.push(c);
            }
            '[' | '&' | '~' => out.extend(['\\', c]),
            '-' if class && rest.peek() == Some(&'-') => return None,
            _ => out.push(c),
        }
    }
    Some(out)
}
