//! The lab for a test in another language: `cargo run -p pinfold-lab --example drive`.
//!
//! Prints one line of JSON when it is ready. Then it reads one command a line, as JSON, and answers each with one
//! line. It ends at the end of standard input, so that it never outlives its test.
//!
//! | command | answer |
//! |---|---|
//! | `{"do": "name", "pattern": P, "answers": [[ADDRESS, ...], ...], "after": N}` | `{}` |
//! | `{"do": "leaks"}` | `{"leaks": N}`: connections to canaries |
//! | `{"do": "questions", "name": N}` | `{"questions": [KIND, ...]}`, of one name, in order |
//! | `{"do": "requests"}` | `{"requests": [...], "total": N}`: the last that public servers saw |
//! | `{"do": "route", "path": P, "status": N, "headers": [[NAME, VALUE], ...], "body": TEXT}` | `{}` |
//! | `{"do": "issue", "names": [NAME, ...]}` | `{"chain": PEM, "key": PEM}`, signed by the lab's authority |
//! | `{"do": "clear"}` | `{}`: forgets what was seen and counted |
//!
//! What is no command is answered with `{"error": TEXT}`. Each list of addresses but the last is answered `after`
//! times (1), the last one for ever.
#![expect(clippy::print_stdout, reason = "it answers there")]

use std::{
    io::{self, BufRead, Read},
    net::IpAddr,
    process,
};

use pinfold_lab::{
    APEX, Lab, SECRET,
    dns::{Attack, Kind, Reply, Strategy, attacks},
    http::{Page, Seen, Server},
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// The longest command, in bytes.
const LINE: u64 = 1 << 20;
/// Requests that one answer lists.
const REQUESTS: usize = 2000;

type Outcome = Result<Value, Box<dyn std::error::Error>>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = Runtime::new()?;
    let lab = runtime.block_on(Lab::start())?;
    println!("{}", ready(&lab));
    let mut input = io::stdin().lock();
    loop {
        let mut line = Vec::new();
        input.by_ref().take(LINE).read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\n") {
            // Nothing that a client holds open keeps it.
            process::exit(0);
        }
        let answer = runtime.block_on(obey(&lab, &line));
        println!(
            "{}",
            answer.unwrap_or_else(|error| json!({ "error": error.to_string() }))
        );
    }
}

fn ready(lab: &Lab) -> Value {
    json!({
        "apex": APEX,
        "secret": SECRET,
        "dns": lab.dns().addr(),
        "port": lab.port(),
        "tls_port": lab.tls().addr().port(),
        "v6": lab.public_v6().is_some(),
        "ca": lab.authority().pem(),
        "attacks": attacks(&lab.scene()).iter().map(attack).collect::<Vec<_>>(),
    })
}

fn attack(attack: &Attack) -> Value {
    json!({
        "name": attack.name,
        "about": attack.about,
        "fools_plain": attack.fools_plain,
        "provokes_retry": attack.provokes_retry,
    })
}

async fn obey(lab: &Lab, line: &[u8]) -> Outcome {
    let command: Value = serde_json::from_slice(line)?;
    match command["do"].as_str() {
        Some("name") => name(lab, &command),
        Some("leaks") => Ok(json!({ "leaks": lab.leaks().await? })),
        Some("questions") => Ok(json!({ "questions": questions(lab, text(&command, "name")?) })),
        Some("requests") => Ok(requests(lab)),
        Some("route") => route(lab, &command),
        Some("issue") => issue(lab, &command),
        Some("clear") => Ok(clear(lab)),
        _ => Err("no such command".into()),
    }
}

fn name(lab: &Lab, command: &Value) -> Outcome {
    let after = command["after"].as_u64().unwrap_or(1);
    let steps = list(command, "answers")?
        .iter()
        .map(|addresses| Ok((after, reply(addresses)?)))
        .collect::<Result<Vec<_>, Box<dyn std::error::Error>>>()?;
    let repeat = false;
    lab.dns().name(
        text(command, "pattern")?,
        Strategy::Programme { steps, repeat },
    );
    Ok(json!({}))
}

fn reply(addresses: &Value) -> Result<Reply, Box<dyn std::error::Error>> {
    let addresses = addresses.as_array().ok_or("an answer is a list")?;
    let parsed = addresses
        .iter()
        .map(|address| address.as_str().unwrap_or_default().parse::<IpAddr>())
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Reply::addresses(parsed))
}

fn questions(lab: &Lab, name: &str) -> Vec<String> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let questions = lab.dns().log().questions();
    questions
        .iter()
        .filter(|question| question.name == name)
        .map(|question| kind(question.kind))
        .collect()
}

fn kind(kind: Kind) -> String {
    match kind {
        Kind::Other(number) => format!("TYPE{number}"),
        known => format!("{known:?}").to_ascii_uppercase(),
    }
}

fn requests(lab: &Lab) -> Value {
    let mut seen: Vec<Seen> = public(lab).flat_map(Server::requests).collect();
    seen.sort_by_key(|seen| seen.at);
    let shown = seen.iter().skip(seen.len().saturating_sub(REQUESTS));
    json!({ "requests": shown.map(request).collect::<Vec<_>>(), "total": seen.len() })
}

fn request(seen: &Seen) -> Value {
    json!({
        "method": seen.method,
        "target": seen.target,
        "headers": seen.headers,
        "peer": seen.peer,
        "connection": seen.connection,
        "sni": seen.sni,
    })
}

fn route(lab: &Lab, command: &Value) -> Outcome {
    let status = u16::try_from(command["status"].as_u64().unwrap_or(200))?;
    let mut page = Page::octets(command["body"].as_str().unwrap_or_default()).status(status);
    for header in list(command, "headers")? {
        let (Some(name), Some(value)) = (header[0].as_str(), header[1].as_str()) else {
            return Err("a header is a name and a value".into());
        };
        page = page.header(name, value);
    }
    for server in public(lab) {
        server.route(text(command, "path")?, page.clone());
    }
    Ok(json!({}))
}

fn issue(lab: &Lab, command: &Value) -> Outcome {
    let names = list(command, "names")?.iter().filter_map(Value::as_str);
    let (chain, key) = lab.authority().issue_pem(names)?;
    Ok(json!({ "chain": chain, "key": key }))
}

fn clear(lab: &Lab) -> Value {
    lab.dns().log().clear();
    public(lab).chain(lab.canaries()).for_each(Server::clear);
    json!({})
}

fn public(lab: &Lab) -> impl Iterator<Item = &Server> {
    [lab.public(), lab.tls()].into_iter().chain(lab.public_v6())
}

fn text<'a>(command: &'a Value, key: &str) -> Result<&'a str, String> {
    command[key]
        .as_str()
        .ok_or_else(|| format!("`{key}` is missing"))
}

fn list<'a>(command: &'a Value, key: &str) -> Result<&'a Vec<Value>, String> {
    command[key]
        .as_array()
        .ok_or_else(|| format!("`{key}` is missing"))
}
