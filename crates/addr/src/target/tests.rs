//! Tests of `Target`.

use std::string::ToString;

use super::*;

#[test]
fn smoke() {
    let t = Target::parse("http://example.com/").unwrap();
    assert_eq!(t.to_string(), "http://example.com/");
    for bad in [
        "http:/h",
        "http:////h",
        "http:h",
        "http://h:0/",
        "http://h:65536/",
        "http://a@b@c/",
        "gopher://x/",
        "http://a b/",
        "http://a/ b",
        "http://a\\b",
        "http://127.0.0.1../",
        "http://-a.b/",
        "http://0x/",
        "http://[::1%25eth0]/",
    ] {
        std::println!("{bad} {}", Target::parse(bad).unwrap_err());
    }
    for ok in [
        "http://0x7f.1/",
        "http://[0:0::1]/",
        "http://[::ffff:1.2.3.4]",
        "http://[::FFFF:102:304]",
        "http://%31.1",
        "http://a@b",
        "http://h:",
        "http://h:00080",
        "http://２１３０７０６４３３",
    ] {
        std::println!(
            "{ok} {} {:?}",
            Target::parse(ok).unwrap(),
            Target::parse(ok).unwrap().spelling()
        );
    }
}
