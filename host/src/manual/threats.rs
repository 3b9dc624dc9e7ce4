//! # Threats: the known bypasses, and what closes each
//!
//! Every row is a way in which guards of this kind were bypassed in the field. *Closed by* names the
//! type, table or rule that closes it; *shown by* names the tests:
//!
//! - `corpus:CLASS` is every case of that class in `tests/vectors/corpus.jsonl` or
//!   `tests/vectors/more.jsonl`, judged by the real binary;
//! - `addr::TEST` is a function in `crates/addr/tests/bypasses.rs`: what a URL and an address are;
//! - `bypasses::TEST`, `rebinding::TEST` and `swap::TEST` are functions in `tests/e2e`: sockets on loopback;
//! - a path with slashes is that file.
//!
//! `cargo xtask tidy` fails when one of them does not exist, and when a row names none and does not say
//! that it cannot be tested here.
//!
//! ## The address as text
//!
//! | # | bypass | closed by | shown by |
//! |---|---|---|---|
//! | 1 | whole number, hex or octal host: `2130706433`, `0x7f000001` | one WHATWG parse; the address is judged, the spelling refused as `literal-not-canonical` | `corpus:ipv4-spelling`, `addr::class_01_one_number` |
//! | 2 | dotted hex, octal, padded, mixed bases | the same | `corpus:ipv4-spelling`, `addr::class_02_other_bases` |
//! | 3 | short forms: `127.1`, `0` | the same | `corpus:ipv4-spelling-exotic`, `addr::class_03_short_forms` |
//! | 4 | overflow: `425.510.425.510` | `url-invalid`: nothing is truncated | `corpus:ipv4-malformed`, `addr::class_04_overflow` |
//! | 5 | names that end in a number: `foo.0x7f` | `url-invalid` | `corpus:ipv4-malformed`, `addr::class_05_ends_in_a_number` |
//! | 6 | trailing dot on an address | normalised, judged, refused as non-canonical; two dots are an empty label | `corpus:ipv4-spelling-exotic`, `addr::class_06_root_dot_after_an_address` |
//! | 7 | percent-encoded digits and dots | decoded by both readings, then judged | `corpus:ipv4-spelling`, `addr::class_07_percent_encoded_digits` |
//! | 8 | full-width, circled, mathematical digits, ideographic stops, soft hyphen | UTS 46 before the address parser | `corpus:ipv4-spelling-exotic`, `addr::class_08_digits_and_stops_of_other_scripts` |
//! | 9 | the same inside brackets | `url-invalid` | `corpus:ipv6-malformed`, `addr::class_09_other_scripts_in_brackets` |
//! | 10 | NUL in the host | `url-invalid`; no C string ever sees the text | `corpus:syntax-invalid`, `addr::class_10_nul` |
//! | 11 | 0.0.0.0/8 and `::` | class `unspecified`, on the floor | `corpus:v4-this-network`, `corpus:ipv6-url`, `addr::class_11_this_network` |
//! | 12 | 127/8 beyond .0.0.1, link-local beyond .169.254 | whole prefixes, on the floor | `corpus:v4-loopback`, `corpus:metadata-ip`, `addr::class_12_whole_prefixes` |
//! | 13 | 100.64/10 | class `shared` | `corpus:v4-cgnat`, `addr::class_13_carrier_grade_nat` |
//! | 14 | 168.63.129.16, public by its looks | metadata table, also when embedded; never granted | `corpus:metadata-ip`, `corpus:embed-azure-wireserver`, `addr::class_14_wire_server` |
//! | 15 | 192.0.0.0/24 with 192.0.0.192 | class `protocol`, metadata table | `corpus:v4-ietf-protocol`, `addr::class_15_protocol_assignments` |
//! | 16 | multicast, broadcast, 240/4, documentation, benchmarking, 6to4 anycast | registry table with our additions | `corpus:v4-reserved`, `corpus:v4-benchmarking`, `corpus:v4-documentation`, `addr::class_16_not_unicast` |
//!
//! ## IPv4 inside IPv6
//!
//! | # | bypass | closed by | shown by |
//! |---|---|---|---|
//! | 17 | `::ffff:a.b.c.d`, and its hexadecimal spelling | decoded on bits, never on text | `corpus:embed-mapped`, `addr::class_17_mapped` |
//! | 18 | `::a.b.c.d` | the same; outside 2000::/3 nothing is public | `corpus:embed-compat`, `addr::class_18_compatible` |
//! | 19 | `::ffff:0:a.b.c.d` | the same | `corpus:embed-translated`, `addr::class_19_siit` |
//! | 20 | 64:ff9b::/96, "globally reachable" by the registry | class `translated`, refused by default | `corpus:embed-azure-wireserver`, `addr::class_20_nat64` |
//! | 21 | 64:ff9b:1::/48 in four layouts | every layout is decoded | `corpus:embed-nat64-local-48`, `corpus:embed-nat64-local-56`, `corpus:embed-nat64-local-64`, `corpus:embed-nat64-local-96`, `addr::class_21_local_nat64` |
//! | 22 | the operator's NAT64 prefix | [`GuardBuilder::nat64`](crate::GuardBuilder::nat64), decoded at each RFC 6052 length | `corpus:embed-nat64-network-specific`, `addr::class_22_nat64_of_the_operator` |
//! | 23 | 6to4 | class `tunnelled` | `corpus:embed-6to4`, `addr::class_23_6to4` |
//! | 24 | Teredo, server and client | class `tunnelled`, both decoded | `corpus:embed-teredo-server`, `corpus:embed-teredo-client`, `addr::class_24_teredo` |
//! | 25 | ISATAP identifiers under any prefix | decoded; refused when the inner address is not public | `corpus:embed-isatap-global`, `corpus:embed-isatap-ula`, `addr::class_25_isatap` |
//! | 26 | fec0::/10 | class `site-local` | `corpus:v6-site-local-deprecated`, `addr::class_26_site_local` |
//! | 27 | space that is not allocated | only 2000::/3 can be public | `corpus:v6-not-global-unicast`, `addr::class_27_outside_global_unicast` |
//! | 28 | blocks that IANA registered lately | tables generated from dated registry data, with a drift test | `corpus:v6-documentation`, `corpus:v6-srv6-sid`, `corpus:v6-dummy`, `addr::class_28_new_registrations` |
//! | 29 | zone identifiers | invalid in URLs; a scoped answer is `address-scoped` | `corpus:ip-zone`, `addr::class_29_zones` |
//! | 30 | brackets left on the host | [`addr::Host`](crate::addr::Host) holds an address, not text | `corpus:ipv6-url`, `addr::class_30_brackets` |
//!
//! ## The structure of a URL
//!
//! | # | bypass | closed by | shown by |
//! |---|---|---|---|
//! | 31 | userinfo: `http://allowed@127.0.0.1/` | recorded, dropped, refused by default | `corpus:userinfo`, `corpus:userinfo-empty`, `addr::class_31_userinfo` |
//! | 32 | backslash read as slash by some | `url-backslash` | `corpus:backslash`, `addr::class_32_backslash` |
//! | 33 | `#@`, `?@`, `;@` | one parse; the raw string is never used again | `corpus:delimiter`, `addr::class_33_delimiters_before_an_at_sign` |
//! | 34 | tab, line end, leading space | `url-control-character` | `corpus:syntax-lenient`, `corpus:syntax-lenient-public`, `addr::class_34_control_characters` |
//! | 35 | missing or extra slashes | `url-ambiguous` | `corpus:syntax-lenient`, `addr::class_35_slashes` |
//! | 36 | `//host/` merged onto a base | redirects are resolved against the base and judged as new | `corpus:redirect`, `addr::class_36_and_37_locations_that_leave_the_host` |
//! | 37 | absolute URL overriding a base | the same | `corpus:redirect`, `addr::class_36_and_37_locations_that_leave_the_host` |
//! | 38 | brackets around what is no address | `url-invalid` | `corpus:ipv6-malformed`, `addr::class_38_brackets_around_anything_else` |
//! | 39 | delimiters that normalisation produces | `url-invalid` after UTS 46 | `corpus:syntax-invalid`, `addr::class_39_delimiters_of_other_scripts` |
//! | 40 | port confusion | a port is a `u16` other than 0 | `corpus:syntax-invalid`, `addr::class_40_ports` |
//! | 41 | CR and LF in path, query, headers | encoded in the path, refused in headers by type | `corpus:syntax-lenient`, `addr::class_41_line_breaks_in_the_path` |
//! | 42 | other schemes | five schemes have a host; two are allowed by default | `corpus:scheme`, `addr::class_42_schemes` |
//! | 43 | absolute-form request target | a server-side hole: the client only sends origin-form to its own pin | `bypasses::sends_origin_form_only` |
//!
//! ## Names and DNS
//!
//! | # | bypass | closed by | shown by |
//! |---|---|---|---|
//! | 44 | `localhost` and its kin | refused by name, before DNS | `corpus:name-localhost`, `corpus:name-localhost-public-answer`, `addr::class_44_localhost` |
//! | 45 | trailing dot on a name | one root dot is stripped for matching and pinning alike | `corpus:metadata-name-variant`, `addr::class_45_and_46_spellings_of_denied_names` |
//! | 46 | case, percent, full-width, punycode spellings | names are compared after UTS 46 | `corpus:metadata-name-variant`, `corpus:name-localhost`, `addr::class_45_and_46_spellings_of_denied_names` |
//! | 47 | wildcard DNS: nip.io and others | answers are judged, not names | `corpus:resolve-private` |
//! | 48 | dotless names and search lists | refused by default; the resolver asks absolute names only | `corpus:name-single-label` |
//! | 49 | hosts file, mDNS, NSS | own resolver without them; special-use names refused | `corpus:name-internal`, `corpus:name-special-use`, `addr::class_49_names_that_other_name_services_answer` |
//! | 50 | **rebinding** | resolve once, dial that set | `rebinding::no_strategy_reaches_a_canary`, `rebinding::an_old_pin_outlives_neither_its_time_nor_the_answer_it_was_made_from`, `rebinding::a_kept_connection_is_used_only_for_the_address_that_was_judged`, `rebinding::a_redirect_to_the_same_name_is_resolved_and_judged_again` |
//! | 51 | mixed answers | one bad answer refuses all | `corpus:resolve-mixed` |
//! | 52 | only A judged, AAAA dialled | both families are looked up and judged | `rebinding::no_strategy_reaches_a_canary`, `rebinding::bad_answers_that_are_filtered_reach_no_canary_either`, `host/src/resolve/hickory/tests::one_question_for_each_family_absolute` |
//! | 53 | alias of an internal name | final addresses judged, aliases matched too | `corpus:cname` |
//! | 54 | hints in HTTPS and SVCB records | never asked for | `rebinding::no_strategy_reaches_a_canary`, `host/src/resolve/hickory/tests::one_question_for_each_family_absolute` |
//! | 55 | fails open when DNS fails | every failure is a refusal with a reason | `host/src/resolve/hickory/tests::a_failing_family_fails_the_lookup`, `host/src/resolve/hickory/tests::a_silent_server_is_a_timeout_and_the_next_one_is_asked`, `host/src/resolve/hickory/tests::nobody_to_ask_is_a_failure`, `host/src/guard/tests::a_silent_resolver_is_a_timeout` |
//! | 56 | caches, TTL games, many answers | bounded TTL, answers, chain, attempts and time | `rebinding::an_answer_is_kept_for_its_time_and_the_name_not_asked_again`, `host/src/resolve/cache::ttls_are_bounded`, `host/src/resolve/cache::the_cache_is_bounded_and_keeps_what_is_used`, `host/src/guard/tests::resolvers_are_held_to_the_limits`, `host/src/connect/tests::an_expired_pin_is_not_dialled` |
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
//! | 63 | pooled connection of another name or policy | pool key with scheme, host, port, peer, digest, generation | `bypasses::keep_alive_reuse_is_keyed`, `swap::a_hundred_swaps_while_requests_run`, `swap::a_kept_connection_ends_with_its_policy` |
//! | 64 | HTTP/2 coalescing, Alt-Svc, HTTP/3 | HTTP/1.1 only; `Alt-Svc` is ignored | `bypasses::alt_svc_ignored`, `corpus:alt-svc` |
//! | 65 | a switch in the environment that turns the guard off | there is none: no code here reads the environment (`cargo xtask tidy`). Dependencies read some of it, and none of that changes a verdict: the loader of the system's root certificates reads `SSL_CERT_FILE` and `SSL_CERT_DIR`, the engine how many threads may compile and how much a backtrace tells, the terminal whether it has colours | `bypasses::proxy_environment_ignored` |
//! | 66 | an allow entry that covers a wrapper | refused when the settings are loaded | `bypasses::allowed_wrapper_refused`, `guest/policies/egress/src/tests::an_allowed_network_does_not_excuse_what_an_address_in_it_wraps` |
//! | 67 | the guard's own addresses | floor: own listeners are never dialled | `bypasses::own_listener_refused` |
//! | 68 | URLs of second order (`jwks_uri`, `$ref`, ...) | the guard must be the only connector: see [`howto`](super::howto) | not testable here |
//! | 69 | timing and error differences | refusals are made before any socket; what a client is told holds no address | `bypasses::refusal_names_no_address` |
//! | 70 | a client that the guard does not see | see [`howto`](super::howto); `clippy.toml` bans shown for Rust | not testable here |
//! | 71 | bombs, endless bodies, slow headers | budgets for bytes as received, bytes as decoded, time and redirects | `bypasses::decompression_bomb`, `bypasses::endless_body`, `bypasses::slow_headers` |
//!
//! ## A proxy for others
//!
//! | # | bypass | closed by | shown by |
//! |---|---|---|---|
//! | 72 | report mode as a way in: what is only reported reaches loopback or the metadata endpoint | [`Session::reporting`](crate::Session::reporting) lifts what a *policy* denies; parser, floor, terms and proofs are not the policy's | `host/src/guard/tests/report::what_a_policy_denies_passes_and_is_told`, `host/src/guard/tests/report::terms_hold_whatever_is_let_pass`; where only names are reported, what is said of addresses binds: `host/src/guard/tests/report/names::a_name_passes_and_its_addresses_do_not`, `host/src/guard/tests/report/names::a_name_that_is_rebound_is_refused` |
//! | 73 | a line of a log that hides what was let pass | the denial stands in the record, and follows from its input | `host/src/guard/tests/report::a_line_that_says_otherwise_contradicts_itself` |
//! | 74 | a tunnel that outlives the policy that allowed it | [`Guard::rejudge`](crate::Guard::rejudge): the same request and answer under the policies of now | `host/src/guard/tests/report::what_is_open_is_judged_under_the_policies_of_now`, `host/src/guard/tests/report::judging_again_knows_the_floor_the_guard_and_the_peer` |
//! | 75 | a `Host` or a path other than what was judged, through a proxy | both are written from the judged target | `crates/http/tests/it/forward/heads::heads_go_through_as_they_are` |
//! | 76 | one message, two ends: a proxy that hands on two framings, or one it does not know | requests are framed anew; a response with both loses the length and its connection, another coding is refused | `crates/http/tests/it/forward/heads::requests_are_framed_as_their_bodies_are`, `crates/http/tests/it/forward/heads::what_frames_a_response_twice_or_oddly_is_not_handed_on` |
//! | 77 | an upgrade to what nobody offered | the protocols of `101` are among those of the request; the connection is new and never kept | `crates/http/tests/it/forward/interim::what_is_not_an_upgrade_is_an_answer_or_refused` |
//! | 78 | one name in `CONNECT`, another in the handshake | the server name has to be the host that was judged, before a byte has reached the server | `crates/gateway/tests/it/tunnel::the_server_name_is_the_host_that_was_asked_for` |
//! | 79 | heads that gateway and server read differently (smuggling) | heads are read strictly before the library reads them, and written anew | `crates/gateway/tests/it/http_heads::smuggling_shapes_are_refused_and_reach_nobody` |
//! | 80 | a `PROXY` header that makes somebody else of a client | from listed sources only, and there always | `crates/gateway/tests/it/proxy_header::bad_headers_are_refused` |
//! | 81 | credentials for the proxy that reach a server | `Proxy-*` and hop-by-hop fields go no further | `crates/gateway/tests/it/http_identity::credentials_are_asked_for_and_never_travel_on` |
//! | 82 | a server that speaks for the proxy (`Pinfold-Reason`, a made-up refusal) | such fields of a server are removed | `crates/gateway/tests/it/http_forward::a_server_cannot_speak_for_the_proxy` |
//! | 83 | the proxy asked for itself, or for its interface for operators | all its listeners are own ones, which are never dialled | `crates/gateway/tests/it/listeners::the_gateway_does_not_lead_to_itself` |
//! | 84 | a page in an operator's browser that reaches that interface (DNS rebinding, forged requests) | `Host` has to be an address or a known name; changes need a proof and a header that no page can send | `crates/gateway/src/admin/access/tests::a_name_that_nobody_listed_leads_nowhere`, `crates/gateway/src/admin/access/tests::a_page_of_another_site_changes_nothing`, `crates/gateway/tests/it/admin::the_door_decides_what_is_open` |
//! | 85 | tunnels that stay when a swap refuses them | each is judged again in a bounded time, and closed | `crates/gateway/tests/it/revocation::of_a_thousand_tunnels_exactly_the_refused_half_is_closed` |
//! | 86 | an answer that is cut, passed on as if it were whole | framing that cannot end well breaks the connection of the client | `crates/gateway/tests/it/http_forward::an_answer_that_breaks_off_is_not_passed_for_whole` |
