//! The policy "partners": only these hosts, only `https`, only during business hours, only public addresses.

use pinfold_policy::{
    Answer, Class, Decision, Denial, Description, Object, Policy, Problem, Request, Resolution,
    Terms, Verdict,
};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
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

pub struct Partners(Settings);

impl Policy for Partners {
    type Settings = Object<Settings>;

    fn describe() -> Description {
        Description {
            name: "partners".into(),
            version: "1.0.0".into(),
            summary: "only these partners, by https, during business hours".into(),
            settings_schema: include_str!("../settings.schema.json").into(),
        }
    }

    fn configure(Object(settings): Self::Settings) -> Result<Self, Vec<Problem>> {
        let partners = &settings.partners;
        let covered = (0..partners.len()).filter(|at| is_covered(partners, *at));
        let problems: Vec<_> = covered.map(problem).collect();
        if problems.is_empty() {
            Ok(Self(settings))
        } else {
            Err(problems)
        }
    }

    fn check_target(&self, request: &Request) -> Decision {
        let host = request.target.host.to_string();
        if request.target.scheme != "https" {
            return deny("https-required", "only `https` is allowed");
        }
        if !self
            .0
            .partners
            .iter()
            .any(|partner| matches(partner, &host))
        {
            return deny("host-not-allowed", "the host is none of `partners`");
        }
        if self.0.outside_hours == OutsideHours::Deny && !is_open(request) {
            return deny(
                "outside-hours",
                "`business-hours` is not `open` and `outside_hours` is `deny`",
            );
        }
        Decision::Allow(Terms {
            https_only: true,
            ..Terms::default()
        })
    }

    fn check_addresses(&self, _: &Request, resolution: &Resolution) -> Vec<Verdict> {
        resolution.answers.iter().map(judge).collect()
    }
}

pinfold_policy::export!(Partners);

/// A partner that another one covers would go on being allowed after it was taken out of the list.
fn is_covered(partners: &[String], at: usize) -> bool {
    let covers = |(other, partner): (usize, &String)| {
        matches(partner, &partners[at]) && (other < at || *partner != partners[at])
    };
    partners.iter().enumerate().any(covers)
}

fn problem(at: usize) -> Problem {
    Problem::new(
        format!("/partners/{at}"),
        "another partner covers this name: keep one of the two",
    )
}

/// `*.example.com` covers what ends in `.example.com`; any other partner covers itself.
fn matches(partner: &str, host: &str) -> bool {
    partner
        .strip_prefix('*')
        .map_or(partner == host, |end| host.ends_with(end))
}

/// The embedder says so, and says nothing else: a label may repeat.
fn is_open(request: &Request) -> bool {
    let mut hours = request
        .labels
        .iter()
        .filter(|(key, _)| key == "business-hours")
        .peekable();
    hours.peek().is_some() && hours.all(|(_, value)| value == "open")
}

fn judge(answer: &Answer) -> Verdict {
    if answer
        .embedded
        .iter()
        .any(|inner| inner.class != Class::Public)
    {
        return Verdict::Deny(Denial::new(
            "address-wrapped",
            "an IPv4 address inside it is not public",
        ));
    }
    if answer.class != Class::Public && !answer.granted {
        return Verdict::Deny(Denial::new(
            "address-not-public",
            "the address is neither public nor granted",
        ));
    }
    Verdict::Allow
}

fn deny(code: &'static str, message: &str) -> Decision {
    Decision::Deny(Denial::new(code, message))
}

#[cfg(test)]
mod tests {
    use pinfold_policy::{Target, configure};

    use super::*;

    #[test]
    fn a_partner_is_reached_while_the_office_is_open() {
        let policy: Partners = configure(r#"{ "partners": ["*.partner.example"] }"#).unwrap();
        let request = Request::new(Target::new("https", "shop.partner.example", 443));
        assert!(
            matches!(policy.check_target(&request), Decision::Deny(denial) if denial.code() == "outside-hours")
        );
        let request = request.label("business-hours", "open");
        assert!(
            matches!(policy.check_target(&request), Decision::Allow(terms) if terms.https_only)
        );
    }

    #[test]
    fn a_partner_that_another_covers_is_a_problem() {
        let settings = r#"{ "partners": ["*.partner.example", "shop.partner.example"] }"#;
        let problems = configure::<Partners>(settings).err().unwrap();
        assert_eq!(problems, [problem(1)]);
    }
}
