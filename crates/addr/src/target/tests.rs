//! Tests of `Target`: named rows, one table for each question.

use std::{string::ToString, vec::Vec};

use super::*;

/// What is read, and to what it canonicalises.
#[test]
fn accepts() {
    let rows = [
        ("plain", "http://example.com/", "http://example.com/"),
        ("no path", "https://example.com", "https://example.com/"),
        ("case", "HTTPS://EXAMPLE.com/A", "https://example.com/A"),
        (
            "default port is left out",
            "https://example.com:443/",
            "https://example.com/",
        ),
        (
            "other port stays",
            "http://example.com:443/",
            "http://example.com:443/",
        ),
        ("empty port", "http://example.com:/", "http://example.com/"),
        (
            "zeros before the port",
            "http://example.com:00080/",
            "http://example.com/",
        ),
        (
            "highest port",
            "http://example.com:65535/",
            "http://example.com:65535/",
        ),
        ("root dot", "http://example.com./", "http://example.com/"),
        (
            "fragment is dropped",
            "http://example.com/a?b#c",
            "http://example.com/a?b",
        ),
        (
            "empty query stays",
            "http://example.com/?",
            "http://example.com/?",
        ),
        (
            "dots in the path",
            "http://example.com/a/../b/./c",
            "http://example.com/b/c",
        ),
        (
            "at sign in the path",
            "http://8.8.8.8/@127.0.0.1",
            "http://8.8.8.8/@127.0.0.1",
        ),
        (
            "at sign in the query",
            "http://8.8.8.8?@127.0.0.1/",
            "http://8.8.8.8/?@127.0.0.1/",
        ),
        (
            "at sign in the fragment",
            "http://8.8.8.8#@127.0.0.1/",
            "http://8.8.8.8/",
        ),
        (
            "colon in the path",
            "http://example.com/a:b://c",
            "http://example.com/a:b://c",
        ),
        (
            "backslash in the query",
            r"http://example.com/?a\b",
            r"http://example.com/?a\b",
        ),
        (
            "backslash in the fragment",
            r"http://example.com/#a\b",
            "http://example.com/",
        ),
        (
            "percent-encoded path",
            "http://example.com/%5c%20",
            "http://example.com/%5c%20",
        ),
        (
            "path in another script",
            "http://example.com/ü",
            "http://example.com/%C3%BC",
        ),
        (
            "international name",
            "https://münchen.example/",
            "https://xn--mnchen-3ya.example/",
        ),
        (
            "right-to-left name",
            "https://אבג.example/",
            "https://xn--4dbcd.example/",
        ),
        (
            "percent-encoded name",
            "http://ex%61mple.com/",
            "http://example.com/",
        ),
        (
            "percent-encoded UTF-8",
            "https://m%C3%BCnchen.example/",
            "https://xn--mnchen-3ya.example/",
        ),
        (
            "ideographic stop",
            "https://example。com/",
            "https://example.com/",
        ),
        (
            "soft hyphen",
            "http://exam\u{ad}ple.com/",
            "http://example.com/",
        ),
        (
            "underscore",
            "http://_api.example.com/",
            "http://_api.example.com/",
        ),
        (
            "hyphens at 3 and 4",
            "http://r3---sn.example.com/",
            "http://r3---sn.example.com/",
        ),
        (
            "looks like an address",
            "http://127.0.0.1.example.com/",
            "http://127.0.0.1.example.com/",
        ),
        ("single label", "http://redis/", "http://redis/"),
        (
            "the name `http`",
            "http://http://127.0.0.1/",
            "http://http//127.0.0.1/",
        ),
        ("IPv4", "http://8.8.8.8/", "http://8.8.8.8/"),
        (
            "IPv6",
            "http://[2001:db8::1]:8080/",
            "http://[2001:db8::1]:8080/",
        ),
        ("ws", "ws://example.com:80/", "ws://example.com/"),
        ("wss", "wss://example.com:443/", "wss://example.com/"),
        ("ftp", "ftp://example.com:21/", "ftp://example.com/"),
    ];
    for (name, url, canonical) in rows {
        let target = Target::parse(url).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        assert_eq!(target.to_string(), canonical, "{name}");
        assert_eq!(target.spelling(), Spelling::default(), "{name}");
    }
}

