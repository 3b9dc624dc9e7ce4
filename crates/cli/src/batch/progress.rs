//! A progress bar on a terminal.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

const STYLE: &str = "{bar:30} {bytes}/{total_bytes}  {eta}";

/// Progress through the bytes of a file; silent unless there is a terminal to show it on.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Shows nothing when the answers go to the same terminal, or when the size is not known.
    pub(crate) fn new(size: Option<u64>) -> Self {
        let Some(size) = size.filter(|_| !std::io::stdout().is_terminal()) else {
            return Self(ProgressBar::hidden());
        };
        let bar = ProgressBar::new(size);
        if let Ok(style) = ProgressStyle::with_template(STYLE) {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// Bytes done so far.
    pub(crate) fn advance(&self, position: u64) {
        self.0.set_position(position);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
