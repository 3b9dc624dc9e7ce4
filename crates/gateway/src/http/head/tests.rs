//! Heads, one row each.

use super::*;

const BOUNDS: Bounds = Bounds {
    bytes: 512,
    fields: 4,
};

/// The whole way of a head: its end, then its rules.
fn verdict(bytes: &[u8]) -> Result<Option<Head>, String> {
    let end = find_end(bytes, 0, BOUNDS).map_err(|refusal| refusal.code.into_owned())?;
    let Some(end) = end else { return Ok(None) };
    let head = bytes.get(..end).unwrap();
    read(head, BOUNDS)
        .map(Some)
        .map_err(|refusal| refusal.code.into_owned())
}

fn head(body: Body, last: bool) -> Result<Option<Head>, String> {
    Ok(Some(Head { body, last }))
}

#[test]
fn heads_that_everybody_reads_alike_pass() {
    let rows: [(&str, &[u8], Body, bool); 9] = [
        (
            "plain",
            b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            Body::Length(0),
            false,
        ),
        (
            "no fields",
            b"GET http://a/ HTTP/1.0\r\n\r\n",
            Body::Length(0),
            false,
        ),
        (
            "length",
            b"POST http://a/ HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
            Body::Length(5),
            false,
        ),
        (
            "chunked",
            b"POST http://a/ HTTP/1.1\r\nTransfer-Encoding:  Chunked \r\n\r\n",
            Body::Chunked,
            false,
        ),
        (
            "connect",
            b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
            Body::Length(0),
            true,
        ),
        (
            "connect, empty body",
            b"CONNECT a:443 HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
            Body::Length(0),
            true,
        ),
        (
            "upgrade",
            b"GET http://a/ HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
            Body::Length(0),
            true,
        ),
        (
            "empty value",
            b"GET http://a/ HTTP/1.1\r\nX:\r\n\r\n",
            Body::Length(0),
            false,
        ),
        (
            "high bytes in a value",
            b"GET http://a/ HTTP/1.1\r\nX: \xff\t\xc3\xa9\r\n\r\n",
            Body::Length(0),
            false,
        ),
    ];
    for (name, bytes, body, last) in rows {
        assert_eq!(verdict(bytes), head(body, last), "{name}");
    }
}

