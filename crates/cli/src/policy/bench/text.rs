//! Figures as people read them, in columns.

use std::fmt;

/// A time in the unit that suits it: `840 ns`, `3.1 µs`, `212.0 ms`, `4.20 s`.
pub(in crate::policy) fn duration(nanoseconds: u64) -> String {
    let n = nanoseconds as f64;
    match nanoseconds {
        0..1_000 => format!("{nanoseconds} ns"),
        1_000..1_000_000 => format!("{:.1} µs", n / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", n / 1e6),
        _ => format!("{:.2} s", n / 1e9),
    }
}

/// Bytes as KiB, rounded up: what does not fit must not look as if it did.
pub(in crate::policy) fn kib(bytes: u64) -> String {
    format!("{} KiB", grouped(bytes.div_ceil(1024)))
}

/// A number with its digits in groups of three: `1,234,567`.
pub(in crate::policy) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How much more or less than before: `+120 (+4.0 %)`.
pub(in crate::policy) fn change(old: u64, new: u64) -> String {
    let sign = if new >= old { '+' } else { '-' };
    let by = new.abs_diff(old);
    match old {
        0 => format!("{sign}{}", grouped(by)),
        _ => {
            let percent = by as f64 * 100.0 / old as f64;
            format!("{sign}{} ({sign}{percent:.1} %)", grouped(by))
        }
    }
}

/// A part of a whole as a bar, `WIDTH` wide when it is all of it.
pub(in crate::policy) fn bar(part: u64, whole: u64) -> String {
    let share = part.min(whole) as f64 / whole.max(1) as f64;
    let eighths = (share * (WIDTH * 8) as f64).round() as usize;
    let rest = EIGHTHS.get(eighths % 8).copied().unwrap_or("");
    format!("{}{rest}", "█".repeat(eighths / 8))
}

const WIDTH: usize = 24;
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// Rows in aligned columns: the first to the left, the others to the right.
#[derive(Debug, Default)]
pub(in crate::policy) struct Table(Vec<Vec<String>>);

impl Table {
    /// Adds a row.
    pub(in crate::policy) fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.0.push(cells.into_iter().map(Into::into).collect());
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column| {
            let cells = self
                .0
                .iter()
                .filter_map(|row: &Vec<String>| row.get(column));
            cells
                .map(|cell: &String| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        (0..columns).map(width).collect()
    }

    /// The rows as lines, without trailing spaces.
    pub(in crate::policy) fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let widths = self.widths();
        self.0.iter().map(move |row| {
            let cells = row.iter().zip(&widths).enumerate();
            let cells = cells.map(|(column, (cell, width))| match column {
                0 => format!("{cell:width$}"),
                _ => format!("{cell:>width$}"),
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines().try_for_each(|line| writeln!(f, "{line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_in_their_unit() {
        for (nanoseconds, written) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (3_140, "3.1 µs"),
            (212_000_000, "212.0 ms"),
            (4_200_000_000, "4.20 s"),
        ] {
            assert_eq!(duration(nanoseconds), written);
        }
        for (bytes, written) in [
            (0, "0 KiB"),
            (1, "1 KiB"),
            (1025, "2 KiB"),
            (4 << 20, "4,096 KiB"),
        ] {
            assert_eq!(kib(bytes), written);
        }
        for (number, written) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), written);
        }
    }

    #[test]
    fn a_change_is_written_with_its_sign() {
        for (old, new, written) in [
            (100, 104, "+4 (+4.0 %)"),
            (2_000, 1_000, "-1,000 (-50.0 %)"),
            (0, 5, "+5"),
            (5, 5, "+0 (+0.0 %)"),
        ] {
            assert_eq!(change(old, new), written);
        }
    }

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        for (part, whole, length) in [
            (0, 10, 0),
            (10, 10, WIDTH),
            (5, 10, WIDTH / 2),
            (20, 10, WIDTH),
            (1, 0, 0),
        ] {
            assert_eq!(
                bar(part, whole).chars().count(),
                length,
                "{part} of {whole}"
            );
        }
        assert_eq!(bar(1, 1_000), "");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::default();
        table.row(["", "median", "p99"]);
        table.row(["target", "3.1 µs", "12.0 µs"]);
        table.row(["load"]);
        assert_eq!(
            table.to_string(),
            "        median      p99\ntarget  3.1 µs  12.0 µs\nload\n"
        );
    }
}
