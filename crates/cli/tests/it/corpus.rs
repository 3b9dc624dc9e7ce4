//! Every case of the vectors, judged by the real binary.
//!
//! No verdict may differ from the expectation, except where experts disagree (`debatable`): those
//! cases are listed with our choice in `docs/corpus.md`, which this test keeps true.

use std::{collections::BTreeMap, fs};

use serde::Deserialize;

use crate::support::{json_lines, repository, run, vectors};

/// What a vector says of itself; the rest is for the binary.
#[derive(Deserialize)]
struct Case {
    id: String,
    class: String,
    url: Option<String>,
    ip: Option<String>,
    redirects_to: Option<String>,
    resolves_to: Option<Vec<String>>,
    cname: Option<Vec<String>>,
    expect: String,
    #[serde(default)]
    debatable: bool,
}

/// What the binary says.
#[derive(Deserialize)]
struct Judged {
    id: String,
    verdict: String,
    stage: Option<String>,
    code: Option<String>,
    addresses: Vec<serde_json::Value>,
}

#[test]
fn no_verdict_of_the_corpus_is_wrong() {
    assert_verdicts("corpus.jsonl", 320);
}

#[test]
fn no_verdict_of_the_further_cases_is_wrong() {
    assert_verdicts("more.jsonl", 900);
}

#[test]
fn the_list_of_debatable_cases_is_up_to_date() {
    let file = repository().join("docs/corpus.md");
    let now = listing();
    if std::env::var_os("BLESS").is_some() {
        fs::write(&file, &now).unwrap();
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        committed == now,
        "docs/corpus.md is out of date: run the tests of pinfold-cli with BLESS=1 and read the diff"
    );
}

fn assert_verdicts(file: &str, at_least: usize) {
    let cases = judge(file);
    assert!(
        cases.len() >= at_least,
        "{file} has lost cases: {}",
        cases.len()
    );
    let wrong = cases
        .iter()
        .filter(|(case, judged)| !case.debatable && judged.verdict != case.expect);
    let wrong = wrong
        .map(|(case, judged)| mismatch(case, judged))
        .collect::<Vec<_>>();
    assert!(
        wrong.is_empty(),
        "{} wrong verdicts\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    for (case, judged) in &cases {
        assert_consistent(case, judged);
    }
}

fn mismatch(case: &Case, judged: &Judged) -> String {
    let code = judged.code.as_deref().unwrap_or("-");
    format!(
        "{}: expected {}, got {} ({code}): {}",
        case.id,
        case.expect,
        judged.verdict,
        shown(case)
    )
}

/// A verdict, its stage and its code go together.
fn assert_consistent(case: &Case, judged: &Judged) {
    let Judged {
        id,
        verdict,
        stage,
        code,
        addresses,
    } = judged;
    assert_eq!(
        verdict == "allow",
        code.is_none() && stage.is_none(),
        "{id}"
    );
    assert_eq!(
        verdict == "invalid",
        code.as_deref() == Some("url-invalid"),
        "{id}"
    );
    if verdict == "allow" {
        assert!(!addresses.is_empty(), "{id}: allowed without an address");
        assert!(
            addresses
                .iter()
                .all(|address| address["verdict"] == "allow"),
            "{id}"
        );
    }
    if case.redirects_to.is_none() {
        assert_ne!(stage.as_deref(), Some("redirect"), "{id}");
    }
}