/// What is refused, and why.
#[test]
fn refuses() {
    let rows = [
        // WHATWG fails. This wins over every other reason but the length.
        ("empty", "", Reason::UrlInvalid),
        ("no scheme", "127.0.0.1", Reason::UrlInvalid),
        (
            "protocol-relative without a base",
            "//127.0.0.1/",
            Reason::UrlInvalid,
        ),
        ("no host", "http://", Reason::UrlInvalid),
        ("port without a host", "http://:80/", Reason::UrlInvalid),
        ("userinfo without a host", "http://a@/", Reason::UrlInvalid),
        (
            "port too high",
            "http://example.com:65536/",
            Reason::UrlInvalid,
        ),
        ("two ports", "http://example.com:80:80/", Reason::UrlInvalid),
        (
            "space in the port",
            "http://example.com:8 0/",
            Reason::UrlInvalid,
        ),
        (
            "NUL in the host",
            "http://127.0.0.1\0.example/",
            Reason::UrlInvalid,
        ),
        (
            "encoded NUL in the host",
            "http://127.0.0.1%00.example/",
            Reason::UrlInvalid,
        ),
        (
            "space and backslash, invalid host",
            "http://a b\\/",
            Reason::UrlInvalid,
        ),
        ("number too large", "http://4294967296/", Reason::UrlInvalid),
        (
            "octet too large",
            "http://425.510.425.510/",
            Reason::UrlInvalid,
        ),
        ("five octets", "http://1.2.3.4.5/", Reason::UrlInvalid),
        ("not octal", "http://09.2.3.4/", Reason::UrlInvalid),
        ("ends in a number", "http://foo.0x7f/", Reason::UrlInvalid),
        ("zone", "http://[fe80::1%25eth0]/", Reason::UrlInvalid),
        ("raw zone", "http://[fe80::1%eth0]/", Reason::UrlInvalid),
        (
            "future literal",
            "http://[v1.127.0.0.1]/",
            Reason::UrlInvalid,
        ),
        (
            "name in brackets",
            "http://[localhost]/",
            Reason::UrlInvalid,
        ),
        (
            "full-width colons in brackets",
            "http://[：：1]/",
            Reason::UrlInvalid,
        ),
        (
            "full-width delimiters",
            "http://8.8.8.8＠127.0.0.1/",
            Reason::UrlInvalid,
        ),
        (
            "full-width slash",
            "http://example.com／evil.example/",
            Reason::UrlInvalid,
        ),
        (
            "account-of sign",
            "http://a\u{2100}b.example/",
            Reason::UrlInvalid,
        ),
        (
            "encoded delimiter",
            "http://example.com%2f@127.0.0.1%2f/",
            Reason::UrlInvalid,
        ),
        ("encoded twice", "http://%2531.example/", Reason::UrlInvalid),
        (
            "broken A-label",
            "http://xn--a.example/",
            Reason::UrlInvalid,
        ),
        ("broken UTF-8", "http://%ff.example/", Reason::UrlInvalid),
        (
            "bidirectional rule",
            "http://aא.example/",
            Reason::UrlInvalid,
        ),
        // A scheme that no socket is opened for, however odd the rest.
        ("file", "file:///etc/passwd", Reason::SchemeUnsupported),
        (
            "gopher",
            "gopher://127.0.0.1:6379/_x",
            Reason::SchemeUnsupported,
        ),
        ("opaque", "about:blank", Reason::SchemeUnsupported),
        (
            "nested",
            "view-source:http://8.8.8.8/",
            Reason::SchemeUnsupported,
        ),
        (
            "opaque with a space",
            "data:text/plain,a b",
            Reason::SchemeUnsupported,
        ),
        ("blob", "blob:http://8.8.8.8/x", Reason::SchemeUnsupported),
        (
            "looks like https",
            "https+insecure://8.8.8.8/",
            Reason::SchemeUnsupported,
        ),
        // Raw text.
        ("leading space", " http://8.8.8.8/", Reason::UrlControl),
        (
            "trailing line feed",
            "http://8.8.8.8/\n",
            Reason::UrlControl,
        ),
        ("tab in the scheme", "ht\ttp://8.8.8.8/", Reason::UrlControl),
        (
            "tab in the host",
            "http://exam\tple.com/",
            Reason::UrlControl,
        ),
        (
            "space in the path",
            "http://example.com/a b",
            Reason::UrlControl,
        ),
        (
            "space in the fragment",
            "http://example.com/#a b",
            Reason::UrlControl,
        ),
        ("delete", "http://example.com/\x7f", Reason::UrlControl),
        (
            "C1 control",
            "http://example.com/\u{85}",
            Reason::UrlControl,
        ),
        (
            "no-break space",
            "http://example.com/\u{a0}",
            Reason::UrlControl,
        ),
        (
            "line separator",
            "http://example.com/?\u{2028}",
            Reason::UrlControl,
        ),
        (
            "CVE-2024-22243",
            r"http://8.8.8.8\@127.0.0.1/",
            Reason::UrlBackslash,
        ),
        (
            "backslashes for slashes",
            r"https:\\169.254.169.254/",
            Reason::UrlBackslash,
        ),
        (
            "backslash in the path",
            r"http://example.com/a\b",
            Reason::UrlBackslash,
        ),
        // Two readings.
        ("no slashes", "http:8.8.8.8/", Reason::UrlAmbiguous),
        ("one slash", "http:/8.8.8.8/", Reason::UrlAmbiguous),
        ("three slashes", "http:///8.8.8.8/", Reason::UrlAmbiguous),
        ("four slashes", "http:////8.8.8.8/", Reason::UrlAmbiguous),
        (
            "two at signs",
            "http://foo@evil.example:80@8.8.8.8/",
            Reason::UrlAmbiguous,
        ),
        (
            "bracket in the userinfo",
            "http://[::1]@8.8.8.8/",
            Reason::UrlAmbiguous,
        ),
        (
            "hexadecimal without digits",
            "http://0x/",
            Reason::UrlAmbiguous,
        ),
        (
            "hexadecimal octet without digits",
            "http://0x.0.0.1/",
            Reason::UrlAmbiguous,
        ),
        // Names that are no host names.
        (
            "two root dots",
            "http://example.com../",
            Reason::HostInvalid,
        ),
        (
            "two dots after an address",
            "http://127.0.0.1../",
            Reason::HostInvalid,
        ),
        ("empty label", "http://a..b/", Reason::HostInvalid),
        ("leading dot", "http://.example.com/", Reason::HostInvalid),
        (
            "leading hyphen",
            "http://-foo.example.com/",
            Reason::HostInvalid,
        ),
        (
            "trailing hyphen",
            "http://foo-.example.com/",
            Reason::HostInvalid,
        ),
        (
            "sub-delimiter",
            "http://a!b.example.com/",
            Reason::HostInvalid,
        ),
        ("quote", "http://a\"b.example.com/", Reason::HostInvalid),
        // Ports.
        ("port 0", "http://example.com:0/", Reason::PortZero),
        ("port 000", "http://example.com:000/", Reason::PortZero),
    ];
    for (name, url, reason) in rows {
        match Target::parse(url) {
            Ok(target) => panic!("{name}: {url:?} was read as {target}"),
            Err(refusal) => assert_eq!(refusal.reason, reason, "{name}: {refusal}"),
        }
    }
}

