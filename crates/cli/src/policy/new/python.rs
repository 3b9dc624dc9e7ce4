//! What a new project in Python holds.

use super::Template;

/// A file of the example.
macro_rules! file {
    ($path:literal $(, $name:literal)*) => {
        Template {
            path: $path,
            content: include_str!(concat!("../../../../../guest/examples/python/", $path)),
            names: &[$($name),*],
        }
    };
}

pub(super) const FILES: &[Template] = &[
    file!(
        ".github/workflows/policy.yml",
        "name: partners",
        "partners.wasm"
    ),
    file!(".gitignore", "partners.wasm"),
    file!("README.md", "# Policy `partners`", "partners.wasm"),
    file!("pinfold.py"),
    file!("pinfold.toml", "name = \"partners\"", "partners.wasm"),
    file!("policy.py"),
    file!("requirements.txt"),
    file!("settings.example.toml", "policy `partners`"),
    file!("settings.schema.json", "policy `partners`"),
    file!("tests/addresses.toml"),
    file!("tests/decisions.toml"),
    file!("tests/settings.toml"),
];
