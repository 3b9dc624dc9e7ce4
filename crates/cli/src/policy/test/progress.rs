//! A progress bar on a terminal.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

const STYLE: &str = "{msg} {bar:30} {pos}/{len}  {eta}";

/// Progress through a number of steps; silent unless there is a terminal to show it on.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Shows what is done, as a word.
    pub(super) fn new(doing: &'static str, steps: usize) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::new(steps as u64).with_message(doing);
        if let Ok(style) = ProgressStyle::with_template(STYLE) {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// One step is done.
    pub(super) fn advance(&self) {
        self.0.inc(1);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
