//! What a new project in JavaScript holds.

use super::{Template, template::file};

pub(super) const FILES: &[Template] = &[
    file!(
        "javascript",
        ".github/workflows/policy.yml",
        "name: partners",
        "partners.wasm"
    ),
    file!("javascript", ".gitignore", "partners.wasm"),
    file!(
        "javascript",
        "README.md",
        "# Policy `partners`",
        "partners.wasm"
    ),
    file!("javascript", "package-lock.json", "\"name\": \"partners\""),
    file!("javascript", "package.json", "\"name\": \"partners\""),
    file!("javascript", "pinfold.js"),
    file!(
        "javascript",
        "pinfold.toml",
        "name = \"partners\"",
        "partners.wasm"
    ),
    file!("javascript", "policy.js"),
    file!("javascript", "settings.example.toml", "policy `partners`"),
    file!("javascript", "settings.schema.json", "policy `partners`"),
    file!("javascript", "tests/addresses.toml"),
    file!("javascript", "tests/decisions.toml"),
    file!("javascript", "tests/hours.toml"),
    file!("javascript", "tests/settings.toml"),
];
