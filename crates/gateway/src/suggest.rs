//! What was probably meant, in text that people write by hand.

/// For "unknown field `prots`, expected one of `ports`, ...": a hint with the nearest name.
pub fn suggestion(message: &str) -> Option<String> {
    let mut names = message.split('`').skip(1).step_by(2);
    let given = names.next().filter(|_| message.starts_with("unknown "))?;
    nearest(given, names).map(|name| format!("did you mean `{name}`?"))
}

/// The name at the smallest edit distance, if it is small.
pub fn nearest<'a>(given: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = names
        .map(|name| (strsim::levenshtein(given, name), name))
        .min_by_key(|(cost, _)| *cost)?;
    (near.0 <= 1 + given.len() / 4).then_some(near.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_when_it_is_near() {
        for (message, hint) in [
            (
                "unknown field `prots`, expected one of `ports`, `hosts`",
                Some("did you mean `ports`?"),
            ),
            (
                "unknown variant `rst`, expected one of `rust`, `c`",
                Some("did you mean `rust`?"),
            ),
            (
                "unknown field `zzzzz`, expected one of `ports`, `hosts`",
                None,
            ),
            ("missing field `ports`", None),
            ("", None),
        ] {
            assert_eq!(suggestion(message).as_deref(), hint, "{message}");
        }
    }
}
