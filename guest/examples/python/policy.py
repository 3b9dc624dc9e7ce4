"""only these partners, by https, during business hours"""

from pinfold import allow, deny, domain_of, is_public_or_granted, label_is, name_matches, problem, wraps_only_public

__version__ = "1.0.0"


class Policy:
    def configure(self, settings):
        """Called once. Problems that no schema can express are found here, all of them at once."""
        self.partners = settings["partners"]
        self.outside_hours = settings.get("outside_hours", "deny")
        message = "another partner covers this name: keep one of the two"
        return [problem(f"/partners/{at}", message) for at in range(len(self.partners)) if self.is_covered(at)]

    def check_target(self, request):
        """Stage one: may this name be looked up?"""
        host = domain_of(request.target)
        if request.target.scheme != "https":
            return deny("https-required", "only `https` is allowed")
        if not any(name_matches(partner, host) for partner in self.partners):
            return deny("host-not-allowed", "the host is none of `partners`")
        # A policy has no clock: the service that embeds the host says whether business hours are on.
        if self.outside_hours == "deny" and not label_is(request, "business-hours", "open"):
            return deny("outside-hours", "`business-hours` is not `open` and `outside_hours` is `deny`")
        return allow(https_only=True)

    def check_address(self, request, answer):
        """Stage two: may this address, one of those that the name resolved to, be dialled?"""
        if not wraps_only_public(answer):
            return deny("address-wrapped", "an IPv4 address inside it is not public")
        if not is_public_or_granted(answer):
            return deny("address-not-public", "the address is neither public nor granted")
        return allow()

    def is_covered(self, at):
        """A partner that another one covers would go on being allowed after it was taken out of the list."""
        name = self.partners[at]
        return any(name_matches(p, name) and (i < at or p != name) for i, p in enumerate(self.partners))