#[test]
fn heads_that_readers_disagree_on_are_refused() {
    let long = [b"GET http://a/ HTTP/1.1\r\nX: ".as_slice(), &[b'x'; 600]].concat();
    let rows: [(&str, &[u8], &str); 43] = [
        ("both framings", b"POST http://a/ HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "framing-conflict"),
        ("both framings, other order", b"POST http://a/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", "framing-conflict"),
        ("two lengths", b"POST http://a/ HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "length-repeated"),
        ("two equal lengths", b"POST http://a/ HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", "length-repeated"),
        ("a list of lengths", b"POST http://a/ HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\n", "length-invalid"),
        ("signed length", b"POST http://a/ HTTP/1.1\r\nContent-Length: +5\r\n\r\n", "length-invalid"),
        ("negative length", b"POST http://a/ HTTP/1.1\r\nContent-Length: -5\r\n\r\n", "length-invalid"),
        ("hexadecimal length", b"POST http://a/ HTTP/1.1\r\nContent-Length: 0x5\r\n\r\n", "length-invalid"),
        ("empty length", b"POST http://a/ HTTP/1.1\r\nContent-Length:\r\n\r\n", "length-invalid"),
        ("length beyond 64 bits", b"POST http://a/ HTTP/1.1\r\nContent-Length: 18446744073709551621\r\n\r\n", "length-invalid"),
        ("length with a meaning of its own", b"POST http://a/ HTTP/1.1\r\nContent-Length: 18446744073709551615\r\n\r\n", "length-invalid"),
        ("identity", b"POST http://a/ HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n", "transfer-coding-unsupported"),
        ("gzip, chunked", b"POST http://a/ HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "transfer-coding-unsupported"),
        ("chunked, identity", b"POST http://a/ HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n", "transfer-coding-unsupported"),
        ("chunked twice", b"POST http://a/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "transfer-coding-unsupported"),
        ("vertical tab before chunked", b"POST http://a/ HTTP/1.1\r\nTransfer-Encoding: \x0bchunked\r\n\r\n", "header-value-invalid"),
        ("quoted chunked", b"POST http://a/ HTTP/1.1\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", "transfer-coding-unsupported"),
        ("chunked in 1.0", b"POST http://a/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "transfer-coding-unsupported"),
        ("space before the colon", b"POST http://a/ HTTP/1.1\r\nContent-Length : 5\r\n\r\n", "header-name-invalid"),
        ("tab before the colon", b"POST http://a/ HTTP/1.1\r\nTransfer-Encoding\t: chunked\r\n\r\n", "header-name-invalid"),
        ("a coding with a low line", b"POST http://a/ HTTP/1.1\r\nTransfer_Encoding: chunked\r\n\r\n", "header-name-ambiguous"),
        ("a length with a low line", b"POST http://a/ HTTP/1.1\r\ncontent_length: 5\r\n\r\n", "header-name-ambiguous"),
        ("a low line beside the field", b"POST http://a/ HTTP/1.1\r\nContent-Length: 5\r\nCONTENT_LENGTH: 0\r\n\r\n", "header-name-ambiguous"),
        ("no colon", b"GET http://a/ HTTP/1.1\r\nHost\r\n\r\n", "header-name-invalid"),
        ("no name", b"GET http://a/ HTTP/1.1\r\n: a\r\n\r\n", "header-name-invalid"),
        ("NUL in a name", b"GET http://a/ HTTP/1.1\r\nHo\0st: a\r\n\r\n", "header-name-invalid"),
        ("folded", b"GET http://a/ HTTP/1.1\r\nX: a\r\n b\r\n\r\n", "header-folded"),
        ("folded first line", b"GET http://a/ HTTP/1.1\r\n Host: a\r\n\r\n", "header-folded"),
        ("bare LF", b"GET http://a/ HTTP/1.1\nHost: a\r\n\r\n", "line-ending"),
        ("bare LF at the end", b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\n", "line-ending"),
        ("bare CR in a value", b"GET http://a/ HTTP/1.1\r\nX: a\rContent-Length: 5\r\n\r\n", "header-value-invalid"),
        ("NUL in a value", b"GET http://a/ HTTP/1.1\r\nX: a\0b\r\n\r\n", "header-value-invalid"),
        ("two hosts", b"GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "host-repeated"),
        ("body of CONNECT", b"CONNECT a:443 HTTP/1.1\r\nContent-Length: 5\r\n\r\n", "connect-with-body"),
        ("chunks of CONNECT", b"CONNECT a:443 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "connect-with-body"),
        ("no version", b"GET http://a/\r\n\r\n", "request-line-invalid"),
        ("two spaces", b"GET  http://a/ HTTP/1.1\r\n\r\n", "request-line-invalid"),
        ("a tab", b"GET\thttp://a/\tHTTP/1.1\r\n\r\n", "request-line-invalid"),
        ("space in the target", b"GET http://a/ b HTTP/1.1\r\n\r\n", "request-line-invalid"),
        ("not a method", b"G(T http://a/ HTTP/1.1\r\n\r\n", "request-line-invalid"),
        ("HTTP/2 by number", b"GET http://a/ HTTP/2.0\r\n\r\n", "version-unsupported"),
        ("too many fields", b"GET http://a/ HTTP/1.1\r\nA: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\nE: 1\r\n\r\n", "headers-too-many"),
        ("endless head", &long, "head-too-large"),
    ];
    for (name, bytes, code) in rows {
        assert_eq!(verdict(bytes), Err(code.to_owned()), "{name}");
    }
}

#[test]
fn a_head_is_found_however_it_is_cut() {
    let bytes = b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\nGET ";
    let end = bytes.len() - 4;
    for cut in 0..end {
        let before = find_end(bytes.get(..cut).unwrap(), 0, BOUNDS);
        assert_eq!(before, Ok(None), "{cut}");
        assert_eq!(find_end(bytes, cut, BOUNDS), Ok(Some(end)), "{cut}");
    }
}

#[test]
fn no_bytes_make_it_panic() {
    // All pairs of bytes that mean something, at each place of a head.
    let head = b"GET http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n";
    let odd = b"\0\t\n\r :,\x7f\xff";
    for at in 0..head.len() {
        for byte in odd {
            let mut bytes = head.to_vec();
            bytes[at] = *byte;
            let _ = verdict(&bytes);
            bytes.truncate(at + 1);
            let _ = verdict(&bytes);
            let _ = read(&bytes, BOUNDS);
        }
    }
}