fn judge(file: &str) -> Vec<(Case, Judged)> {
    let file = vectors(file);
    let text = fs::read_to_string(&file).unwrap();
    let cases = text
        .lines()
        .map(|line| serde_json::from_str::<Case>(line).unwrap());
    let output = run(["check".as_ref(), "--batch".as_ref(), file.as_os_str()]);
    assert_eq!(
        output.status.code(),
        Some(1),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let judged = json_lines(&output)
        .into_iter()
        .map(|line| Judged::deserialize(line).unwrap());
    let pairs = cases.zip(judged).collect::<Vec<_>>();
    assert_eq!(
        pairs.len(),
        text.lines().count(),
        "one line of output for each case"
    );
    assert!(
        pairs.iter().all(|(case, judged)| case.id == judged.id),
        "the order is kept"
    );
    pairs
}

/// What `docs/corpus.md` must say.
fn listing() -> String {
    let mut text = String::from(HEAD);
    let mut classes = BTreeMap::<String, Vec<String>>::new();
    for file in ["corpus.jsonl", "more.jsonl"] {
        for (case, judged) in judge(file).iter().filter(|(case, _)| case.debatable) {
            let choice = judged.code.as_deref().map_or("allow".to_owned(), |code| {
                format!("{} by `{code}`", judged.verdict)
            });
            let row = format!("| `{}` | {} | {choice} |", case.id, cell(case));
            classes.entry(case.class.clone()).or_default().push(row);
        }
    }
    for (class, rows) in classes {
        let why = why(&class);
        text.push_str(&format!(
            "\n## {class}\n\n{why}\n\n| case | what | our choice |\n|---|---|---|\n"
        ));
        rows.iter()
            .for_each(|row| text.push_str(&format!("{row}\n")));
    }
    text
}

const HEAD: &str = "\
# Debatable cases

The vectors in `tests/vectors` hold every known class of trick with URLs, names and addresses. On most
of them all experts agree, and a verdict that differs from theirs fails the tests. On these they do
not. Here is what the policy that we ship chooses by default, and why. Where settings change the
choice, the reason names them; `pinfold inspect` describes each.

This list is made by the tests of the command line from the verdicts of the real binary: run them with
`BLESS=1` to write it anew. An outdated list fails.
";

/// Why we choose what we choose. A class that is missing here fails the test.
fn why(class: &str) -> &'static str {
    match class {
        "backslash" | "backslash-path" => {
            "Refused. Some parsers read `\\` as `/`, some as a part of the host: the two see different hosts."
        }
        "cname" => {
            "Names that an answer came through are held against the deny list. An alias of a \
             metadata name or of a name in `hosts.deny` is refused whatever it answers, and so is a chain \
             beyond the limit. An alias that is merely reserved is not: its address is judged, and that is enough."
        }
        "delimiter" => {
            "Allowed. After the `?` a backslash divides nothing, in neither reading of the URL."
        }
        "embed-isatap-global" | "embed-isatap-global-u" => {
            "Refused when the IPv4 address inside is. The marker may be there by accident, about once \
             in four thousand million interface identifiers; an ISATAP router on the path is the worse accident."
        }
        "embed-nat64-network-specific" => {
            "Allowed, because nothing in the address says that it is a NAT64 prefix. The operator of \
             such a network names the prefix (`--nat64`), and then it is unwrapped and judged."
        }
        "embed-public" => {
            "Refused. A wrapper around a public address is no way to reach it that a client needs, and \
             who unwraps it, and where, is not known. `wrapped = \"judge\"` judges the address inside."
        }
        "ip-zone" | "resolve-private" => {
            "Refused. A zone names an interface of this machine; no public service has one in its address."
        }
        "ipv4-noncanonical-public" | "ipv6-noncanonical-public" => {
            "Refused: another parser may read another address. `literals = \"normalise\"` permits them."
        }
        "ipv6-case-public" => {
            "Allowed. RFC 5952 writes lower case, but no parser reads another address from upper case."
        }
        "name-internal-public-answer" => {
            "Refused before the lookup. The name has no meaning on the public internet, so whoever \
             answers it is not who it seems to be; and the question itself tells of the network inside."
        }
        "name-public" | "name-spelling-public" => {
            "Allowed. Both readings of the URL agree after UTS 46, and only the canonical name is used."
        }
        "name-shape" => {
            "Refused before the lookup. No such name can be registered; resolvers differ in what they do with it."
        }
        "name-single-label" => {
            "Refused. A search list may turn a name without a dot into one inside, and the few top-level \
             names that have an address are not worth that risk."
        }
        "port-spelling" => "Allowed. The readings agree on the port, and only the number is used.",
        "redirect" => {
            "The location is read as strictly as a URL that a user gave: what two parsers read \
             differently is refused, although a browser would follow it. A location without a host \
             stays on the host that was judged, whatever its path looks like."
        }
        "resolve-many" => {
            "Refused. An answer beyond the limit serves only to tire whoever connects."
        }
        "resolve-mixed" => {
            "One bad address refuses the whole answer: it is a sign of rebinding, not of bad luck. \
             `mixed_answers = \"filter\"` drops the bad ones, which is safe because the rest is pinned."
        }
        "syntax-lenient-public" => {
            "Refused. WHATWG parsers mend such text, others read something else or stop half-way."
        }
        "url-too-long" => "Refused: 8 KiB is more than any parser on the way needs to agree on.",
        "userinfo-empty" => {
            "Refused like any user information: an `@` in the authority serves to mislead, and nothing is lost. \
             `userinfo = \"drop\"` permits it."
        }
        "v4-special-but-global" | "v6-special-but-global" => {
            "Refused. These are reachable, but they are plumbing: no web service that a user means lives \
             there. `special_global = \"allow\"` permits them."
        }
        "v6-public" => {
            "Allowed. The address is inside 2000::/3 and in no special block; whether it is allocated \
             today changes too often to be built in."
        }
        _ => panic!("docs/corpus.md needs a reason for the class `{class}`"),
    }
}

fn cell(case: &Case) -> String {
    format!("`{}`", shown(case).replace('|', "\\|"))
}

fn shown(case: &Case) -> String {
    let start = case
        .url
        .as_deref()
        .or(case.ip.as_deref())
        .unwrap_or_default();
    let mut text = escaped(start);
    if let Some(aliases) = &case.cname {
        text.push_str(&format!(" through {}", first_three(aliases)));
    }
    if let Some(addresses) = &case.resolves_to {
        text.push_str(&format!(" at {}", first_three(addresses)));
    }
    if let Some(location) = &case.redirects_to {
        text.push_str(&format!(" redirects to \"{}\"", escaped(location)));
    }
    text
}

fn first_three(values: &[String]) -> String {
    let first = values
        .iter()
        .take(3)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match values.len().saturating_sub(3) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// ASCII, without controls: what is unusual must be seen.
fn escaped(text: &str) -> String {
    let plain = |character: char| character.is_ascii_graphic() || character == ' ';
    let show = |character: char| match character {
        _ if plain(character) => character.to_string(),
        _ => character.escape_default().to_string(),
    };
    let shown = text.chars().map(show).collect::<String>();
    match shown.get(..LONGEST) {
        Some(first) => format!("{first}... ({} octets)", text.len()),
        None => shown,
    }
}

/// How much of a text is shown; all of it is ASCII by then.
const LONGEST: usize = 200;