#[test]
fn records_userinfo_and_drops_it() {
    let rows = [
        ("name and password", "http://a:b@example.com/"),
        ("name", "http://allowed.example@example.com/"),
        ("password", "http://:p@example.com/"),
        ("empty", "http://@example.com/"),
        ("empty pair", "http://:@example.com/"),
        ("encoded", "http://a%40b@example.com/"),
        (
            "several colons",
            "http://allowed.example:443:anything@example.com/",
        ),
        ("sub-delimiters", "http://a;b=c&d@example.com/"),
    ];
    for (name, url) in rows {
        let target = Target::parse(url).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        assert!(target.spelling().userinfo, "{name}");
        assert_eq!(target.to_string(), "http://example.com/", "{name}");
    }
}

#[test]
fn records_literals_that_are_not_canonical() {
    let rows = [
        ("dword", "2130706433", "127.0.0.1"),
        ("hexadecimal dword", "0x7f000001", "127.0.0.1"),
        ("octal dword", "017700000001", "127.0.0.1"),
        ("dotted hexadecimal", "0x7F.0X0.0x0.0x1", "127.0.0.1"),
        ("dotted octal", "0251.0376.0251.0376", "169.254.169.254"),
        (
            "padded octal",
            "0000300.00000250.0000001.00000001",
            "192.168.1.1",
        ),
        ("mixed", "0xc0.168.01.1", "192.168.1.1"),
        ("two parts", "127.1", "127.0.0.1"),
        ("three parts", "127.0.1", "127.0.0.1"),
        ("two parts, large tail", "8.526344", "8.8.8.8"),
        ("zero", "0", "0.0.0.0"),
        ("largest", "4294967295", "255.255.255.255"),
        ("root dot", "8.8.8.8.", "8.8.8.8"),
        ("dword with a root dot", "2130706433.", "127.0.0.1"),
        ("zeros in front", "8.8.8.08", ""),
        ("zero octal", "8.8.8.010", "8.8.8.8"),
        ("percent-encoded", "%31%32%37%2e0%2e0%2e1", "127.0.0.1"),
        ("full-width digits", "１２７.0.0.1", "127.0.0.1"),
        ("ideographic stops", "127。0。0。1", "127.0.0.1"),
        ("circled digits", "①②⑦.0.0.1", "127.0.0.1"),
        ("superscript", "127.0.0.¹", "127.0.0.1"),
        ("soft hyphen", "127.0.0.\u{ad}1", "127.0.0.1"),
        ("zeros written out", "[0:0:0:0:0:0:0:1]", "[::1]"),
        ("leading zeros", "[::0001]", "[::1]"),
        (
            "dotted quad, not mapped",
            "[2001:db8::1.2.3.4]",
            "[2001:db8::102:304]",
        ),
        ("dotted quad, compatible", "[::1.2.3.4]", "[::102:304]"),
        (
            "wrong run of zeros",
            "[2001:db8::1:0:0:0:1]",
            "[2001:db8:0:1::1]",
        ),
        (
            "one group of zeros compressed",
            "[2001:db8:1:1::1:1:1]",
            "[2001:db8:1:1:0:1:1:1]",
        ),
    ];
    for (name, host, canonical) in rows {
        let url = format!("http://{host}/");
        let Ok(target) = Target::parse(&url) else {
            assert_eq!(canonical, "", "{name}: {url}");
            continue;
        };
        assert!(target.spelling().non_canonical_literal, "{name}");
        assert_eq!(target.host().to_string(), canonical, "{name}");
    }
}

