"""The policy "partners": only these hosts, only `https`, only during business hours, only public addresses."""

import json as reader
from pathlib import Path

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.settings import Description, Problem
from wit_world.imports.types import (
    AddressClass, Decision_Allow, Decision_Deny, Denial, TargetHost_Domain, Terms, Verdict_Allow, Verdict_Deny,
)

# Read when the component is built: no file is there when it runs.
SCHEMA = Path(__file__).with_name("settings.schema.json").read_text()

partners = []
outside_hours = "deny"


class Settings(exports.Settings):
    def describe(self):
        return Description("partners", "1.0.0", "only these partners, by https, during business hours", SCHEMA)

    def configure(self, json):
        global partners, outside_hours
        settings = reader.loads(json)
        partners = settings["partners"]
        outside_hours = settings.get("outside_hours", "deny")
        covered = [at for at in range(len(partners)) if is_covered(at)]
        if covered:
            message = "another partner covers this name: keep one of the two"
            raise Err([Problem(f"/partners/{at}", message) for at in covered])


class Decide(exports.Decide):
    def check_target(self, request):
        target = request.target
        if target.scheme != "https":
            return deny("https-required", "only `https` is allowed")
        if not isinstance(target.host, TargetHost_Domain) or not any(matches(p, target.host.value) for p in partners):
            return deny("host-not-allowed", "the host is none of `partners`")
        if outside_hours != "allow" and not is_open(request):
            return deny("outside-hours", "`business-hours` is not `open` and `outside_hours` is `deny`")
        return Decision_Allow(Terms(None, None, None, None, https_only=True))

    def check_addresses(self, request, resolution):
        return [judge(answer) for answer in resolution.answers]


def is_covered(at):
    """A partner that another one covers would go on being allowed after it was taken out of the list."""
    name = partners[at]
    return any(matches(p, name) and (i < at or p != name) for i, p in enumerate(partners))


def matches(partner, host):
    """`*.example.com` covers what ends in `.example.com`; any other partner covers itself."""
    return host.endswith(partner[1:]) if partner.startswith("*") else host == partner


def is_open(request):
    """The embedder says so, and says nothing else: a label may repeat."""
    hours = {value for key, value in request.labels if key == "business-hours"}
    return hours == {"open"}


def judge(answer):
    if any(inner.class_ != AddressClass.PUBLIC for inner in answer.embedded):
        return Verdict_Deny(Denial("address-wrapped", "an IPv4 address inside it is not public"))
    if answer.class_ != AddressClass.PUBLIC and not answer.granted:
        return Verdict_Deny(Denial("address-not-public", "the address is neither public nor granted"))
    return Verdict_Allow()


def deny(code, message):
    return Decision_Deny(Denial(code, message))
