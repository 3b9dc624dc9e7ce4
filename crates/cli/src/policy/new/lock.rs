//! `Cargo.lock` under another name.

use crate::fault::Fault;

/// The lock file of the example, with the package renamed. Cargo sorts it by name, and with `--locked`
/// refuses one that is sorted otherwise.
pub(super) fn renamed(lock: &str, from: &str, to: &str) -> Result<String, Fault> {
    let mut parts = lock.split(PACKAGE);
    let head = parts.next().unwrap_or_default();
    let mut packages: Vec<String> = parts.map(|part| part.trim_end().to_owned()).collect();
    let title = |name: &str| format!("name = \"{name}\"\n");
    if from != to
        && packages
            .iter()
            .any(|package| package.starts_with(&title(to)))
    {
        return Err(Fault::new(
            format!("`{to}` is the name of a crate that the policy depends on"),
            "name the policy otherwise",
        ));
    }
    for package in &mut packages {
        if let Some(rest) = package.strip_prefix(&title(from)) {
            *package = title(to) + rest;
        }
    }
    packages.sort_by(|a, b| name(a).cmp(name(b)));
    let packages: Vec<String> = packages
        .iter()
        .map(|each| format!("{PACKAGE}{each}\n"))
        .collect();
    Ok(head.to_owned() + &packages.join("\n"))
}

/// `memchr` before `memchr-x`, as cargo has it: what stands in quotes, not the line.
fn name(package: &str) -> &str {
    package.split('"').nth(1).unwrap_or_default()
}

const PACKAGE: &str = "[[package]]\n";

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = "# head\nversion = 4\n\n[[package]]\nname = \"itoa\"\nversion = \"1.0.0\"\n\n\
        [[package]]\nname = \"partners\"\nversion = \"1.0.0\"\ndependencies = [\n \"itoa\",\n]\n\n\
        [[package]]\nname = \"serde\"\nversion = \"1.0.0\"\n";

    #[test]
    fn a_renamed_package_stands_where_its_name_belongs() {
        assert_eq!(renamed(LOCK, "partners", "partners").unwrap(), LOCK);
        for (name, order) in [
            ("a", ["a", "itoa", "serde"]),
            ("itoa-x", ["itoa", "itoa-x", "serde"]),
            ("zebra", ["itoa", "serde", "zebra"]),
        ] {
            let lock = renamed(LOCK, "partners", name).unwrap();
            let names: Vec<_> = lock.split(PACKAGE).skip(1).map(super::name).collect();
            assert_eq!(names, order, "{name}");
            assert!(
                lock.starts_with("# head\nversion = 4\n\n[[package]]\n") && lock.ends_with("\n")
            );
            assert!(!lock.ends_with("\n\n"), "{name}");
        }
    }

    #[test]
    fn a_policy_is_not_named_like_what_it_depends_on() {
        assert!(renamed(LOCK, "partners", "serde").is_err());
    }
}
