//! What a new project in Python holds.

use super::{Template, template::file};

pub(super) const FILES: &[Template] = &[
    file!(
        "python",
        ".github/workflows/policy.yml",
        "name: partners",
        "partners.wasm"
    ),
    file!("python", ".gitignore", "partners.wasm"),
    file!(
        "python",
        "README.md",
        "# Policy `partners`",
        "partners.wasm"
    ),
    file!("python", "pinfold.py"),
    file!(
        "python",
        "pinfold.toml",
        "name = \"partners\"",
        "partners.wasm"
    ),
    file!("python", "policy.py"),
    file!("python", "requirements.txt"),
    file!("python", "settings.example.toml", "policy `partners`"),
    file!("python", "settings.schema.json", "policy `partners`"),
    file!("python", "tests/addresses.toml"),
    file!("python", "tests/decisions.toml"),
    file!("python", "tests/hours.toml"),
    file!("python", "tests/settings.toml"),
];
