//! Names in settings: one name, or all names below it.

/// Whether a name is what the pattern means: `*.example.com` is every name below `example.com`, any other
/// pattern is that name alone. Both are written as hosts are: lower case, no trailing dot.
///
/// A pattern is covered by another one when it matches as a name: `*.a.example.com` by `*.example.com`.
///
/// ```
/// use pinfold_policy::name_matches;
///
/// assert!(name_matches("*.example.com", "www.example.com"));
/// assert!(!name_matches("*.example.com", "example.com"));
/// assert!(name_matches("*.example.com", "*.a.example.com"));
/// ```
pub fn name_matches(pattern: &str, name: &str) -> bool {
    // A star that stands for more than labels (`*example.com`, `*`) means nothing, rather than too much.
    match pattern.strip_prefix('*').filter(|end| end.starts_with('.')) {
        Some(end) => name.len() > end.len() && name.ends_with(end),
        None => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_labels() {
        for (pattern, name, matches) in [
            ("example.com", "example.com", true),
            ("example.com", "www.example.com", false),
            ("*.example.com", "www.example.com", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", ".example.com", false),
            ("*.example.com", "evilexample.com", false),
            ("*example.com", "evilexample.com", false),
            ("*", "example.com", false),
            ("", "example.com", false),
            ("*.example.com", "*.example.com", true),
            ("*.example.com", "*.a.example.com", true),
            ("a.example.com", "*.example.com", false),
        ] {
            assert_eq!(name_matches(pattern, name), matches, "{pattern} {name}");
        }
    }
}
