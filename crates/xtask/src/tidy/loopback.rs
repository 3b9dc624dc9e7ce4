//! No test dials anything but loopback.
//!
//! What is read are the calls that make sockets or name servers, and the literals in them. An address
//! that comes from elsewhere (a server that the test started) is not followed.

use std::net::{IpAddr, SocketAddr};

use super::{Report, code, rules, tree::Tree};

/// Checks tests, examples, benches, the lab, and the test modules of the product.
pub(crate) fn check(tree: &Tree, report: &mut Report) {
    for file in tree.ending(".rs") {
        let blanked = code::without_text(&file.text);
        let from = if rules::is_test(&file.path) {
            0
        } else {
            code::product(&blanked).len()
        };
        for (line, literal) in dialled(&file.text, &blanked, from) {
            report.violation(
                format!("{}:{line}", file.path),
                format!("`{literal}` is not on loopback"),
            );
        }
        for (line, call) in system_lookups(&blanked, from) {
            report.violation(
                format!("{}:{line}", file.path),
                format!("`{call}` asks name servers that are not the test's"),
            );
        }
    }
}

/// The literals in calls that make sockets, without those on loopback. Blanking keeps characters, not
/// octets, so both texts are read line by line and character by character.
fn dialled(text: &str, blanked: &str, from: usize) -> Vec<(usize, String)> {
    let skipped = blanked[..from].lines().count();
    let mut found = Vec::new();
    let lines = text.lines().zip(blanked.lines()).enumerate().skip(skipped);
    for (at, (line, code)) in lines {
        for call in CALLS {
            for (column, _) in code.match_indices(call) {
                let start = code[..column].chars().count() + call.chars().count();
                let rest: String = line.chars().skip(start).collect();
                let literal = first_literal(&rest).filter(|literal| !is_loopback(literal));
                found.extend(literal.map(|literal| (at + 1, literal)));
            }
        }
    }
    found
}

/// A string, or `[a, b, c, d]`, or a constant of the standard library, when the arguments begin with one.
fn first_literal(arguments: &str) -> Option<String> {
    // A name alone, without a port, is nothing that a socket takes: some other `connect` was called.
    let alone = arguments.trim_start_matches(['&', ' ']).strip_prefix('"');
    if alone.is_some_and(|text| !text.split('"').next().unwrap_or_default().contains(':')) {
        return None;
    }
    let start = arguments.trim_start_matches(['(', '[', '&', ' ']);
    if let Some(text) = start.strip_prefix('"') {
        return text.split('"').next().map(str::to_owned);
    }
    let constant = CONSTANTS
        .iter()
        .find(|constant| start.starts_with(*constant));
    if let Some(constant) = constant {
        return Some((*constant).to_owned());
    }
    let numbers = start
        .strip_prefix("Ipv4Addr::new(")
        .unwrap_or(start)
        .split([']', ')'])
        .next()?;
    let octets: Vec<&str> = numbers.split(", ").collect();
    let all_numbers = octets.iter().all(|octet| octet.parse::<u8>().is_ok());
    (octets.len() == 4 && all_numbers).then(|| octets.join("."))
}

fn is_loopback(literal: &str) -> bool {
    let address = literal
        .parse::<SocketAddr>()
        .map(|socket| socket.ip())
        .or_else(|_| literal.parse::<IpAddr>());
    match address {
        Ok(IpAddr::V4(address)) => address.octets()[0] == 127,
        Ok(IpAddr::V6(address)) => address == std::net::Ipv6Addr::LOCALHOST,
        Err(_) => false,
    }
}

fn system_lookups(blanked: &str, from: usize) -> Vec<(usize, &'static str)> {
    let lines = blanked.lines().enumerate();
    let tests = lines.skip(blanked[..from].lines().count());
    tests
        .flat_map(|(at, line)| {
            let calls = SYSTEM.iter().filter(move |call| line.contains(**call));
            calls.map(move |call| (at + 1, *call))
        })
        .collect()
}

/// What opens a socket, and what names a server that is asked.
const CALLS: &[&str] = &[
    "TcpStream::connect(",
    "TcpStream::connect_timeout(",
    "TcpListener::bind(",
    "UdpSocket::bind(",
    ".connect(",
    "Dns::servers(",
    "SocketAddr::new(",
];

const CONSTANTS: &[&str] = &["Ipv4Addr::UNSPECIFIED", "Ipv6Addr::UNSPECIFIED"];

/// Lookups that leave the machine.
const SYSTEM: &[&str] = &["Dns::system_servers(", "System::new(", "System::default("];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::File;

    #[test]
    fn literals_that_are_not_on_loopback_are_found() {
        let rows = [
            ("a socket", "TcpStream::connect(\"93.184.216.34:80\")", 1),
            ("a name", "TcpStream::connect(\"example.com:80\")", 1),
            ("loopback", "TcpStream::connect(\"127.0.0.2:80\")", 0),
            ("loopback of six", "TcpStream::connect(\"[::1]:80\")", 0),
            ("octets", "TcpStream::connect(([10, 0, 0, 1], 80))", 1),
            (
                "octets on loopback",
                "TcpStream::connect(([127, 0, 0, 1], 80))",
                0,
            ),
            ("by reference", "s.connect(&(\"10.0.0.1\", 53))", 1),
            ("every interface", "TcpListener::bind(\"0.0.0.0:0\")", 1),
            (
                "the constant",
                "UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))",
                1,
            ),
            (
                "a constructor",
                "SocketAddr::new(Ipv4Addr::new(10, 0, 0, 1).into(), 80)",
                1,
            ),
            ("a variable", "TcpStream::connect(server)", 0),
            (
                "another `connect`",
                "proxy.connect(\"example.com\", 443)",
                0,
            ),
            (
                "name servers",
                "Dns::servers([\"8.8.8.8:53\".parse().unwrap()])",
                1,
            ),
            ("the system's", "Dns::system_servers()", 1),
            ("a comment", "// TcpStream::connect(\"10.0.0.1:80\")", 0),
            (
                "after other letters",
                "let ä = 'ß'; TcpStream::connect(\"10.0.0.1:80\")",
                1,
            ),
        ];
        for (name, text, expected) in rows {
            for (path, expected) in [("tests/e2e/a.rs", expected), ("crates/cli/src/a.rs", 0)] {
                let found = violations(path, text);
                assert_eq!(found.len(), expected, "{name}: {found:?}");
            }
        }
    }

    #[test]
    fn test_modules_of_the_product_are_read() {
        let product = "fn f() {\n    Dns::system_servers();\n}\n\n#[cfg(test)]\nmod tests {\n    fn g() {\n        ";
        let calls = "TcpStream::connect(\"10.0.0.1:80\");\n        System::new();\n";
        let found = violations("host/src/a.rs", &format!("{product}{calls}    }}\n}}\n"));
        let lines: Vec<_> = found.iter().filter_map(|v| v.split(':').nth(1)).collect();
        assert_eq!(lines, ["8", "9"], "{found:?}");
    }

    fn violations(path: &str, text: &str) -> Vec<String> {
        let file = File {
            path: path.into(),
            text: text.into(),
        };
        let mut report = Report::default();
        check(&Tree { files: vec![file] }, &mut report);
        report.violations
    }
}
