//! The one place that writes to standard output and standard error.

use std::{
    fmt,
    io::{self, BufWriter, Write},
};

use anstyle::{AnsiColor, Style};
use pinfold::policy::{LoadError, Problem};

use crate::{
    fault::Fault,
    text::{Printable, is_harmful},
};

/// Marks what was allowed.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// Marks what was denied, and errors.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Marks labels.
pub(crate) const LABEL: Style = AnsiColor::Cyan.on_default();

/// Standard output: buffered, coloured only on a terminal, and silent once the reader has gone.
#[derive(Debug)]
pub(crate) struct Output {
    stdout: BufWriter<anstream::Stdout>,
    closed: bool,
}

impl Output {
    /// Standard output.
    pub(crate) fn new() -> Self {
        Self {
            stdout: BufWriter::new(anstream::stdout()),
            closed: false,
        }
    }

    /// Writes one line. A reader that has gone (`| head`) is no error: the rest is dropped.
    pub(crate) fn line(&mut self, line: impl fmt::Display) -> io::Result<()> {
        self.write(|stdout| writeln!(stdout, "{line}"))
    }

    /// Writes text as it is.
    pub(crate) fn text(&mut self, text: &[u8]) -> io::Result<()> {
        self.write(|stdout| stdout.write_all(text))
    }

    /// Writes a value as one line of JSON.
    pub(crate) fn json(&mut self, value: &impl serde::Serialize) -> anyhow::Result<()> {
        let text = serde_json::to_string(value)?;
        Ok(self.line(printable(text))?)
    }

    /// Writes a value as indented JSON.
    pub(crate) fn json_pretty(&mut self, value: &impl serde::Serialize) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(value)?;
        Ok(self.line(printable(text))?)
    }

    /// Hands everything over.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.write(BufWriter::flush)
    }

    /// Whether the reader has gone, so that nothing more needs to be made.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    fn write(
        &mut self,
        write: impl FnOnce(&mut BufWriter<anstream::Stdout>) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.closed {
            return Ok(());
        }
        match write(&mut self.stdout) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            result => result,
        }
    }
}

/// JSON in which what a terminal would obey is escaped: JSON itself asks for that up to U+001F only, and
/// people look at it, too. A line feed is never inside a string.
fn printable(json: String) -> String {
    let is_inert = |character| character == '\n' || !is_harmful(character);
    if json.chars().all(is_inert) {
        return json;
    }
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if is_inert(character) {
            escaped.push(character);
        } else {
            escaped.push_str(&format!("\\u{:04x}", u32::from(character)));
        }
    }
    escaped
}

/// Writes a line to standard error. When even that fails there is nobody left to tell.
pub(crate) fn note(line: impl fmt::Display) {
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// Writes a hint to standard error, after a blank line.
pub(crate) fn hint(hint: impl fmt::Display) {
    note(format_args!("\n{LABEL}hint{LABEL:#}: {hint}"));
}

/// Writes an error with its causes, each problem of the settings, and a hint to standard error.
pub(crate) fn report(error: &anyhow::Error) {
    let text = match error.downcast_ref::<LoadError>() {
        Some(_) => one_line(&error.to_string()),
        None => error.to_string(),
    };
    note(format_args!("{BAD}error{BAD:#}: {}", Printable(&text)));
    for cause in error.chain().skip(1) {
        match cause.downcast_ref() {
            Some(LoadError::Settings(problems)) => problems.iter().for_each(tell_problem),
            Some(load) => tell_cause(&one_line(&load.to_string())),
            _ => tell_cause(&cause.to_string()),
        }
    }
    // A fault that wraps what a policy was refused for knows more of what the person wanted.
    if let Some(fault) = error.downcast_ref::<Fault>() {
        hint(Printable(fault.hint()));
    } else if let Some(load) = error.downcast_ref::<LoadError>() {
        hint(load.hint());
    }
}

/// What a reader of components says may be laid out over many lines.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A cause may have several lines: a parser shows the place.
fn tell_cause(cause: &str) {
    for (number, line) in cause.trim_end().lines().enumerate() {
        let label = if number == 0 {
            "caused by:"
        } else {
            "          "
        };
        note(format_args!("  {label} {}", Printable(line)));
    }
}

fn tell_problem(problem: &Problem) {
    note(format_args!("  {}", Printable(&problem.to_string())));
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn json_cannot_drive_the_terminal() {
        let value = json!({"url": "a\u{9b}2J\u{7f}\u{202e}\u{1b}\n", "plain": "\u{e4}\u{1f600}"});
        let text = printable(serde_json::to_string_pretty(&value).unwrap());
        assert!(
            text.chars()
                .all(|character| character == '\n' || !is_harmful(character))
        );
        assert!(text.contains("a\\u009b2J\\u007f\\u202e"), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
