//! What a new project in Rust holds: the example, and the SDK beside it.

use super::{
    File, Template, lock, named,
    template::{EXAMPLE, file},
    vendor,
};
use crate::fault::Fault;

pub(super) const FILES: &[Template] = &[
    file!(
        "rust",
        ".github/workflows/policy.yml",
        "name: partners",
        "partners.wasm"
    ),
    file!("rust", ".gitignore", "partners.wasm"),
    file!("rust", "Cargo.lock"),
    file!("rust", "Cargo.toml", "name = \"partners\""),
    file!("rust", "README.md", "# Policy `partners`", "partners.wasm"),
    file!(
        "rust",
        "pinfold.toml",
        "name = \"partners\"",
        "partners.wasm"
    ),
    file!("rust", "settings.example.toml", "policy `partners`"),
    file!("rust", "settings.schema.json", "policy `partners`"),
    file!("rust", "src/lib.rs"),
    file!("rust", "tests/addresses.toml"),
    file!("rust", "tests/decisions.toml"),
    file!("rust", "tests/hours.toml"),
    file!("rust", "tests/settings.toml"),
];

/// The files of a policy with this name.
pub(super) fn files(name: &str) -> anyhow::Result<Vec<File>> {
    let mut files = named(FILES, name);
    for file in &mut files {
        match file.path.as_str() {
            "Cargo.toml" => file.content = file.content.replace(SDK_HERE, SDK_THERE),
            "Cargo.lock" => file.content = lock::renamed(&file.content, EXAMPLE, name)?,
            _ => {}
        }
    }
    files.extend(vendor::files());
    Ok(files)
}

/// Refuses a name that a crate cannot have: a word of the language, or a crate that every other one sees.
pub(super) fn check_crate(name: &str) -> Result<(), Fault> {
    if RESERVED.split(' ').all(|reserved| reserved != name) {
        return Ok(());
    }
    let message = format!("`{name}` is no name for a policy in Rust: the language has it");
    Err(Fault::new(
        message,
        format!("use two words, such as `{name}-policy`"),
    ))
}

/// Crates of the toolchain, and keywords, also those that are only reserved.
const RESERVED: &str = "\
    abstract alloc as async await become box break const continue core crate do dyn else enum \
    extern false final fn for gen if impl in let loop macro match mod move mut override priv \
    proc-macro pub ref return self static std struct super test trait true try type typeof union \
    unsafe unsized use virtual where while yield";

/// The example takes the SDK from where it is written; a project brings it along.
const SDK_HERE: &str = "path = \"../../sdk\"";
const SDK_THERE: &str = "path = \"vendor/pinfold-policy\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_is_not_named_like_what_every_crate_sees() {
        for (name, good) in [
            ("core", false),
            ("std", false),
            ("alloc", false),
            ("test", false),
            ("proc-macro", false),
            ("fn", false),
            ("async", false),
            ("core-policy", true),
            ("partners", true),
        ] {
            assert_eq!(check_crate(name).is_ok(), good, "{name}");
        }
    }

    #[test]
    fn a_project_brings_the_sdk_along() {
        let files = files("zebra").unwrap();
        let find = |path: &str| files.iter().find(|file| file.path == path).unwrap();
        let manifest = &find("Cargo.toml").content;
        assert!(manifest.contains("name = \"zebra\"\n"), "{manifest}");
        assert!(
            manifest.contains(SDK_THERE) && !manifest.contains(".."),
            "{manifest}"
        );
        assert!(find("Cargo.lock").content.contains("name = \"zebra\"\n"));
        find("vendor/pinfold-policy/src/lib.rs");
    }
}
