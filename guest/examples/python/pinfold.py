"""What a policy in Python is written with, and how it meets the contract `pinfold:policy`.

Yours to read and to change. `pinfold policy build` makes a component of `policy.py` through `component`,
at the end of this file.
"""

import json as reader

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.settings import Description, Problem
from wit_world.imports.types import (
    AddressClass, Decision_Allow, Decision_Deny, Denial, TargetHost_Domain, Terms, Verdict_Allow, Verdict_Deny,
)


# Answers.


def allow(connect_timeout_ms=None, total_timeout_ms=None, response_kib=None, redirects=None, https_only=False):
    """Allows. The terms tighten what the host would do anyway, and count in `check_target` only."""
    return Terms(connect_timeout_ms, total_timeout_ms, response_kib, redirects, https_only)


def deny(code, message):
    """Denies. `code` is stable and kebab-case: others rely on it. `message` is one sentence for the operator."""
    return Denial(code, message)


def problem(path, message):
    """One thing that is wrong with the settings; `path` is a JSON Pointer, such as `/partners/0`."""
    return Problem(path, message)


# Questions.


def domain_of(target):
    """The domain name of a target: lower case, no trailing dot. None when its host is an address."""
    return target.host.value if isinstance(target.host, TargetHost_Domain) else None


def name_matches(pattern, name):
    """Whether a name is what the pattern means: `*.example.com` is every name below it, else that name alone."""
    if pattern.startswith("*."):
        return name is not None and len(name) >= len(pattern) and name.endswith(pattern[1:])
    return name == pattern


def label(request, key):
    """What the embedder says with this label. None when it says nothing, or contradicts itself."""
    said = {value for name, value in request.labels if name == key}
    return said.pop() if len(said) == 1 else None


def label_is(request, key, value):
    """Whether the embedder says this, and nothing else, with this label."""
    return label(request, key) == value


def is_public_or_granted(answer):
    """Whether the address is globally reachable, or what the operator grants. Does not look inside."""
    return answer.granted or answer.class_ == AddressClass.PUBLIC


def wraps_only_public(answer):
    """Whether every IPv4 address inside it is public; true when there is none."""
    return all(inner.class_ == AddressClass.PUBLIC for inner in answer.embedded)


# The contract.


def component(policy, description):
    """The classes `Settings` and `Decide` that a component exports, around a policy."""

    class Settings(exports.Settings):
        def describe(self):
            return Description(**description)

        def configure(self, json):
            problems = shielded(lambda: policy.configure(reader.loads(json)), failed_settings)
            if problems:
                raise Err(problems)

    class Decide(exports.Decide):
        def check_target(self, request):
            answer = shielded(lambda: checked(policy.check_target(request), "check_target"), failed)
            return Decision_Deny(answer) if isinstance(answer, Denial) else Decision_Allow(answer)

        def check_addresses(self, request, resolution):
            return [judge(request, answer) for answer in resolution.answers]

    def judge(request, address):
        answer = shielded(lambda: checked(policy.check_address(request, address), "check_address"), failed)
        return Verdict_Deny(answer) if isinstance(answer, Denial) else Verdict_Allow()

    return Settings, Decide


def checked(answer, method):
    if isinstance(answer, (Terms, Denial)):
        return answer
    raise TypeError(f"{method} answered {answer!r}: answer `allow(...)` or `deny(code, message)`")


def shielded(ask, otherwise):
    """A policy that fails denies, and says where: an exception that leaves it would stop it without a word."""
    try:
        return ask()
    except Exception as error:
        return otherwise(f"{type(error).__name__}: {error} ({place(error)})")


def failed(what):
    return deny("exception", short(what))


def failed_settings(what):
    return [problem("", short(what))]


def place(error):
    """The line of `policy.py`, or the last one."""
    lines, step = [], error.__traceback__
    while step:
        lines.append((step.tb_frame.f_code.co_filename.rsplit("/", 1)[-1], step.tb_lineno))
        step = step.tb_next
    file, line = next((at for at in reversed(lines) if at[0] == "policy.py"), lines[-1])
    return f"{file}:{line}"


def short(text):
    """The host refuses longer messages."""
    return text.encode()[:512].decode(errors="ignore")