#[test]
fn lets_canonical_literals_pass() {
    let rows = [
        ("IPv4", "127.0.0.1"),
        ("RFC 5952", "[2001:db8::1]"),
        ("upper case", "[2001:DB8::A]"),
        ("mapped, dotted", "[::ffff:192.0.2.1]"),
        ("mapped, hexadecimal", "[::FFFF:c000:201]"),
        ("loopback", "[::1]"),
        ("unspecified", "[::]"),
        ("no zeros", "[2001:db8:1:2:3:4:5:6]"),
    ];
    for (name, host) in rows {
        let target = Target::parse(&format!("http://{host}/")).unwrap();
        assert_eq!(target.spelling(), Spelling::default(), "{name}");
    }
}

#[test]
fn joins_redirects() {
    let base = Target::parse("https://u:p@example.com:8443/a/b?q").unwrap();
    let rows = [
        ("path", "/c", "https://example.com:8443/c"),
        ("relative path", "../c", "https://example.com:8443/c"),
        ("relative segment", "c", "https://example.com:8443/a/c"),
        ("query", "?r", "https://example.com:8443/a/b?r"),
        ("fragment", "#f", "https://example.com:8443/a/b?q"),
        ("empty", "", "https://example.com:8443/a/b?q"),
        (
            "URL in the query",
            "?u=http://127.0.0.1/",
            "https://example.com:8443/a/b?u=http://127.0.0.1/",
        ),
        (
            "protocol-relative",
            "//example.net/x",
            "https://example.net/x",
        ),
        ("absolute", "HTTP://example.net/x", "http://example.net/x"),
        (
            "absolute, internal",
            "http://127.0.0.1/",
            "http://127.0.0.1/",
        ),
    ];
    for (name, location, result) in rows {
        let target = base
            .join(location)
            .unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        assert_eq!(target.to_string(), result, "{name}");
        assert_eq!(target.spelling(), Spelling::default(), "{name}");
    }
}

