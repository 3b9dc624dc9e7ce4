//! What docs/gateway.md shows is what the gateway takes.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::Stdio,
};

use pinfold_lab::tls::Authority;

use super::support::{pinfold, repository, run, show};

/// Every block of TOML: each configuration would start, with the settings and the vectors of the guide.
#[test]
fn its_configurations_would_start() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    what_it_names(folder);
    let guide = guide();
    let (files, configurations): (Vec<_>, Vec<_>) = blocks(&guide, "toml")
        .into_iter()
        .partition(|block| name(block).is_some());
    assert!(files.len() >= 3 && configurations.len() >= 10, "{guide}");
    for file in files {
        fs::write(folder.join(name(file).unwrap()), file).unwrap();
        would_start(folder, "[policy]\nsettings = \"settings.toml\"\n");
    }
    for configuration in configurations {
        would_start(folder, configuration);
    }
}

/// What is said at the start, here and in README.md; ports and digests apart.
#[test]
fn it_says_what_a_start_says() {
    let mut child = pinfold(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = Vec::new();
    for line in lines.map_while(Result::ok) {
        let is_last = line.contains("--print-defaults");
        said.push(plain(&line));
        if is_last {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    for text in [guide(), readme] {
        let blocks = blocks(&text, "console").into_iter();
        let shown = blocks.filter_map(|block| block.strip_prefix("$ pinfold serve\n"));
        let shown: Vec<Vec<_>> = shown
            .map(|block| block.lines().map(plain).collect())
            .collect();
        assert_eq!(shown.len(), 1);
        assert!(said.starts_with(&shown[0]), "{said:#?}\n{shown:#?}");
    }
}

/// A refusal that was renamed, or never was one, helps nobody who looks for it.
#[test]
fn its_codes_exist() {
    assert!(codes_that_exist(&guide()) > 30);
}

/// Every verb and every option in its examples is one.
#[test]
fn its_commands_are_understood() {
    assert!(commands_understood(&guide()) >= 10);
}

/// Each code of its tables is one; how many there are.
pub(crate) fn codes_that_exist(guide: &str) -> usize {
    let known = String::from_utf8(run(["codes"]).stdout).unwrap() + &sources(&gateway());
    let mut named = BTreeSet::new();
    for row in guide.lines().filter(|line| is_code_row(line)) {
        let codes = row.split('|').nth(2).unwrap_or_default();
        named.extend(codes.split('`').skip(1).step_by(2));
    }
    for code in &named {
        let is_known =
            known.contains(&format!("\"{code}\"")) || known.contains(&format!("{code} "));
        assert!(is_known, "nothing is refused by `{code}`");
    }
    named.len()
}

/// Each command of its examples is one, with its options; how many there are.
pub(crate) fn commands_understood(guide: &str) -> usize {
    let console = blocks(guide, "console").concat();
    let commands = console
        .lines()
        .filter_map(|line| line.strip_prefix("$ pinfold "));
    commands.map(is_understood).count()
}

fn is_understood(command: &str) {
    let words: Vec<_> = command.split_whitespace().collect();
    let words = words
        .split(|word| matches!(*word, ">" | ">>" | "&&" | "&"))
        .next()
        .unwrap();
    let output = pinfold(words).arg("--help").output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{command}: {}",
        show(&output)
    );
    let help = String::from_utf8(output.stdout).unwrap();
    for option in words.iter().filter(|word| word.starts_with("--")) {
        assert!(help.contains(option), "{command}: no `{option}`");
    }
}

/// A line without what differs from start to start: ports, and the digest of the policy.
fn plain(line: &str) -> String {
    let mut parts = line.split("127.0.0.1:");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str("127.0.0.1:PORT");
        plain.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    match plain.split_once("egress (") {
        Some((before, _)) => format!("{before}egress"),
        None => plain,
    }
}

fn guide() -> String {
    fs::read_to_string(repository().join("docs/gateway.md")).unwrap()
}

fn gateway() -> std::path::PathBuf {
    repository().join("crates/gateway/src")
}

/// Files that the configurations name, and that the guide does not show.
fn what_it_names(folder: &Path) {
    let authority = Authority::new().unwrap();
    let (chain, key) = authority.issue_pem(["localhost", "127.0.0.1"]).unwrap();
    let credentials = repository().join("examples/gateway/credentials.toml");
    fs::copy(credentials, folder.join("credentials.toml")).unwrap();
    fs::create_dir(folder.join("vectors")).unwrap();
    for (name, text) in [
        ("proxy.pem", &*chain),
        ("proxy.key", &key),
        ("clients-ca.pem", &authority.pem()),
        ("next.toml", "ports = [443]\n"),
        ("organisation.toml", "ports = [443]\n"),
        ("team.toml", "ports = [443]\n"),
        ("settings.toml", "# none yet"),
    ] {
        fs::write(folder.join(name), text).unwrap();
    }
}

fn would_start(folder: &Path, configuration: &str) {
    let text = configuration
        .replace("/run/pinfold", folder.to_str().unwrap())
        .replace("/var/log/pinfold", folder.to_str().unwrap());
    let file = folder.join("gateway.toml");
    fs::write(&file, text).unwrap();
    let output = run(["serve", "--check", file.to_str().unwrap()]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{configuration}\n{}",
        show(&output)
    );
}

/// The contents of all blocks of a language.
pub(crate) fn blocks<'a>(guide: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    let rest = guide.split(&*fence).skip(1);
    rest.filter_map(|rest| rest.split("```").next()).collect()
}

/// What file a block is, where its first line says so; a configuration of the gateway is none.
fn name(block: &str) -> Option<&str> {
    let first = block.lines().next()?.strip_prefix("# ")?;
    let name = first.split(':').next()?;
    (name.ends_with(".toml") && name != "gateway.toml").then_some(name)
}

/// A row of a table that begins with a status, or ends in a code of a tunnel.
fn is_code_row(line: &str) -> bool {
    let first = line
        .strip_prefix("| ")
        .and_then(|rest| rest.split(" |").next());
    first.is_some_and(|first| first.parse::<u16>().is_ok() || first == "tunnel closed")
}

fn sources(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text.push_str(&sources(&path));
        } else {
            text.push_str(&fs::read_to_string(&path).unwrap_or_default());
        }
    }
    text
}
