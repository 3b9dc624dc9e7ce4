//! Only these partners, only `https`, only during business hours, only public addresses.

use pinfold_policy::{
    Decision, Description, Object, Policy, Problem, Request, Resolution, Terms, Verdict,
    name_matches,
};

/// The settings, as `settings.schema.json` describes them, and the policy itself.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Partners {
    partners: Vec<String>,
    #[serde(default)]
    outside_hours: OutsideHours,
}

#[derive(Default, PartialEq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum OutsideHours {
    #[default]
    Deny,
    Allow,
}

impl Policy for Partners {
    type Settings = Object<Self>;

    fn describe() -> Description {
        Description {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: env!("CARGO_PKG_DESCRIPTION").into(),
            settings_schema: include_str!("../settings.schema.json").into(),
        }
    }

    /// Called once. Problems that no schema can express are found here, all of them at once.
    fn configure(Object(policy): Object<Self>) -> Result<Self, Vec<Problem>> {
        let message = "another partner covers this name: keep one of the two";
        let problems: Vec<_> = (0..policy.partners.len())
            .filter(|at| policy.is_covered(*at))
            .map(|at| Problem::new(format!("/partners/{at}"), message))
            .collect();
        if problems.is_empty() {
            Ok(policy)
        } else {
            Err(problems)
        }
    }

    /// Stage one: may this name be looked up?
    fn check_target(&self, request: &Request) -> Decision {
        let host = &request.target.host;
        if request.target.scheme != "https" {
            return Decision::deny("https-required", "only `https` is allowed");
        }
        if !self.partners.iter().any(|partner| host.matches(partner)) {
            return Decision::deny("host-not-allowed", "the host is none of `partners`");
        }
        // A policy has no clock: the service that embeds the host says whether business hours are on.
        if self.outside_hours == OutsideHours::Deny && !request.label_is("business-hours", "open") {
            let message = "`business-hours` is not `open` and `outside_hours` is `deny`";
            return Decision::deny("outside-hours", message);
        }
        Decision::Allow(Terms {
            https_only: true,
            ..Terms::default()
        })
    }

    /// Stage two: which of these addresses may be dialled?
    fn check_addresses(&self, _: &Request, resolution: &Resolution) -> Vec<Verdict> {
        resolution.judge(|answer| {
            if !answer.wraps_only_public() {
                return Verdict::deny("address-wrapped", "an IPv4 address inside it is not public");
            }
            if !answer.is_public_or_granted() {
                return Verdict::deny(
                    "address-not-public",
                    "the address is neither public nor granted",
                );
            }
            Verdict::Allow
        })
    }
}

impl Partners {
    /// A partner that another one covers would go on being allowed after it was taken out of the list.
    fn is_covered(&self, at: usize) -> bool {
        let partner = &self.partners[at];
        let covers = |(other, pattern): (usize, &String)| {
            name_matches(pattern, partner) && (other < at || pattern != partner)
        };
        self.partners.iter().enumerate().any(covers)
    }
}

pinfold_policy::export!(Partners);