#[test]
fn judges_locations_as_strictly_as_urls() {
    let base = Target::parse("http://example.com/a").unwrap();
    let rows = [
        (
            "scheme without slashes",
            "http:127.0.0.1",
            Reason::UrlAmbiguous,
        ),
        ("scheme and path", "http:/b", Reason::UrlAmbiguous),
        (
            "other scheme without slashes",
            "https:127.0.0.1",
            Reason::UrlAmbiguous,
        ),
        // WHATWG skips the third slash; the parser at hand does not. Refused either way.
        ("three slashes", "///127.0.0.1/", Reason::UrlInvalid),
        ("two at signs", "//a@b@127.0.0.1/", Reason::UrlAmbiguous),
        ("backslashes", r"\\127.0.0.1/", Reason::UrlBackslash),
        ("slash and backslash", r"/\127.0.0.1/", Reason::UrlBackslash),
        ("tab between slashes", "/\t/127.0.0.1/", Reason::UrlControl),
        ("leading space", " //127.0.0.1/", Reason::UrlControl),
        ("line feed", "/a\r\nX: y", Reason::UrlControl),
        (
            "gopher",
            "gopher://127.0.0.1:6379/_x",
            Reason::SchemeUnsupported,
        ),
        ("script", "javascript:alert(1)", Reason::SchemeUnsupported),
        ("port 0", "//example.com:0/", Reason::PortZero),
        ("bad host", "//exa mple.com/", Reason::UrlInvalid),
        ("empty label", "//a..b/", Reason::HostInvalid),
    ];
    for (name, location, reason) in rows {
        let refusal = base.join(location).expect_err(name);
        assert_eq!(refusal.reason, reason, "{name}: {refusal}");
    }
}

#[test]
fn join_records_the_spelling_of_the_location() {
    let base = Target::parse("http://a@0x7f.1/").unwrap();
    assert!(base.join("//a@example.com/").unwrap().spelling().userinfo);
    assert!(
        base.join("http://127.1/")
            .unwrap()
            .spelling()
            .non_canonical_literal
    );
    assert_eq!(base.join("/x").unwrap().spelling(), Spelling::default());
}

