//! # Defaults, and why they are what they are
//!
//! What holds when nothing is configured. Each can be changed by the operator, none by a URL, by the
//! environment or by a cargo feature.
//!
//! ## Whom a stranger may reach
//!
//! | what | default | why |
//! |---|---|---|
//! | policy | the shipped `egress`, settings `{}` | a guard without a policy would be a resolver |
//! | schemes | `http`, `https` | what web hooks, previews and feeds speak; the parser knows three more |
//! | ports | any | services of partners run on odd ports; a list is one setting away |
//! | addresses | public unicast only | what the registries call globally reachable, less special purposes |
//! | IPv4 wrapped in IPv6 | refused | no public service is published that way; it is how address lists are passed |
//! | userinfo | refused | a person reads the part before `@`, a program the part after it |
//! | non-canonical literals | refused | another parser may read them differently |
//! | mixed answers | one bad address refuses all | a name that answers with an internal address is not an accident |
//! | special-use names, single labels | refused before DNS | they mean something on the inside only |
//! | unknown subjects | judged by the base rules | without `subjects` there is nobody to know |
//! | floor | loopback, link-local, unspecified, multicast, broadcast, metadata, own listeners | no policy of a third party may open these; an operator's [`Grant`](crate::Grant) may, metadata excepted |
//!
//! ## Lookups
//!
//! | what | default | why |
//! |---|---|---|
//! | resolver | [`Dns`](crate::resolve::Dns), the system's servers | own resolver: no hosts file, no search list, no NSS, no mDNS |
//! | families | A and AAAA, one question each | what was not judged cannot be dialled |
//! | one family fails | the lookup fails | an attacker who can break one family must not choose the other |
//! | cache | by TTL, at most an hour; TTL 0 is not kept | a cached answer is judged again each time, so the cache cannot widen anything |
//! | answers, aliases | 64, 16 | more is an attack or a mistake |
//! | pin | 30 s | a pin is for one connection, now; it does not depend on the TTL |
//!
//! ## Time, memory, bytes
//!
//! [`Limits`](crate::Limits) documents each bound of this crate with its default; the policy's terms and
//! the caller's own limits only tighten them, never the other way. What has no field there is a named
//! constant beside the code that it bounds.
//!
//! | what | default | why |
//! |---|---|---|
//! | what a policy may import | nothing; [`inert_wasi`](crate::GuardBuilder::inert_wasi) lets it import WASI that does nothing | what it cannot name it cannot reach; components that were built elsewhere may not be able to do without |
//! | parts of a policy | 64 core instances, 8 tables, 1 memory | an interpreter that is linked from its libraries has 38; all are counted before anything is compiled |
//! | where a policy is asked | on the task of the request; on a blocking thread when its answers take over 200 us on average | a change of threads costs as much as a compiled policy; an interpreted one would stop the other tasks |
//! | compiled code on disk | none; [`code_cache`](crate::GuardBuilder::code_cache) names a directory, of 512 MiB at most and 128 MiB for each entry (of an interpreter about 35 MiB: twice for the component, once for each of its settings) | machine code is worth stealing and forging: nothing is written without being asked for |
//!
//! The defaults hold for interpreters too. In one run on a busy machine of two cores (medians), a policy in
//! JavaScript took 0.2 ms for a decision of both stages in a fresh instance with 9.1 MiB of memory, one in Python
//! 1.3 ms with 12.8 MiB, of the 5 ms that *each stage* may run and of the 16 MiB that an instance may have. What is
//! left of the memory in Python, 3.2 MiB, is for settings and for work: long lists want a higher
//! [`policy_memory`](crate::Limits::policy_memory). To compile them takes 10 to 30 s, from the directory of compiled code
//! 0.4 to 0.8 s. With inert WASI there is no snapshot: an instance took 0.3 ms (JavaScript) and 1.2 ms (Python) to
//! make, instead of 0.03 and 0.8 ms.
//!
//! The time of a policy is counted in ticks that pass while it runs, so that a busy machine does not
//! deny the innocent; the memory is counted in pages of 64 KiB; the output is counted while it is read,
//! so that a policy cannot make the host allocate before it is stopped.
