//! Every bound of the host, with its default and its reason.

use std::time::Duration;

/// Bounds of one guard. Each field documents its default.
///
/// ```
/// use std::time::Duration;
///
/// let mut limits = pinfold::Limits::default();
/// limits.decision = Duration::from_millis(2);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Time that a policy may run for one stage of a decision. Default: 5 ms, some thousand times
    /// what a compiled policy needs. Counted in ticks of 1 ms that pass *while the policy runs*: a
    /// machine that stalls the thread does not make an innocent policy late.
    pub decision: Duration,
    /// Linear memory of a policy instance, in bytes. Default: 16 MiB. Holds the settings as the
    /// policy keeps them; counted in whole pages of 64 KiB.
    pub policy_memory: usize,
    /// What a policy may answer in one call, in octets after lifting. Default: 256 KiB, four times
    /// the longest well-formed answer (64 denials with the longest code and message).
    pub policy_output: usize,
    /// Live instances of all policies of this process that share the same bounds. Default: 1,000.
    /// An instance lives from the beginning of a hop to the end of its lookup; when none is free the
    /// hop is refused with `policy-busy`. Each costs about 4 GiB of *address space*. Memory that a policy
    /// wrote to stays with its place until the next use, up to 4 MiB of it: a thousand instances at the
    /// same time of a policy that writes as much leave 4 GiB resident. Set it lower for policies that
    /// you do not know.
    pub policy_instances: u32,
    /// Never-used instances kept ready for a policy. Default: 16, made again when a quarter is left.
    /// Together they take at most a quarter of `policy_instances`.
    pub policy_spares: usize,
    /// The largest component that is loaded, in bytes. Default: 64 MiB.
    pub component_bytes: usize,
    /// The largest settings document, in bytes of JSON. Default: 16 MiB.
    pub settings_bytes: usize,
    /// Time for one lookup of both families. Default: 5 s.
    pub resolve: Duration,
    /// Addresses in an answer. Default: 64, which is also the most that a policy is asked about.
    pub answers: usize,
    /// Aliases in an answer. Default: 16.
    pub chain: usize,
    /// Time for all connection attempts. Default: 10 s.
    pub connect: Duration,
    /// Time for one connection attempt. Default: 5 s.
    pub attempt: Duration,
    /// Addresses that are tried. Default: 8.
    pub attempts: usize,
    /// How long a pin may be dialled after it was made. Default: 30 s.
    pub pin: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            decision: Duration::from_millis(5),
            policy_memory: 16 << 20,
            policy_output: 256 << 10,
            policy_instances: 1_000,
            policy_spares: 16,
            component_bytes: 64 << 20,
            settings_bytes: 16 << 20,
            resolve: Duration::from_secs(5),
            answers: 64,
            chain: 16,
            connect: Duration::from_secs(10),
            attempt: Duration::from_secs(5),
            attempts: 8,
            pin: Duration::from_secs(30),
        }
    }
}
