use super::*;

fn request(host: Host, port: u16) -> Request {
    Request {
        command: Command::Connect,
        host,
        port,
    }
}

fn read(host: Host, port: u16) -> Result<String, String> {
    match target(request(host, port)) {
        Ok(target) => Ok(target.to_string()),
        Err(End::Refused(refused)) => Err(refused.refusal.code.into_owned()),
        Err(End::Gone) => Err("gone".into()),
    }
}

#[test]
fn targets_are_read_as_strictly_as_any() {
    let name = |name: &str| Host::Name(name.into());
    let rows = [
        (name("example.com"), 443, Ok("https://example.com/")),
        (name("EXAMPLE.com."), 8443, Ok("https://example.com:8443/")),
        (name("example.com"), 80, Ok("http://example.com/")),
        (
            Host::Address([192, 0, 2, 1].into()),
            22,
            Ok("https://192.0.2.1:22/"),
        ),
        (
            Host::Address("2001:db8::1".parse().unwrap()),
            443,
            Ok("https://[2001:db8::1]/"),
        ),
        // A literal in the place of a name is a literal.
        (name("127.0.0.1"), 443, Ok("https://127.0.0.1/")),
        (name("0x7f.1"), 443, Ok("https://127.0.0.1/")),
        (name("[::1]"), 443, Ok("https://[::1]/")),
        (name("example.com"), 0, Err("port-zero")),
        (name("user@example.com"), 443, Err("url-invalid")),
        (name("example.com:80"), 443, Err("url-invalid")),
        (name("example.com/a"), 443, Err("url-invalid")),
        (name("example.com\\a"), 443, Err("url-backslash")),
        (name("example.com\t"), 443, Err("url-control-character")),
        (name("exa\nmple.com"), 443, Err("url-control-character")),
        (name("a..example.com"), 443, Err("host-invalid")),
        (name("::1"), 443, Err("url-invalid")),
    ];
    for (host, port, expected) in rows {
        let row = format!("{host:?} {port}");
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(read(host, port), expected, "{row}");
    }
}

#[test]
fn refusals_have_their_replies() {
    let rows = [
        (Kind::Denied, Reply::NotAllowed),
        (Kind::Unauthenticated, Reply::NotAllowed),
        (Kind::Unresolved, Reply::HostUnreachable),
        (Kind::Unreachable, Reply::Refused),
        (Kind::TimedOut, Reply::Expired),
        (Kind::Malformed, Reply::Failed),
        (Kind::Limited, Reply::Failed),
        (Kind::Overloaded, Reply::Failed),
        (Kind::PolicyFault, Reply::Failed),
    ];
    for (kind, reply) in rows {
        assert_eq!(
            Reply::of(&Refusal::new(kind, "stage", "code")),
            reply,
            "{kind:?}"
        );
    }
    assert_eq!(Reply::NotAllowed.bytes(), [5, 2, 0, 1, 0, 0, 0, 0, 0, 0]);
}
