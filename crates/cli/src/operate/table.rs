//! Tables that line up.

use crate::output::{LABEL, Output};

/// Rows under a heading; each column as wide as its widest text.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(heading: &[&str]) -> Self {
        Self {
            rows: vec![heading.iter().map(|&text| text.to_owned()).collect()],
        }
    }

    pub(super) fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Prints it; where there are no rows, says so in these words.
    pub(super) fn print_or(&self, none: &str, out: &mut Output) -> std::io::Result<()> {
        match self.rows.len() {
            1 => out.line(none),
            _ => self.print(out),
        }
    }

    pub(super) fn print(&self, out: &mut Output) -> std::io::Result<()> {
        let widths = self.widths();
        for (number, row) in self.rows.iter().enumerate() {
            let line = line(row, &widths);
            match number {
                0 => out.line(format_args!("{LABEL}{line}{LABEL:#}"))?,
                _ => out.line(line)?,
            }
        }
        Ok(())
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells
                .map(|cell: &String| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        (0..columns).map(width).collect()
    }
}

fn line(row: &[String], widths: &[usize]) -> String {
    let cells = row.iter().zip(widths);
    let cells: Vec<_> = cells
        .map(|(cell, width)| format!("{cell:width$}"))
        .collect();
    cells.join("  ").trim_end().to_owned()
}
