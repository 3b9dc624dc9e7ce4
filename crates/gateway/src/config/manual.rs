//! What is generated from the schema: the reference of the manual, and a file with every default.

use std::fmt::Write;

use serde_json::Value;

use super::schema::{Entry, Kind, Table, kinds, schema, tables};

/// The reference of all keys, in Markdown.
pub fn reference() -> String {
    let schema = schema();
    let mut text = String::from(INTRODUCTION);
    for table in tables(&schema) {
        describe(&table, &mut text);
    }
    text.push_str("\n## Kinds of values\n\n| kind | values |\n|---|---|\n");
    for kind in kinds(&schema) {
        row(&kind, &mut text);
    }
    text.push_str(CREDENTIALS);
    text
}

/// A file that says what is so without a file, every key with its meaning.
pub fn defaults() -> String {
    let mut text = String::from(HEAD);
    for table in tables(&schema()) {
        write_table(&table, &mut text);
    }
    text
}

// Writing to a string does not fail.
fn describe(table: &Table, text: &mut String) {
    if table.keys.is_empty() {
        return;
    }
    let heading = match table.name.as_str() {
        "" => "Top of the file".into(),
        _ => format!("`{}`", header(table)),
    };
    let about = match table.name.as_str() {
        "" => "",
        _ => &table.about,
    };
    let _ = write!(text, "\n## {heading}\n\n");
    if !about.is_empty() {
        let _ = write!(text, "{about}\n\n");
    }
    text.push_str("| key | value | meaning |\n|---|---|---|\n");
    for Entry {
        name, kind, about, ..
    } in &table.keys
    {
        let kind = linked(kind);
        let _ = writeln!(
            text,
            "| `{name}` | {kind} | {} |",
            about.replace('|', "\\|")
        );
    }
}

/// A kind that is explained below is a link.
fn linked(kind: &str) -> String {
    let (before, name) = kind.rsplit_once(' ').unwrap_or(("", kind));
    let named = name.starts_with(|first: char| first.is_ascii_uppercase());
    match (named, before) {
        (false, _) => kind.into(),
        (true, "") => format!("[{name}](#kinds-of-values)"),
        (true, before) => format!("{before} [{name}](#kinds-of-values)"),
    }
}

fn row(kind: &Kind, text: &mut String) {
    let words: Vec<_> = kind
        .words
        .iter()
        .map(|(word, about)| format!("`{word}`: {about}"))
        .collect();
    let about = match words.is_empty() {
        true => kind.about.clone(),
        false => words.join(" "),
    };
    let _ = writeln!(text, "| {} | {} |", kind.name, about.replace('|', "\\|"));
}

fn write_table(table: &Table, text: &mut String) {
    if table.keys.is_empty() {
        return;
    }
    let out = if table.given { "" } else { "# " };
    if !table.name.is_empty() {
        text.push('\n');
        comment(&table.about, text);
        let _ = writeln!(text, "{out}{}", header(table));
    }
    for entry in &table.keys {
        let Entry { name, about, .. } = entry;
        comment(about, text);
        let _ = match (&entry.default, entry.required) {
            (Some(default), _) => writeln!(text, "{out}{name} = {}", toml(default)),
            (None, true) => writeln!(text, "# {name} = ...   (required)"),
            (None, false) => writeln!(text, "# {name} = ...   (not set)"),
        };
    }
}

fn header(table: &Table) -> String {
    match table.repeated {
        true => format!("[[{}]]", table.name),
        false => format!("[{}]", table.name),
    }
}

/// Lines of at most 100 characters.
fn comment(about: &str, text: &mut String) {
    let mut line = String::new();
    for word in about.split(' ') {
        if line.len() + word.len() > 100 {
            let _ = writeln!(text, "#{line}");
            line.clear();
        }
        let _ = write!(line, " {word}");
    }
    let _ = writeln!(text, "#{line}");
}

/// A value of JSON in TOML.
fn toml(value: &Value) -> String {
    match value {
        Value::Array(values) => {
            let values: Vec<_> = values.iter().map(toml).collect();
            format!("[{}]", values.join(", "))
        }
        // The only tables among the defaults are empty.
        Value::Object(_) => "{}".into(),
        // Strings, numbers and words are written alike in both.
        other => other.to_string(),
    }
}

const HEAD: &str = "\
# The configuration of a Pinfold gateway, with the default of every key: what is so without a file.
# Keep what you change. What begins with `#` is not set: a key that is off unless it is written, `(required)` where
# its table is of no use without.
";

const INTRODUCTION: &str = "\
# Configuration of the gateway

