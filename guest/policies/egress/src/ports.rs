//! Sets of ports.

use std::fmt;

use crate::{pattern::is_plain_number, settings::PortEntry};

/// Ports as ranges, both ends included, sorted and apart from one another.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Ports(Box<[(u16, u16)]>);

impl Ports {
    /// Every port but 0.
    pub(crate) fn any() -> Self {
        Self(Box::new([(1, u16::MAX)]))
    }

    /// Reads a list. Entries that are wrong are handed to `refuse` and left out; an empty list is
    /// wrong as a whole. When nothing is left it is read as any port, so that no other rule is blamed.
    pub(crate) fn read(
        entries: &[PortEntry],
        mut refuse: impl FnMut(Option<usize>, String),
    ) -> Self {
        if entries.is_empty() {
            refuse(
                None,
                "an empty list allows no port at all; leave it out to allow any".into(),
            );
        }
        let mut ranges = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            match range(entry) {
                Ok(range) => add(&mut ranges, range),
                Err(problem) => refuse(Some(index), problem),
            }
        }
        if ranges.is_empty() {
            return Self::any();
        }
        Self(ranges.into_boxed_slice())
    }

    pub(crate) fn contains(&self, port: u16) -> bool {
        let at = self.0.partition_point(|(_, last)| *last < port);
        self.0.get(at).is_some_and(|(first, _)| *first <= port)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn is_any(&self) -> bool {
        *self == Self::any()
    }

    /// Those in both.
    pub(crate) fn common(&self, other: &Self) -> Self {
        let mut ranges = Vec::new();
        for (first, last) in &self.0 {
            let start = other.0.partition_point(|range| range.1 < *first);
            let overlapping = other.0.iter().skip(start);
            let overlapping = overlapping.take_while(|range| range.0 <= *last);
            ranges.extend(overlapping.map(|range| (range.0.max(*first), range.1.min(*last))));
        }
        Self(ranges.into())
    }

    /// Every port, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u16> {
        self.0.iter().flat_map(|(first, last)| *first..=*last)
    }

    /// The first port of each range.
    pub(crate) fn starts(&self) -> impl Iterator<Item = u16> {
        self.0.iter().map(|(first, _)| *first)
    }

    /// Every port that is in where the one before it is not, or the other way round.
    pub(crate) fn edges(&self) -> impl Iterator<Item = u16> {
        self.0
            .iter()
            .flat_map(|(first, last)| [Some(*first), last.checked_add(1)])
            .flatten()
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (first, last)) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str(", ")?;
            }
            if first == last {
                write!(f, "{first}")?;
            } else {
                write!(f, "{first}-{last}")?;
            }
        }
        Ok(())
    }
}

fn range(entry: &PortEntry) -> Result<(u16, u16), String> {
    match entry {
        PortEntry::Number(number) => match u16::try_from(*number) {
            Ok(port) if port != 0 => Ok((port, port)),
            _ => Err(format!("{number} is no port: ports are 1 to 65535")),
        },
        PortEntry::Range(text) => parse_range(text),
    }
}

fn parse_range(text: &str) -> Result<(u16, u16), String> {
    let number = |part: &str| {
        part.parse()
            .ok()
            .filter(|port| *port != 0 && is_plain_number(part))
    };
    let parts = text
        .split_once('-')
        .map(|(first, last)| (number(first), number(last)));
    let Some((Some(first), Some(last))) = parts else {
        return Err(format!(
            "`{text}` is no range: write two ports from 1 to 65535, such as `8000-8999`"
        ));
    };
    if first > last {
        return Err(format!("`{text}` is reversed: write `{last}-{first}`"));
    }
    Ok((first, last))
}

/// Adds a range to ranges that are sorted and apart from one another, joining what it touches.
fn add(ranges: &mut Vec<(u16, u16)>, (mut first, mut last): (u16, u16)) {
    let start = ranges.partition_point(|range| range.1.saturating_add(1) < first);
    let end = ranges.partition_point(|range| range.0 <= last.saturating_add(1));
    if let (Some(low), Some(high)) = (ranges.get(start), ranges.get(end.wrapping_sub(1)))
        && start < end
    {
        first = first.min(low.0);
        last = last.max(high.1);
    }
    drop(ranges.splice(start..end, [(first, last)]));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entries: &[PortEntry]) -> (Ports, Vec<String>) {
        let mut problems = Vec::new();
        let ports = Ports::read(entries, |_, problem| problems.push(problem));
        (ports, problems)
    }

    fn text(range: &str) -> PortEntry {
        PortEntry::Range(range.into())
    }

    #[test]
    fn ranges_are_sorted_and_merged() {
        let entries = [
            text("8000-8999"),
            PortEntry::Number(443),
            text("8500-9000"),
            text("444-445"),
        ];
        let (ports, problems) = read(&entries);
        assert_eq!(
            (ports.to_string().as_str(), problems.len()),
            ("443-445, 8000-9000", 0)
        );
        for (port, expected) in [
            (442, false),
            (443, true),
            (445, true),
            (446, false),
            (9000, true),
        ] {
            assert_eq!(ports.contains(port), expected, "{port}");
        }
    }

    #[test]
    fn what_is_no_port_is_refused() {
        let table = [
            (PortEntry::Number(0), "no port"),
            (PortEntry::Number(65_536), "no port"),
            (text("443"), "no range"),
            (text("9-1"), "reversed: write `1-9`"),
            (text("0-9"), "no range"),
            (text("1-65536"), "no range"),
            (text("-9"), "no range"),
            (text("1-+9"), "no range"),
            (text("1-2-3"), "no range"),
            (text(" 1-2"), "no range"),
        ];
        for (entry, part) in table {
            let (_, problems) = read(std::slice::from_ref(&entry));
            assert!(
                problems.len() == 1 && problems[0].contains(part),
                "{entry:?}: {problems:?}"
            );
        }
        assert_eq!(read(&[]).1.len(), 1);
    }

    #[test]
    fn sets_are_compared() {
        let (web, _) = read(&[PortEntry::Number(80), text("443-445")]);
        let (high, _) = read(&[text("444-65535")]);
        assert_eq!(web.common(&Ports::any()), web);
        assert_eq!(Ports::any().common(&web), web);
        assert_eq!(web.common(&high).to_string(), "444-445");
        assert!(high.common(&read(&[text("1-9")]).0).is_empty());
        assert!(read(&[text("2-65535"), PortEntry::Number(1)]).0.is_any() && !high.is_any());
        assert_eq!(web.iter().collect::<Vec<_>>(), [80, 443, 444, 445]);
        assert_eq!(web.starts().collect::<Vec<_>>(), [80, 443]);
        assert_eq!(web.edges().collect::<Vec<_>>(), [80, 81, 443, 446]);
        assert_eq!(high.edges().collect::<Vec<_>>(), [444]);
    }
}
