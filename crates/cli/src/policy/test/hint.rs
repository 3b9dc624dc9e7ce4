//! What to do about a case that failed.

use pinfold::policy::Problem;
use pinfold_addr::Reason;

use crate::{
    hint,
    policy::suggest,
    vectors::{Case, Difference, Expect, Judged, Want},
};

/// The hint for a case; none when it has passed.
pub(super) fn of(
    case: &Case,
    expect: &Expect,
    judged: &Judged,
    differences: &[Difference],
) -> Option<String> {
    let first = differences.first()?;
    let hint = match (expect.verdict, Want::from(judged.verdict)) {
        (Want::Allow, Want::Deny) => of_denied(case, judged),
        (Want::Deny, Want::Allow) => {
            "the policy is looser than the vector: no rule refuses this, or a setting permits it"
                .into()
        }
        (Want::Invalid, _) => {
            "no parser may take this for a URL: was another spelling meant?".into()
        }
        (_, Want::Invalid) => "this is no URL: correct the case".into(),
        _ => of_field(expect, judged, &first.field),
    };
    Some(hint)
}

/// The hint for settings that were not refused as expected.
pub(super) fn of_settings(found: &[Problem]) -> String {
    let hint = match found {
        [] => "the policy took the settings: `configure` has to refuse what contradicts itself",
        _ => {
            "list every problem that the policy reports, each with its `path` (and, if it matters, its `message`)"
        }
    };
    hint.into()
}

/// The hint for a case of a pack.
pub(super) const OF_PACK: &str = "judge every address by its class and by what it carries inside; refuse what is not \
    public";

fn of_denied(case: &Case, judged: &Judged) -> String {
    let Some(denial) = &judged.denial else {
        return String::new();
    };
    if denial.reason() == Some(Reason::ResolveNoAnswer) {
        return no_answer(case, judged).into();
    }
    let asked = judged.asked.last();
    let port = asked.map(|asked| asked.request.target().port());
    let hint = hint::of(denial, &judged.addresses, port);
    hint.map_or_else(|| DENIED.into(), std::borrow::Cow::into_owned)
}

fn no_answer(case: &Case, judged: &Judged) -> &'static str {
    match judged.hop {
        0 if case.resolves_to().is_empty() => {
            "give the case `resolves_to`: the addresses that its name has"
        }
        _ => {
            "give the case `redirect_resolves_to`: the addresses that the name of the redirect has"
        }
    }
}

const DENIED: &str =
    "the policy is stricter than the vector: see which rule refused, and what it refused";

fn of_field(expect: &Expect, judged: &Judged, field: &str) -> String {
    let hint = match field {
        "stage" | "code" => return of_code(expect, judged),
        "message" => {
            "messages are compared word for word: leave `message` out where the words do not matter"
        }
        terms if terms.starts_with("terms.") => {
            "terms only tighten: the strictest of policy, earlier hops and host counts"
        }
        _ => {
            "`addresses` has one entry for each address in the order of the answer: `allow`, `deny`, or a code"
        }
    };
    hint.into()
}

fn of_code(expect: &Expect, judged: &Judged) -> String {
    let (Some(wanted), Some(got)) = (expect.code.as_deref(), judged.code()) else {
        return "a redirect that is refused has the stage `redirect`".into();
    };
    match suggest::nearest(wanted, std::iter::once(got)) {
        Some(got) if got != wanted => format!("did you mean `{got}`?"),
        Some(_) => "a redirect that is refused has the stage `redirect`".into(),
        None => format!("`{got}` refused it first: let the case break one rule alone"),
    }
}
