//! What a new project in JavaScript holds.

use super::Template;

/// A file of the example.
macro_rules! file {
    ($path:literal $(, $name:literal)*) => {
        Template {
            path: $path,
            content: include_str!(concat!("../../../../../guest/examples/javascript/", $path)),
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
    file!("package-lock.json", "\"name\": \"partners\""),
    file!("package.json", "\"name\": \"partners\""),
    file!("pinfold.js"),
    file!("pinfold.toml", "name = \"partners\"", "partners.wasm"),
    file!("policy.js"),
    file!("settings.example.toml", "policy `partners`"),
    file!("settings.schema.json", "policy `partners`"),
    file!("tests/addresses.toml"),
    file!("tests/decisions.toml"),
    file!("tests/settings.toml"),
];
