# The module that a component in Python begins with: runs once, when it is built.

import gc
import json
import os
import sys

import pinfold
import policy

METHODS = ["configure", "check_target", "check_address"]


def about():
    # Read now: no file is there when the component runs.
    with open(f"{os.path.dirname(__file__)}/about.json", encoding="utf-8") as file:
        return json.load(file)


def build():
    the_policy = getattr(policy, "Policy", None)
    if not isinstance(the_policy, type):
        raise SystemExit("`policy.py` has no class `Policy`")
    for method in METHODS:
        if not callable(getattr(the_policy, method, None)):
            raise SystemExit(f"the class `Policy` in `policy.py` has no method `{method}`")
    description = {
        **about(),
        "version": str(getattr(policy, "__version__", "0.0.0")),
        "summary": (policy.__doc__ or "").strip().partition("\n")[0],
    }
    return pinfold.component(the_policy(), description)


class Nowhere:
    """Takes what is printed: without a system, writing would stop the policy."""

    encoding = "utf-8"

    def write(self, text):
        return len(text)

    def flush(self):
        pass


def refuse(what, have):
    def refused(*_args, **_kwargs):
        raise RuntimeError(f"`{what}` is called: a policy has no {have}")

    return refused


# What would stop the policy without a word, for want of a system, or tell of the time of the build.
TAKEN = {
    "builtins": ("files", ["open", "input"]),
    "os": ("files or randomness", ["listdir", "open", "scandir", "stat", "urandom"]),
    "random": ("randomness", ["choice", "getrandbits", "randint", "random", "randrange", "sample", "shuffle", "uniform"]),
    "time": ("clock", ["gmtime", "localtime", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep",
                       "time", "time_ns"]),
}


def take_away():
    for module, (have, names) in TAKEN.items():
        # What was not imported until now cannot be imported any more.
        for name in names if module in sys.modules else []:
            setattr(sys.modules[module], name, refuse(f"{module}.{name}", have))
    sys.stdout = sys.stderr = Nowhere()


Settings, Decide = build()
take_away()
# What is garbage now would be part of every instance.
gc.collect()