#[test]
fn reads_authorities() {
    let rows = [
        (
            "name",
            "Example.com:8443",
            Some("https://example.com:8443/"),
        ),
        (
            "default port",
            "example.com:443",
            Some("https://example.com/"),
        ),
        ("IPv4", "8.8.8.8:80", Some("https://8.8.8.8:80/")),
        (
            "IPv6",
            "[2001:db8::1]:80",
            Some("https://[2001:db8::1]:80/"),
        ),
        ("no port", "example.com", None),
        ("empty port", "example.com:", None),
        ("port 0", "example.com:0", None),
        ("no host", ":80", None),
        ("empty", "", None),
        ("bare IPv6", "2001:db8::1:80", None),
        ("IPv6 without a port", "[2001:db8::1]", None),
        ("userinfo", "a@example.com:80", None),
        ("path", "example.com:80/", None),
        ("query", "example.com:80?", None),
        ("fragment", "example.com:80#", None),
        ("backslash", r"example.com:80\", None),
        ("URL", "http://example.com:80", None),
        ("line feed", "example.com:80\r\n", None),
        ("space", "example.com: 80", None),
    ];
    for (name, authority, result) in rows {
        let target = Target::from_authority(Scheme::Https, authority);
        assert_eq!(
            target.ok().map(|target| target.to_string()).as_deref(),
            result,
            "{name}"
        );
    }
}

#[test]
fn bounds_what_goes_in_and_what_comes_out() {
    let url = |path: &str| format!("http://example.com/{path}");
    let longest = "a".repeat(Target::MAX_LEN - url("").len());
    let reason = |url: &str| Target::parse(url).err().map(|refusal| refusal.reason);
    assert_eq!(reason(&url(&longest)), None);
    assert_eq!(reason(&url(&(longest + "a"))), Some(Reason::UrlTooLong));
    // Short as given, thrice as long when percent-encoded.
    let grows = url(&"ü".repeat(Target::MAX_LEN / 4));
    assert_eq!(reason(&grows), Some(Reason::UrlTooLong));
    // A relative location cannot grow the target beyond the limit either.
    let base = Target::parse(&url(&("a".repeat(Target::MAX_LEN / 2) + "/"))).unwrap();
    let refusal = base.join(&"b".repeat(Target::MAX_LEN / 2)).unwrap_err();
    assert_eq!(refusal.reason, Reason::UrlTooLong);
    let authority = "a".repeat(Target::MAX_LEN + 1);
    assert_eq!(
        Target::from_authority(Scheme::Http, &authority)
            .unwrap_err()
            .reason,
        Reason::UrlTooLong
    );
}

#[test]
fn bounds_names_and_labels() {
    let label = "a".repeat(Domain::MAX_LABEL);
    let name = [label.as_str(); 4].join(".");
    let longest = &name[..Domain::MAX_LEN];
    let reason = |name: &str| Domain::parse(name).err().map(|refusal| refusal.reason);
    assert_eq!(reason(longest), None);
    assert_eq!(
        reason(&format!("{longest}.")),
        None,
        "the root dot does not count"
    );
    assert_eq!(reason(&format!("{longest}a")), Some(Reason::HostInvalid));
    assert_eq!(
        reason(&format!("{label}a.example")),
        Some(Reason::HostInvalid)
    );
    assert_eq!(reason(&"ü".repeat(100_000)), Some(Reason::HostInvalid));
}

#[test]
fn parses_names_that_come_from_elsewhere() {
    let rows = [
        ("canonical", "example.com", Some("example.com")),
        ("case and root dot", "Example.COM.", Some("example.com")),
        (
            "international",
            "MÜNCHEN.example",
            Some("xn--mnchen-3ya.example"),
        ),
        (
            "service",
            "_http._tcp.example.com",
            Some("_http._tcp.example.com"),
        ),
        ("single label", "localhost", Some("localhost")),
        ("empty", "", None),
        ("root", ".", None),
        ("two root dots", "a..", None),
        ("percent", "ex%61mple.com", None),
        ("port", "example.com:80", None),
        ("path", "example.com/", None),
        ("IPv4", "127.0.0.1", None),
        ("number", "1", None),
        ("hexadecimal", "a.0x1", None),
        ("IPv6", "::1", None),
        ("brackets", "[::1]", None),
        ("space", "a b", None),
        ("NUL", "a\0", None),
        ("wildcard", "*.example.com", None),
        ("slash of RFC 2317", "0/25.2.0.192.in-addr.arpa", None),
    ];
    for (name, text, result) in rows {
        let domain = Domain::parse(text);
        assert_eq!(domain.as_ref().ok().map(Domain::as_str), result, "{name}");
        if let Err(refusal) = domain {
            assert_eq!(refusal.reason, Reason::HostInvalid, "{name}");
        }
    }
}

#[test]
fn labels_of_a_name() {
    let name = Domain::parse("a.b.example").unwrap();
    assert_eq!(name.labels().collect::<Vec<_>>(), ["a", "b", "example"]);
    assert!(!name.is_single_label());
    assert!(Domain::parse("redis").unwrap().is_single_label());
}

#[test]
fn parts_of_a_target() {
    let target = Target::parse("http://example.com:8080/a?b").unwrap();
    assert_eq!(target.scheme(), Scheme::Http);
    assert_eq!(
        target.host().domain().map(Domain::as_str),
        Some("example.com")
    );
    assert_eq!(target.port(), 8080);
    assert_eq!((target.path(), target.query()), ("/a", Some("b")));
    assert_eq!(target.path_and_query(), "/a?b");
    assert_eq!(target.authority(), "example.com:8080");
    let default = Target::parse("https://[::1]").unwrap();
    assert_eq!(
        (default.port(), default.authority().as_str()),
        (443, "[::1]")
    );
    assert_eq!(default.query(), None);
}

#[test]
fn same_origin_needs_scheme_host_and_port() {
    let target = Target::parse("https://example.com/a").unwrap();
    let same = |url: &str| target.same_origin(&Target::parse(url).unwrap());
    assert!(same("HTTPS://example.com.:443/b?c"));
    assert!(!same("http://example.com:443/a"));
    assert!(!same("https://example.com:444/a"));
    assert!(!same("https://www.example.com/a"));
}

/// A detail goes to logs: it must neither carry credentials nor control characters, nor grow.
#[test]
fn details_are_short_and_clean() {
    let secret = Target::parse("gopher://user:secret@h/").unwrap_err();
    assert!(!secret.to_string().contains("secret"));
    let long = Domain::parse(&"ü\u{202e}".repeat(90)).unwrap_err();
    assert!(long.detail.chars().count() < 600, "{}", long.detail);
    assert!(!long.detail.contains('\u{202e}'), "{}", long.detail);
    let cut = Refusal::quoting(Reason::HostInvalid, "name", &"ü".repeat(81));
    assert_eq!(cut.detail, format!("name `{}...`", "ü".repeat(80)));
}

/// Were the WHATWG parser to resolve a reference to somewhere else than the text says, it is refused.
#[test]
fn a_reading_that_leads_elsewhere_is_refused() {
    let target = |url: &str| Target::parse(url).unwrap();
    let base = target("http://example.com/");
    let rows = [
        ("same host", "http://example.com/a", "/a", true),
        ("another host for a path", "http://127.0.0.1/a", "/a", false),
        (
            "another port for a path",
            "http://example.com:81/a",
            "/a",
            false,
        ),
        (
            "another scheme for a path",
            "https://example.com/a",
            "/a",
            false,
        ),
        (
            "another scheme for a host",
            "https://example.com/",
            "//example.com:443/",
            false,
        ),
        (
            "another scheme than written",
            "https://example.com/",
            "http://example.com:443/",
            false,
        ),
        (
            "another host than written",
            "http://127.0.0.1/",
            "http://example.com/",
            false,
        ),
    ];
    for (name, read, text, agrees) in rows {
        assert_eq!(
            target(read).compare(text, Some(&base)).is_ok(),
            agrees,
            "{name}"
        );
    }
    assert!(
        target("http://example.com/a").compare("/a", None).is_err(),
        "no base"
    );
}
