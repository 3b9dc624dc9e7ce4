"""Fetch a URL that a stranger wrote, without letting the stranger into the network behind it.

    >>> import pinfold
    >>> guard = pinfold.Guard()
    >>> print(guard.check("http://169.254.169.254/latest/meta-data/").verdict)
    deny

A policy, a sandboxed WebAssembly component, judges each URL and each resolved address; a name is looked up once; a
socket is opened to judged addresses only. `pinfold.requests`, `pinfold.urllib3`, `pinfold.httpx`, `pinfold.aiohttp` and
`pinfold.urllib` fetch with the libraries that you have; `pinfold.flask`, `pinfold.django` and `pinfold.starlette` are
for web applications; `pinfold.guard_process` stops what forgot to use any of them.
"""

from pinfold._native import VERSION as __version__
from pinfold._native import FixedAnswers, Target
from pinfold.budget import Budget
from pinfold.decision import Decision, JudgedAddress, codes
from pinfold.errors import (
    BudgetExceeded,
    DeadlineExceeded,
    Denied,
    ForkError,
    InvalidURL,
    NetworkError,
    PinfoldError,
    PolicyError,
    Timeout,
)
from pinfold.guard import Guard, Layer, PinnedSocket, Resolved, Swap, Watch, default_guard, set_default_guard
from pinfold.process import ConnectRefused, ProcessGuard, guard_process
from pinfold.settings import Settings

__all__ = [
    "Budget",
    "BudgetExceeded",
    "ConnectRefused",
    "DeadlineExceeded",
    "Decision",
    "Denied",
    "FixedAnswers",
    "ForkError",
    "Guard",
    "InvalidURL",
    "JudgedAddress",
    "Layer",
    "NetworkError",
    "PinfoldError",
    "PinnedSocket",
    "PolicyError",
    "ProcessGuard",
    "Resolved",
    "Settings",
    "Swap",
    "Target",
    "Timeout",
    "Watch",
    "__version__",
    "codes",
    "default_guard",
    "guard_process",
    "set_default_guard",
]
