use super::*;

/// A name, the bytes, and what is read from them: the message and its length.
type Row<'a, T> = (&'a str, &'a [u8], Result<Option<(T, usize)>, Malformed>);

/// Reads as a client of the parser does: never more than is asked for.
fn reads<T>(
    bytes: &[u8],
    parse: impl Fn(&[u8]) -> Result<Read<T>, Malformed>,
) -> Result<Option<(T, usize)>, Malformed> {
    let mut have = 0;
    loop {
        match parse(&bytes[..have])? {
            Read::Done(message) => return Ok(Some((message, have))),
            Read::More(needed) => {
                assert!(needed > 0, "{bytes:?} at {have}");
                have += needed;
            }
        }
        if have > bytes.len() {
            return Ok(None);
        }
    }
}

#[test]
fn greetings() {
    let done = |none, password, used| Ok(Some((Greeting { none, password }, used)));
    let rows: &[Row<'_, Greeting>] = &[
        ("none", &[5, 1, 0], done(true, false, 3)),
        ("both", &[5, 2, 0, 2], done(true, true, 4)),
        (
            "with bytes of what follows",
            &[5, 1, 0, 5, 1, 0],
            done(true, false, 3),
        ),
        ("no method", &[5, 0], Err(Malformed::NoMethods)),
        ("cut", &[5, 3, 0, 2], Ok(None)),
        ("only the version", &[5], Ok(None)),
        ("nothing", &[], Ok(None)),
        (
            "SOCKS4",
            &[4, 1, 0, 80, 127, 0, 0, 2, 0],
            Err(Malformed::Socks4),
        ),
        ("HTTP", b"GET / HTTP/1.1", Err(Malformed::Version)),
        ("TLS", &[0x16, 3, 1], Err(Malformed::Version)),
    ];
    for (row, bytes, expected) in rows {
        assert_eq!(reads(bytes, greeting), *expected, "{row}");
    }
}

#[test]
fn passwords() {
    let done = |name: &[u8], password: &[u8], used| {
        let (name, password) = (name.into(), password.into());
        Ok(Some((Password { name, password }, used)))
    };
    let long = [&[1, 255][..], &[b'n'; 255], &[255], &[b'p'; 255]].concat();
    let rows: &[Row<'_, Password>] = &[
        ("usual", b"\x01\x03joe\x02pw", done(b"joe", b"pw", 8)),
        ("empty", &[1, 0, 0], done(b"", b"", 3)),
        ("no password", b"\x01\x03joe\x00", done(b"joe", b"", 6)),
        ("not text", &[1, 1, 0xff, 1, 0], done(&[0xff], &[0], 5)),
        ("longest", &long, done(&[b'n'; 255], &[b'p'; 255], 513)),
        ("behind it more", b"\x01\x01a\x01b\x05", done(b"a", b"b", 5)),
        ("cut in the name", b"\x01\x03jo", Ok(None)),
        ("cut before the password", b"\x01\x03joe", Ok(None)),
        ("cut in the password", b"\x01\x03joe\x02p", Ok(None)),
        (
            "the version of the greeting",
            b"\x05\x03joe\x02pw",
            Err(Malformed::Version),
        ),
    ];
    for (row, bytes, expected) in rows {
        assert_eq!(reads(bytes, password), *expected, "{row}");
    }
    let secret = Password {
        name: b"joe".into(),
        password: b"pw".into(),
    };
    assert_eq!(format!("{secret:?}"), "Password { .. }");
}

