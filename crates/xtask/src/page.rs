//! Documents of which a part is measured, and the rest is written by hand.

use std::fs;

use anyhow::{Context, Result};

use crate::shell;

/// Replaces the part between the marks of `task`, and says so.
pub(crate) fn rewrite(path: &str, task: &str, measured: &str) -> Result<()> {
    let file = shell::root().join(path);
    let page = fs::read_to_string(&file).with_context(|| format!("cannot read {path}"))?;
    let page = replaced(&page, task, measured)
        .with_context(|| format!("{path} lacks `{}` or `{END}`", begin(task)))?;
    fs::write(&file, page).with_context(|| format!("cannot write {path}"))?;
    println!("wrote {path}");
    Ok(())
}

fn replaced(page: &str, task: &str, measured: &str) -> Option<String> {
    let begin = begin(task);
    let (head, rest) = page.split_once(&begin)?;
    let (_, foot) = rest.split_once(END)?;
    Some(format!("{head}{begin}\n{measured}{END}{foot}"))
}

fn begin(task: &str) -> String {
    format!("<!-- measured: begin, by `cargo xtask {task}` -->")
}

/// A number with its digits in groups of three.
pub(crate) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A table of Markdown that lines up as text too: the first column to the left, figures to the right.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut lines: Vec<String> = rows.iter().map(|row| line(row, &widths)).collect();
    lines.insert(1.min(lines.len()), rule(&widths));
    lines.concat()
}

fn line(row: &[String], widths: &[usize]) -> String {
    let cells = widths.iter().enumerate().map(|(column, width)| {
        let cell = row.get(column).map_or("", String::as_str);
        match column {
            0 => format!(" {cell:<width$} |"),
            _ => format!(" {cell:>width$} |"),
        }
    });
    format!("|{}\n", cells.collect::<String>())
}

fn rule(widths: &[usize]) -> String {
    let cells = widths.iter().enumerate().map(|(column, width)| {
        let end = if column == 0 { '-' } else { ':' };
        format!("{}{end}|", "-".repeat(width + 1))
    });
    format!("|{}\n", cells.collect::<String>())
}

const END: &str = "<!-- measured: end -->";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_around_the_marks_stays() {
        let begin = begin("languages");
        let page = format!("# Head\n\n{begin}\nold\n{END}\n\nfoot\n");
        let page = replaced(&page, "languages", "new\n").unwrap();
        assert_eq!(page, format!("# Head\n\n{begin}\nnew\n{END}\n\nfoot\n"));
        assert_eq!(replaced("# Head\n", "languages", "new\n"), None);
        assert_eq!(
            replaced(&page, "load", "new\n"),
            None,
            "the marks of another"
        );
    }

    #[test]
    fn a_table_lines_up() {
        let rows = [["who", "time"], ["a relay", "9.0 µs"], ["b", "-"]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        let expected = "\
| who     |   time |
|---------|-------:|
| a relay | 9.0 µs |
| b       |      - |
";
        assert_eq!(table(&rows), expected);
        assert_eq!(table(&[]), "|\n");
    }

    #[test]
    fn digits_are_grouped() {
        for (number, written) in [(7.0, "7"), (999.6, "1,000"), (1_234_567.0, "1,234,567")] {
            assert_eq!(grouped(number), written);
        }
    }
}
