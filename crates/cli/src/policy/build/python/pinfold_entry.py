# The module that a component in Python begins with: runs once, when it is built.

import json
import sys
from pathlib import Path

import pinfold
import policy

METHODS = ["configure", "check_target", "check_address"]

# Read now: no file is there when the component runs.
about = json.loads(Path(__file__).with_name("about.json").read_text())


def build():
    the_policy = getattr(policy, "Policy", None)
    if not isinstance(the_policy, type):
        raise SystemExit("`policy.py` has no class `Policy`")
    for method in METHODS:
        if not callable(getattr(the_policy, method, None)):
            raise SystemExit(f"the class `Policy` in `policy.py` has no method `{method}`")
    description = {
        "name": about["name"],
        "version": str(getattr(policy, "__version__", "0.0.0")),
        "summary": (policy.__doc__ or "").strip().partition("\n")[0],
        "settings_schema": about["settings_schema"],
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


def take_away():
    """Without a system these would stop the policy without a word, or tell of the time of the build."""
    import builtins
    import os
    import random
    import time

    for name in ["time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep",
                 "localtime", "gmtime"]:
        setattr(time, name, refuse(f"time.{name}", "clock"))
    for name in ["random", "randint", "randrange", "choice", "getrandbits"]:
        setattr(random, name, refuse(f"random.{name}", "randomness"))
    os.urandom = refuse("os.urandom", "randomness")
    builtins.open = refuse("open", "files")
    builtins.input = refuse("input", "input")
    sys.stdout = sys.stderr = Nowhere()


Settings, Decide = build()
take_away()
