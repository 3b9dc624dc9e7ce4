//! C: clang and the linker of LLVM, without a C library.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;

use super::{
    encode, files,
    tool::{Install, Tool},
};
use crate::{fault::Fault, policy::project::Project};

const CLANG: Tool = Tool {
    program: "clang",
    install: LLVM,
};

/// Clang calls it; asked for on its own, because clang's complaint does not say what to install.
const LINKER: Tool = Tool {
    program: "wasm-ld",
    install: LLVM,
};

const LLVM: Install = Install::Packages {
    apt: "clang lld",
    dnf: "clang lld",
    apk: "clang lld",
    brew: "llvm lld",
};

/// The shadow stack in bytes. It is part of every instance's memory; it lies first, so that an overflow
/// traps instead of overwriting data.
const STACK: u32 = 32 << 10;

/// What a policy is compiled with. The set of instructions is named, so that a newer clang does not
/// choose a larger one. A whole C library would import WASI: `pinfold/` has what is needed of one.
const FLAGS: [&str; 15] = [
    "--target=wasm32-unknown-unknown",
    "-mcpu=mvp",
    "-mbulk-memory",
    "-msign-ext",
    "-std=c11",
    "-O2",
    "-Wall",
    "-Wextra",
    "-Werror=implicit-function-declaration",
    "-ffreestanding",
    "-fno-builtin",
    "-nostdlib",
    "-Ipinfold",
    "-isystempinfold/libc",
    "-Wl,--no-entry,--strip-all,--stack-first",
];

/// Where sources are looked for, in this order: the author's, the support, the bindings.
const FOLDERS: [&str; 3] = ["", "pinfold", "pinfold/bindings"];

/// The most sources of one project.
const MAX_SOURCES: usize = 256;

/// The bytes of the component.
pub(super) fn build(project: &Project) -> anyhow::Result<Vec<u8>> {
    let root = std::path::absolute(&project.root)?;
    LINKER.output(|linker| {
        linker.arg("--version");
    })?;
    let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
    let (about, module) = (
        scratch.path().join("about.c"),
        scratch.path().join("module.wasm"),
    );
    fs::write(&about, about_the_policy(project)?).context("cannot write a temporary file")?;
    let sources = sources(project, &root)?;
    CLANG.run(|clang| {
        clang
            .current_dir(&root)
            .args(FLAGS)
            .arg(format!("-Wl,-zstack-size={STACK}"))
            .args(sources)
            .args([&about, Path::new("-o"), &module].map(Path::as_os_str));
    })?;
    encode::component_of_the_world(files::module(&module)?)
}

/// What the project's other files say, as C: `pinfold.h` declares it.
fn about_the_policy(project: &Project) -> anyhow::Result<String> {
    let schema = files::schema(project)?;
    Ok(format!(
        "const char POLICY_NAME[] = {};\nconst char POLICY_SETTINGS_SCHEMA[] = {};\n",
        literal(&project.name),
        literal(&schema)
    ))
}

/// A string literal of C. Octal escapes, which end after three digits whatever follows.
fn literal(text: &str) -> String {
    let mut literal = String::from("\"");
    for octet in text.bytes() {
        match octet {
            b'\n' => literal.push_str("\\n\"\n\""),
            b'"' | b'\\' | b'?' => literal.extend(['\\', char::from(octet)]),
            b' ' => literal.push(' '),
            _ if octet.is_ascii_graphic() => literal.push(char::from(octet)),
            _ => literal.push_str(&format!("\\{octet:03o}")),
        }
    }
    literal + "\""
}

/// Relative to the project and in the order of their names: neither the folder nor the file system
/// decides what the component looks like. Each begins with `./`, so that none is taken for an option.
fn sources(project: &Project, root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for folder in FOLDERS {
        let shown = root.join(folder);
        let cannot_read = || format!("cannot read the folder `{}`", shown.display());
        let mut found = Vec::new();
        for entry in fs::read_dir(&shown).with_context(cannot_read)? {
            let name = PathBuf::from(entry.with_context(cannot_read)?.file_name());
            if name.extension().is_some_and(|end| end == "c") {
                check_source(project, &shown.join(&name), &name)?;
                found.push(Path::new(".").join(folder).join(name));
            }
        }
        found.sort();
        all.extend(found);
    }
    if all.len() > MAX_SOURCES {
        let message = format!("more than {MAX_SOURCES} files of C");
        return Err(Fault::new(message, "a policy of this size is a mistake").into());
    }
    Ok(all)
}

/// A project's names of files must not tell the compiler what to do, nor let it read what is elsewhere.
fn check_source(project: &Project, file: &Path, name: &Path) -> anyhow::Result<()> {
    let begins = name.to_string_lossy();
    if begins.starts_with(['-', '@']) {
        let message = format!("`{begins}` is no name for a file of C");
        return Err(
            Fault::new(message, "begin it with a letter: `-` and `@` begin options").into(),
        );
    }
    project.check_leads_inside(file)?;
    files::source(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::project::testing;

    #[test]
    fn any_text_is_a_literal() {
        for (row, text, literal_) in [
            ("plain", "a b", r#""a b""#),
            ("quotes", r#"{"a": "\d"}"#, r#""{\"a\": \"\\d\"}""#),
            ("lines", "a\nb", "\"a\\n\"\n\"b\""),
            ("no trigraph", "??=", r#""\?\?=""#),
            ("beyond ASCII", "ü1", r#""\303\2741""#),
            ("control", "\u{1}2", r#""\0012""#),
        ] {
            assert_eq!(literal(text), literal_, "{row}");
        }
    }

    #[test]
    fn sources_are_in_the_order_of_their_names() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("pinfold/bindings")).unwrap();
        for name in [
            "z.c",
            "a.c",
            "a.h",
            "pinfold/b.c",
            "pinfold/bindings/policy.c",
        ] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let expected = ["a.c", "z.c", "pinfold/b.c", "pinfold/bindings/policy.c"];
        let expected = expected.map(|name| Path::new(".").join(name));
        let project = testing::project(dir.path());
        let found = sources(&project, dir.path()).unwrap();
        assert_eq!(found, expected);
        assert!(found.iter().all(|file| file.starts_with(".")), "{found:?}");
    }

    #[cfg(unix)]
    #[test]
    fn no_name_is_an_option_and_no_source_lies_elsewhere() {
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("x.c"), "").unwrap();
        let link = elsewhere.path().join("x.c");
        let folder = || {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir_all(dir.path().join("pinfold/bindings")).unwrap();
            dir
        };
        for (name, said) in [
            ("@args.c", "no name for a file of C"),
            ("-fplugin=x.c", "no name for a file of C"),
            ("folder.c", "is not a regular file"),
            ("link.c", "is not inside the project"),
        ] {
            let dir = folder();
            let file = dir.path().join(name);
            match name {
                "folder.c" => fs::create_dir(&file).unwrap(),
                "link.c" => std::os::unix::fs::symlink(&link, &file).unwrap(),
                _ => fs::write(&file, "").unwrap(),
            }
            let error = sources(&testing::project(dir.path()), dir.path()).unwrap_err();
            assert!(error.to_string().contains(said), "{name}: {error}");
        }
    }
}