#[test]
fn requests() {
    let connect = |host, port, used| {
        let request = Request {
            command: Command::Connect,
            host,
            port,
        };
        Ok(Some((request, used)))
    };
    let name = |name: &str| Host::Name(name.into());
    let v4 = Host::Address([192, 0, 2, 1].into());
    let v6 = Host::Address("2001:db8::1".parse().unwrap());
    let v6_bytes = b"\x05\x01\x00\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\xfb";
    let long = [&[5, 1, 0, 3, 255][..], &[b'a'; 255], &[0, 80]].concat();
    let long_name = "a".repeat(255);
    let rows: &[Row<'_, Request>] = &[
        (
            "IPv4",
            &[5, 1, 0, 1, 192, 0, 2, 1, 1, 187],
            connect(v4, 443, 10),
        ),
        ("IPv6", v6_bytes, connect(v6, 8443, 22)),
        (
            "name",
            b"\x05\x01\x00\x03\x03a.b\x00\x50",
            connect(name("a.b"), 80, 10),
        ),
        (
            "early data",
            b"\x05\x01\x00\x03\x01a\x00\x50\x16\x03",
            connect(name("a"), 80, 8),
        ),
        ("longest name", &long, connect(name(&long_name), 80, 262)),
        (
            "port 0",
            b"\x05\x01\x00\x03\x01a\0\0",
            connect(name("a"), 0, 8),
        ),
        (
            "no name",
            b"\x05\x01\x00\x03\x00\x00\x50",
            Err(Malformed::Name),
        ),
        (
            "not ASCII",
            b"\x05\x01\x00\x03\x02\xc3\xa4\x00\x50",
            Err(Malformed::Name),
        ),
        (
            "not text",
            b"\x05\x01\x00\x03\x01\xff\x00\x50",
            Err(Malformed::Name),
        ),
        (
            "reserved",
            b"\x05\x01\x01\x03\x01a\x00\x50",
            Err(Malformed::Reserved),
        ),
        (
            "no kind",
            b"\x05\x01\x00\x02\x01a\x00\x50",
            Err(Malformed::AddressKind),
        ),
        (
            "SOCKS4",
            b"\x04\x01\x00\x50\x7f\x00\x00\x02\x00",
            Err(Malformed::Socks4),
        ),
        (
            "another version",
            b"\x01\x01\x00\x03\x01a\x00\x50",
            Err(Malformed::Version),
        ),
        ("cut in the port", b"\x05\x01\x00\x03\x01a\x00", Ok(None)),
        ("cut in the name", b"\x05\x01\x00\x03\x09a", Ok(None)),
        ("cut before the length", b"\x05\x01\x00\x03", Ok(None)),
        ("cut in the address", &[5, 1, 0, 4, 1, 2], Ok(None)),
    ];
    for (row, bytes, expected) in rows {
        assert_eq!(reads(bytes, request), *expected, "{row}");
    }
    for (command, byte) in [
        ("BIND", 2),
        ("UDP ASSOCIATE", 3),
        ("none", 0),
        ("none", 255),
    ] {
        let bytes = [5, byte, 0, 1, 192, 0, 2, 1, 1, 187];
        let (request, _) = reads(&bytes, request).unwrap().unwrap();
        assert_eq!(request.command, Command::Other(byte), "{command}");
    }
}

#[test]
fn what_stands_behind_a_message_was_not_asked_for() {
    assert_eq!(greeting(&[5, 1, 0, 0]), Err(Malformed::Trailing));
    assert_eq!(password(b"\x01\x01a\x01bc"), Err(Malformed::Trailing));
    assert_eq!(
        request(b"\x05\x01\x00\x03\x01a\x00\x50\x16"),
        Err(Malformed::Trailing)
    );
}

#[test]
fn every_text_is_read_or_refused_within_its_bound() {
    // All beginnings of two bytes, followed by what is long enough for any message.
    let tail = [1; 600];
    for first in 0..=u8::MAX {
        for second in 0..=u8::MAX {
            let bytes = [&[first, second][..], &tail].concat();
            assert!(matches!(reads(&bytes, greeting), Err(_) | Ok(Some(_))));
            assert!(matches!(reads(&bytes, password), Err(_) | Ok(Some(_))));
            assert!(matches!(reads(&bytes, request), Err(_) | Ok(Some(_))));
        }
    }
}
