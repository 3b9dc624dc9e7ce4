//! # Threats: the known bypasses, and what closes each
//!
//! Every row is a way in which guards of this kind were bypassed in the field. *Closed by* names the
//! type, table or rule that closes it; *shown by* names the tests. A test is named in one of three
//! ways: `corpus:CLASS` is every case of that class in `tests/vectors/corpus.jsonl` or
//! `tests/vectors/more.jsonl`, judged by the real binary; `FILE::TEST` is a function in `tests/e2e`, and
//! a longer path is a unit test. `cargo xtask tidy` fails when one of them does not exist.
//!
//! ## The address as text
//!
//! | # | bypass | closed by | shown by |
//! |---|---|---|---|
//! | 1 | whole number, hex or octal host: `2130706433`, `0x7f000001` | one WHATWG parse; the address is judged, the spelling refused as `literal-not-canonical` | `corpus:ipv4-spelling` |
//! | 2 | dotted hex, octal, padded, mixed bases | the same | `corpus:ipv4-spelling` |
//! | 3 | short forms: `127.1`, `0` | the same | `corpus:ipv4-spelling-exotic` |
//! | 4 | overflow: `425.510.425.510` | `url-invalid`: nothing is truncated | `corpus:ipv4-malformed` |
//! | 5 | names that end in a number: `foo.0x7f` | `url-invalid` | `corpus:ipv4-malformed` |
//! | 6 | trailing dot on an address | normalised, judged, refused as non-canonical; two dots are an empty label | `corpus:ipv4-spelling-exotic` |
//! | 7 | percent-encoded digits and dots | decoded by both readings, then judged | `corpus:ipv4-spelling` |
//! | 8 | full-width, circled, mathematical digits, ideographic stops, soft hyphen | UTS 46 before the address parser | `corpus:ipv4-spelling-exotic` |
//! | 9 | the same inside brackets | `url-invalid` | `corpus:ipv6-malformed` |
//! | 10 | NUL in the host | `url-invalid`; no C string ever sees the text | `corpus:syntax-invalid` |
//! | 11 | 0.0.0.0/8 and `::` | class `unspecified`, on the floor | `corpus:v4-this-network`, `corpus:ipv6-url` |
//! | 12 | 127/8 beyond .0.0.1, link-local beyond .169.254 | whole prefixes, on the floor | `corpus:v4-loopback`, `corpus:metadata-ip` |
//! | 13 | 100.64/10 | class `shared` | `corpus:v4-cgnat` |
//! | 14 | 168.63.129.16, public by its looks | metadata table, also when embedded; never granted | `corpus:metadata-ip`, `corpus:embed-azure-wireserver` |
//! | 15 | 192.0.0.0/24 with 192.0.0.192 | class `protocol`, metadata table | `corpus:v4-ietf-protocol` |
//! | 16 | multicast, broadcast, 240/4, documentation, benchmarking, 6to4 anycast | registry table with our additions | `corpus:v4-reserved`, `corpus:v4-benchmarking`, `corpus:v4-documentation` |
//!
//! ## IPv4 inside IPv6
//!
//! | # | bypass | closed by | shown by |
//! |---|---|---|---|
//! | 17 | `::ffff:a.b.c.d`, and its hexadecimal spelling | decoded on bits, never on text | `corpus:embed-mapped` |
//! | 18 | `::a.b.c.d` | the same; outside 2000::/3 nothing is public | `corpus:embed-compat` |
//! | 19 | `::ffff:0:a.b.c.d` | the same | `corpus:embed-translated` |
//! | 20 | 64:ff9b::/96, "globally reachable" by the registry | class `translated`, refused by default | `corpus:embed-azure-wireserver` |
//! | 21 | 64:ff9b:1::/48 in four layouts | every layout is decoded | `corpus:embed-nat64-local-48`, `corpus:embed-nat64-local-56`, `corpus:embed-nat64-local-64`, `corpus:embed-nat64-local-96` |
//! | 22 | the operator's NAT64 prefix | [`GuardBuilder::nat64`](crate::GuardBuilder::nat64), decoded at each RFC 6052 length | `corpus:embed-nat64-network-specific` |
//! | 23 | 6to4 | class `tunnelled` | `corpus:embed-6to4` |
//! | 24 | Teredo, server and client | class `tunnelled`, both decoded | `corpus:embed-teredo-server`, `corpus:embed-teredo-client` |
//! | 25 | ISATAP identifiers under any prefix | decoded; refused when the inner address is not public | `corpus:embed-isatap-global`, `corpus:embed-isatap-ula` |
//! | 26 | fec0::/10 | class `site-local` | `corpus:v6-site-local-deprecated` |
//! | 27 | space that is not allocated | only 2000::/3 can be public | `corpus:v6-not-global-unicast` |
//! | 28 | blocks that IANA registered lately | tables generated from dated registry data, with a drift test | `corpus:v6-documentation`, `corpus:v6-srv6-sid`, `corpus:v6-dummy` |
//! | 29 | zone identifiers | invalid in URLs; a scoped answer is `address-scoped` | `corpus:ip-zone` |
//! | 30 | brackets left on the host | [`addr::Host`](crate::addr::Host) holds an address, not text | `corpus:ipv6-url` |
//!
//! ## The structure of a URL
//!
//! | # | bypass | closed by | shown by |
//! |---|---|---|---|
//! | 31 | userinfo: `http://allowed@127.0.0.1/` | recorded, dropped, refused by default | `corpus:userinfo`, `corpus:userinfo-empty` |
//! | 32 | backslash read as slash by some | `url-backslash` | `corpus:backslash` |
//! | 33 | `#@`, `?@`, `;@` | one parse; the raw string is never used again | `corpus:delimiter` |
//! | 34 | tab, line end, leading space | `url-control-character` | `corpus:syntax-lenient`, `corpus:syntax-lenient-public` |
//! | 35 | missing or extra slashes | `url-ambiguous` | `corpus:syntax-lenient` |
//! | 36 | `//host/` merged onto a base | redirects are resolved against the base and judged as new | `corpus:redirect` |
//! | 37 | absolute URL overriding a base | the same | `corpus:redirect` |
//! | 38 | brackets around what is no address | `url-invalid` | `corpus:ipv6-malformed` |
//! | 39 | delimiters that normalisation produces | `url-invalid` after UTS 46 | `corpus:syntax-invalid` |
//! | 40 | port confusion | a port is a `u16` other than 0 | `corpus:syntax-invalid` |
//! | 41 | CR and LF in path, query, headers | encoded in the path, refused in headers by type | `corpus:syntax-lenient` |
//! | 42 | other schemes | five schemes have a host; two are allowed by default | `corpus:scheme` |
//! | 43 | absolute-form request target | a server-side hole: the client only sends origin-form to its own pin | `bypasses::sends_origin_form_only` |
//!
//! ## Names and DNS
//!
//! | # | bypass | closed by | shown by |
//! |---|---|---|---|
//! | 44 | `localhost` and its kin | refused by name, before DNS | `corpus:name-localhost`, `corpus:name-localhost-public-answer` |
//! | 45 | trailing dot on a name | one root dot is stripped for matching and pinning alike | `corpus:metadata-name-variant` |
//! | 46 | case, percent, full-width, punycode spellings | names are compared after UTS 46 | `corpus:metadata-name-variant`, `corpus:name-localhost` |
//! | 47 | wildcard DNS: nip.io and others | answers are judged, not names | `corpus:resolve-private` |
//! | 48 | dotless names and search lists | refused by default; the resolver asks absolute names only | `corpus:name-single-label` |
//! | 49 | hosts file, mDNS, NSS | own resolver without them; special-use names refused | `corpus:name-internal`, `corpus:name-special-use` |
//! | 50 | **rebinding** | resolve once, dial that set | `rebinding::*` |
//! | 51 | mixed answers | one bad answer refuses all | `corpus:resolve-mixed` |
//! | 52 | only A judged, AAAA dialled | both families are looked up and judged | `rebinding::*` |
//! | 53 | alias of an internal name | final addresses judged, aliases matched too | `corpus:cname` |
//! | 54 | hints in HTTPS and SVCB records | never asked for | `rebinding::*` |
//! | 55 | fails open when DNS fails | every failure is a refusal with a reason | `rebinding::*` |
//! | 56 | caches, TTL games, many answers | bounded TTL, answers, chain, attempts and time | `rebinding::*` |
//! | 57 | a literal skips the DNS hook | a literal is a one-answer resolution | `corpus:ipv4-canonical-public`, `corpus:metadata-url` |
//! | 58 | fake-IP DNS in 198.18/15 | refused; an operator names the network in `networks.allow` | `corpus:v4-benchmarking` |
//!
//! ## HTTP and the process
//!
//! | # | bypass | closed by | shown by |
//! |---|---|---|---|
//! | 59 | redirect to the inside | every hop takes all steps again | `bypasses::redirect_to_internal`, `corpus:redirect` |
//! | 60 | redirect across protocols picks an unguarded path | one connector for both schemes | `bypasses::cross_protocol_redirect` |
//! | 61 | redirect carries credentials | header allow-list across origins | `bypasses::credentials_dropped_across_origins` |
//! | 62 | proxy environment | never read | `bypasses::proxy_environment_ignored` |
//! | 63 | pooled connection of another name or policy | pool key with scheme, host, port, peer, digest, generation | `bypasses::keep_alive_reuse_is_keyed`, `swap::*` |
//! | 64 | HTTP/2 coalescing, Alt-Svc, HTTP/3 | HTTP/1.1 only; `Alt-Svc` is ignored | `bypasses::alt_svc_ignored`, `corpus:alt-svc` |
//! | 65 | a switch in the environment that turns the guard off | there is none: no code here reads the environment | `bypasses::proxy_environment_ignored` |
//! | 66 | an allow entry that covers a wrapper | refused when the settings are loaded | guest/policies/egress |
//! | 67 | the guard's own addresses | floor: own listeners are never dialled | `bypasses::own_listener_refused` |
//! | 68 | URLs of second order (`jwks_uri`, `$ref`, ...) | the guard must be the only connector: see [`howto`](super::howto) | not testable here |
//! | 69 | timing and error differences | refusals are made before any socket; what a client is told holds no address | `bypasses::refusal_names_no_address` |
//! | 70 | a client that the guard does not see | see [`howto`](super::howto); `clippy.toml` bans shown for Rust | not testable here |
//! | 71 | bombs, endless bodies, slow headers | budgets for bytes as received, bytes as decoded, time and redirects | `bypasses::decompression_bomb`, `bypasses::endless_body`, `bypasses::slow_headers` |
