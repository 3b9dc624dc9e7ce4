//! What the demonstration says: sections, short lines, colours on a terminal only.

use std::{fmt::Display, io::IsTerminal};

use anyhow::{Result, ensure};

/// A section begins.
pub(crate) fn act(title: &str) {
    println!("\n{}", paint(Colour::Bold, title));
}

/// One line of the story.
pub(crate) fn line(text: impl Display) {
    println!("  {text}");
}

/// A command as a reader would type it.
pub(crate) fn command(text: impl Display) {
    println!("  {} {text}", paint(Colour::Dim, "$"));
}

/// What a program printed, line by line.
pub(crate) fn printed(text: &str) {
    for line in text.lines().filter(|line| !line.is_empty()) {
        println!("  {} {line}", paint(Colour::Dim, "|"));
    }
}

/// Asserts that something happened, and says that it did.
pub(crate) fn happened(condition: bool, what: impl Display) -> Result<()> {
    ensure!(condition, "this did not happen: {what}");
    println!("  {} {what}", paint(Colour::Green, "ok"));
    Ok(())
}

/// Asserts that the attack of the first act worked: bad news that the demonstration needs.
pub(crate) fn breached(condition: bool, what: impl Display) -> Result<()> {
    ensure!(condition, "this did not happen: {what}");
    println!("  {} {what}", paint(Colour::Red, "!!"));
    Ok(())
}

#[derive(Clone, Copy)]
enum Colour {
    Bold,
    Dim,
    Green,
    Red,
}

fn paint(colour: Colour, text: &str) -> String {
    if !std::io::stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some() {
        return text.to_owned();
    }
    let code = match colour {
        Colour::Bold => "1",
        Colour::Dim => "2",
        Colour::Green => "32",
        Colour::Red => "31",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}
