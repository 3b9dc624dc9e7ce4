//! Everything that is wrong with the keys and values of a file, not only the first: what is wrong is told, taken out,
//! and the rest is read again.

use std::ops::Range;

use serde::Deserialize;
use toml::{
    Spanned,
    de::{DeTable, DeValue, Deserializer},
};

use super::{Config, problem::Problem};

/// The configuration, or what is wrong in the order of the file.
pub(super) fn read(document: &Spanned<DeTable<'_>>, text: &str) -> Result<Config, Vec<Problem>> {
    let mut left = document.clone();
    let mut found = Found::default();
    while found.problems.len() < MOST {
        match Config::deserialize(Deserializer::from(left.clone())) {
            Ok(config) if found.problems.is_empty() => return Ok(config),
            Ok(_) => break,
            Err(error) => {
                let taken = error.span().and_then(|span| take(&mut left, &span));
                let more = taken.is_some();
                found.note(&error, text, taken);
                if !more {
                    break;
                }
            }
        }
    }
    found.problems.sort_by_key(Problem::order);
    Err(found.problems)
}

/// What was found so far.
#[derive(Default)]
struct Found {
    problems: Vec<Problem>,
    /// Tables from which something was taken.
    robbed: Vec<Range<usize>>,
}

impl Found {
    /// A table that has lost something is not told what it lacks: it may be that.
    fn note(&mut self, error: &toml::de::Error, text: &str, taken: Option<Taken>) {
        let lacks = error.message().starts_with("missing field");
        let robbed = error.span().is_some_and(|span| self.robbed.contains(&span));
        if !(lacks && robbed) {
            let way = taken
                .as_ref()
                .map(|taken| &taken.way[..])
                .unwrap_or_default();
            let way: Vec<_> = way.iter().map(String::as_str).collect();
            self.problems.push(Problem::of_value(error, text, &way));
        }
        self.robbed.extend(taken.map(|taken| taken.from));
    }
}

/// What was taken out of a document.
struct Taken {
    /// The keys that led to it.
    way: Vec<String>,
    /// Where the table or list is that held it.
    from: Range<usize>,
}

/// Takes out the value at a place, or the one whose key is there. None when nothing is there.
fn take(document: &mut Spanned<DeTable<'_>>, place: &Range<usize>) -> Option<Taken> {
    let from = document.span();
    take_of_table(document.get_mut(), &from, place)
}

fn take_of_table(
    table: &mut DeTable<'_>,
    from: &Range<usize>,
    place: &Range<usize>,
) -> Option<Taken> {
    let here = table
        .iter()
        .find(|(key, value)| key.span() == *place || value.span() == *place)
        .map(|(key, _)| key.get_ref().to_string());
    if let Some(name) = here {
        table.remove(&*name);
        return Some(Taken {
            way: vec![name],
            from: from.clone(),
        });
    }
    table.iter_mut().find_map(|(key, value)| {
        let mut taken = take_of_value(value, place)?;
        taken.way.insert(0, key.get_ref().to_string());
        Some(taken)
    })
}

fn take_of_value(value: &mut Spanned<DeValue<'_>>, place: &Range<usize>) -> Option<Taken> {
    let from = value.span();
    match value.get_mut() {
        DeValue::Table(table) => take_of_table(table, &from, place),
        DeValue::Array(list) => match list.iter().position(|item| item.span() == *place) {
            Some(at) => {
                let left = list.iter().enumerate().filter(|(other, _)| *other != at);
                *list = left.map(|(_, item)| item.clone()).collect();
                let way = Vec::new();
                Some(Taken { way, from })
            }
            None => list.iter_mut().find_map(|item| take_of_value(item, place)),
        },
        _ => None,
    }
}

/// Problems that are told at once; nobody reads more.
const MOST: usize = 50;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn told(text: &str) -> Vec<String> {
        let error = Config::parse(text, Path::new("")).unwrap_err();
        error.problems().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn all_keys_and_values_that_are_wrong_are_told_at_once() {
        let text = "
drian = '5s'
[limits]
conections = 5
rate = 'many'
[tunnels]
idle = 5
[[listener]]
bind = 'localhost:80'
protocols = ['htp', 'http', 'sox']
";
        assert_eq!(
            told(text),
            [
                "line 2, column 1: there is no key `drian` here",
                "line 4, column 1: there is no key `conections` here",
                "line 5, column 8: expected a number, 0 or more, found string \"many\"",
                "line 7, column 8: expected a time such as `\"30s\"`, found integer `5`",
                "line 9, column 8: write `127.0.0.1:4750`, `unix:/run/pinfold/proxy.sock` or `systemd:NAME`",
                "line 10, column 14: `htp` is none of `http`, `socks5`, `envoy`",
                "line 10, column 29: `sox` is none of `http`, `socks5`, `envoy`",
            ]
        );
    }

    #[test]
    fn a_table_that_lost_a_key_is_not_told_that_it_lacks_it() {
        let text = "[[listener]]\n[listener.tls]\ncertificate = 5\nkey = 'a'";
        assert_eq!(
            told(text),
            ["line 3, column 15: expected a path, found integer `5`"]
        );
        let text = "[[listener]]\n[listener.tls]\nkey = 'a'\n[limits]\nrate = -1";
        assert_eq!(
            told(text),
            [
                "line 2, column 1: the key `certificate` is missing",
                "line 5, column 8: expected a number, 0 or more, found integer `-1`",
            ]
        );
    }

    #[test]
    fn one_table_where_there_may_be_several_is_told_how_to_write_them() {
        let error = Config::parse("[listener]\nbind = '127.0.0.1:1'", Path::new("")).unwrap_err();
        let message = "line 1, column 1: expected a list, found a table";
        assert_eq!(error.to_string(), message);
        let hint = "write `[[listener]]`: there may be several";
        assert_eq!(error.hint(), Some(hint));
    }

    #[test]
    fn no_more_is_told_than_anybody_reads() {
        let text: String = (0..1000).map(|number| format!("k{number} = 1\n")).collect();
        assert_eq!(told(&text).len(), MOST);
    }
}
