//! What a new project in C holds.

use super::Template;

/// A file of the example.
macro_rules! file {
    ($path:literal $(, $name:literal)*) => {
        Template {
            path: $path,
            content: include_str!(concat!("../../../../../guest/examples/c/", $path)),
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
    file!("pinfold.toml", "name = \"partners\"", "partners.wasm"),
    file!("pinfold/bindings/policy.c"),
    file!("pinfold/bindings/policy.h"),
    file!("pinfold/json.c"),
    file!("pinfold/libc/stdlib.h"),
    file!("pinfold/libc/string.h"),
    file!("pinfold/memory.c"),
    file!("pinfold/pinfold.c"),
    file!("pinfold/pinfold.h"),
    file!("policy.c"),
    file!("settings.example.toml", "policy `partners`"),
    file!("settings.schema.json", "policy `partners`"),
    file!("tests/addresses.toml"),
    file!("tests/decisions.toml"),
    file!("tests/settings.toml"),
];
