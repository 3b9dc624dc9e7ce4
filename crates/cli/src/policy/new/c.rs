//! What a new project in C holds.

use super::{Template, template::file};

pub(super) const FILES: &[Template] = &[
    file!(
        "c",
        ".github/workflows/policy.yml",
        "name: partners",
        "partners.wasm"
    ),
    file!("c", ".gitignore", "partners.wasm"),
    file!("c", "README.md", "# Policy `partners`", "partners.wasm"),
    file!("c", "pinfold.toml", "name = \"partners\"", "partners.wasm"),
    file!("c", "pinfold/bindings/policy.c"),
    file!("c", "pinfold/bindings/policy.h"),
    file!("c", "pinfold/json.c"),
    file!("c", "pinfold/libc/stdlib.h"),
    file!("c", "pinfold/libc/string.h"),
    file!("c", "pinfold/memory.c"),
    file!("c", "pinfold/pinfold.c"),
    file!("c", "pinfold/pinfold.h"),
    file!("c", "policy.c"),
    file!("c", "settings.example.toml", "policy `partners`"),
    file!("c", "settings.schema.json", "policy `partners`"),
    file!("c", "tests/addresses.toml"),
    file!("c", "tests/decisions.toml"),
    file!("c", "tests/hours.toml"),
    file!("c", "tests/settings.toml"),
];
