//! A progress bar on a terminal.

use indicatif::{ProgressBar, ProgressStyle};

const STYLE: &str = "{msg:24} {bar:30} {pos}/{len}  {eta}";

/// Shows on standard error how far a step is; silent where that is no terminal.
pub(in crate::policy) struct Progress(ProgressBar);

impl Progress {
    /// A bar for so many pieces of work.
    pub(in crate::policy) fn new(what: &'static str, pieces: usize) -> Self {
        let bar = ProgressBar::new(pieces as u64);
        if let Ok(style) = ProgressStyle::with_template(STYLE) {
            bar.set_style(style);
        }
        bar.set_message(what);
        Self(bar)
    }

    /// Pieces done so far.
    pub(in crate::policy) fn set(&self, done: usize) {
        self.0.set_position(done as u64);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
