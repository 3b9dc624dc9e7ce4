//! What to do about a case that failed.

use pinfold::policy::Problem;
use pinfold_addr::Reason;

use crate::{
    hint,
    policy::suggest,
    vectors::{Case, Difference, Expect, Judged, Want},
};

/// The hint for a case; none when it has passed. `codes` are those that the project lists.
pub(super) fn of(
    case: &Case,
    expect: &Expect,
    judged: &Judged,
    differences: &[Difference],
    codes: Option<&[String]>,
) -> Option<String> {
    let first = differences.first()?;
    if let Some(failed) = judged.code().and_then(of_failure) {
        return Some(failed.into());
    }
    if let Some(misspelt) = expect.code.as_deref().and_then(|code| unknown(code, codes)) {
        return Some(misspelt);
    }
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

/// The hint for a code that neither this policy nor the host has; only a project that lists its codes tells.
fn unknown(wanted: &str, codes: Option<&[String]>) -> Option<String> {
    let listed = codes?.iter().map(String::as_str);
    let all = || {
        listed
            .clone()
            .chain(Reason::ALL.iter().map(|reason| reason.code()))
    };
    if wanted == EXCEPTION || all().any(|code| code == wanted) {
        return None;
    }
    Some(match suggest::nearest(wanted, all()) {
        Some(near) => format!("no such code: did you mean `{near}`?"),
        None => {
            "no such code: it is none of `codes` in the project file, and none of `pinfold codes`"
                .into()
        }
    })
}

/// The hint for a policy that did not judge but fail: no case can mend that.
fn of_failure(code: &str) -> Option<&'static str> {
    if code == EXCEPTION {
        return Some(
            "the policy failed: an exception that nothing caught; the message says what, and in which line",
        );
    }
    let hint = match Reason::from_code(code)? {
        Reason::PolicyTrapped => {
            "the policy failed: in Rust a panic, an index out of range, an overflow; call it in a unit test \
             (`cargo test`, with `pinfold_policy::configure`), where the panic says its line"
        }
        Reason::PolicyTimeout => {
            "the policy failed: a loop that does not end, or work for each request that belongs into `configure`; \
             `pinfold policy bench` shows the dearest vector"
        }
        Reason::PolicyStack => "the policy failed: a recursion without an end",
        Reason::PolicyMemory => {
            "the policy failed: it takes more memory than it may have; `pinfold policy bench` shows how much"
        }
        Reason::PolicyOutput => {
            "the policy failed: its answer is not what the contract allows (a code in kebab-case, a message of \
             bounded length)"
        }
        Reason::PolicyVerdictCount => {
            "the policy failed: the second stage has to answer one verdict for each address, in their order"
        }
        _ => return None,
    };
    Some(hint)
}

/// The code with which the support files of Python and JavaScript answer for an exception.
const EXCEPTION: &str = "exception";

fn of_denied(case: &Case, judged: &Judged) -> String {
    let Some(denial) = &judged.denial else {
        return String::new();
    };
    if denial.reason() == Some(Reason::ResolveNoAnswer) {
        return no_answer(case, judged).into();
    }
    let asked = judged.asked.last();
    let port = asked.map(|asked| asked.request.target().port());
    let policy = judged.decisions.last().map(|decision| &*decision.policy);
    let hint = hint::of(denial, &judged.addresses, port, policy);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_nobody_has_is_a_slip_of_the_vector() {
        let codes = ["tenant-suspended".to_owned()];
        for (wanted, listed, said) in [
            ("addres-not-public", true, Some("`address-not-public`?")),
            ("tenant-suspendet", true, Some("`tenant-suspended`?")),
            ("something-else", true, Some("none of `codes`")),
            ("tenant-suspended", true, None),
            ("address-floor", true, None),
            ("something-else", false, None),
        ] {
            let hint = unknown(wanted, listed.then_some(&codes));
            assert_eq!(hint.is_some(), said.is_some(), "{wanted}: {hint:?}");
            assert!(
                hint.unwrap_or_default().contains(said.unwrap_or("")),
                "{wanted}"
            );
        }
    }

    #[test]
    fn a_policy_that_failed_is_not_blamed_on_the_case() {
        for (code, said) in [
            ("policy-trapped", Some("`pinfold_policy::configure`")),
            ("policy-timeout", Some("does not end")),
            ("policy-verdict-count", Some("one verdict for each address")),
            ("exception", Some("the message says what")),
            ("host-not-allowed", None),
            ("tenant-suspended", None),
        ] {
            let hint = of_failure(code);
            assert_eq!(hint.is_some(), said.is_some(), "{code}");
            assert!(hint.unwrap_or("").contains(said.unwrap_or("")), "{code}");
        }
    }
}