<!-- Generated from the types in crates/gateway/src/config. To change it: change them, then run
     `UPDATE=1 cargo nextest run -p pinfold-gateway manual`. -->

`pinfold serve CONFIG.toml` reads one file of TOML, of at most 1 MiB. Every key can be left out: without a file the
gateway is a proxy on loopback with the shipped policy. The file is strict: a key that does not exist, a value of
another kind, and keys that contradict each other are errors, with their line. All keys and values that are wrong are
said at once; once there are none, all contradictions.

- Paths are relative to the folder of the file.
- `pinfold serve --check CONFIG.toml` reads it, and everything it names, and starts nothing. Folders that a service
  manager makes before a start, of Unix sockets, the cache and the log, may be missing: it warns.
- `pinfold serve --print-defaults` writes a file with every default; `--print-schema` writes the JSON Schema
  ([gateway.schema.json](gateway.schema.json)), which editors check and complete with.
- After `SIGHUP` the file is read again. What needs no new listener takes effect: policies, report mode, limits,
  tunnels, identities, certificates, the token. When anything in it is wrong, everything stays as it was, and the log
  and `pinfold gateway status` say why.
";

const CREDENTIALS: &str = r#"
## Who asks

The `ways` of a listener are tried in their order. The first that names somebody counts; what is *wrong* is refused,
even where a later way would name somebody.

| what came | `required` | answer |
|---|---|---|
| a name | | that is the subject: policies see it, limits and report mode go by it, the log has it |
| credentials that are wrong, or of a kind that the listener does not take | | 407 `credentials-wrong` |
| a certificate with two identities | | 403 `certificate-ambiguous` |
| a certificate whose name is malformed, or not printable | | 403 `certificate-unusable` |
| nothing | `false` | no subject |
| nothing, where credentials would be taken | `true` | 407 `credentials-missing` |
| nothing, elsewhere | `true` | 403 `identity-missing` |
| more passwords than are verified at a time | | 503 `verification-busy`, `Retry-After: 1` |

A certificate names its SPIFFE identifier (one URI, with a path), else its first DNS name in lower case, else its only
common name.

## The file of credentials

```toml
[[credential]]
subject = "payments"
kind = "basic"        # a user name, which is the subject, and a password; `bearer`: a random token
hash = "$argon2id$v=19$m=19456,t=2,p=1$..."
expires = 2027-01-31T00:00:00Z   # optional
```

`pinfold credential payments --generate >> credentials.toml` makes an entry; the secret itself is nowhere in it. At most
10,000 entries, 4 MiB; a name may have two passwords, the old one and the new one. Hashes of passwords are Argon2id of
7 MiB to 256 MiB; tokens are kept as SHA-256, so they have to be random.

A password is verified on a thread of its own, half of the processors at most and no more than 8 at a time, and then
remembered under a key of the process while its entry is as it was, over reloads too: the first request waits for the hash,
the others do not. An unknown name takes as long as a known one. Of one source 32 requests wait for it, 4 of them with the
same name, and one when the password of that name was wrong in the last 10 seconds.
"#;

#[cfg(test)]
mod tests {
    use std::{env, fs, path::Path};

    use super::*;
    use crate::Config;

    /// Compares a document with what is generated; with `UPDATE` in the environment it is written.
    fn is_current(name: &str, generated: &str) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../docs")
            .join(name);
        if env::var_os("UPDATE").is_some() {
            fs::write(&file, generated).unwrap();
        }
        let found = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            found == generated,
            "docs/{name} is not what is generated: run this with UPDATE=1"
        );
    }

    #[test]
    fn the_manual_is_what_the_types_say() {
        is_current("gateway-config.md", &reference());
    }

    #[test]
    fn the_schema_is_what_the_types_say() {
        let schema = serde_json::to_string_pretty(&schema()).unwrap();
        is_current("gateway.schema.json", &format!("{schema}\n"));
    }

    #[test]
    fn the_file_of_defaults_is_the_default() {
        let text = defaults();
        let config = Config::parse(&text, Path::new("")).unwrap();
        let json = |config: &Config| serde_json::to_value(config).unwrap();
        assert_eq!(json(&config), json(&Config::default()));
    }

    #[test]
    fn every_key_is_described_and_says_its_default() {
        for table in tables(&schema()) {
            for entry in &table.keys {
                let key = format!("{}.{}", table.name, entry.name);
                assert!(!entry.about.is_empty(), "{key} has no description");
                let told = entry.about.contains("Default: ");
                assert!(told || entry.required, "{key} does not say its default");
            }
        }
    }
}
