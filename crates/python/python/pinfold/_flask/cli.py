"""`flask pinfold`: what the guard of the application says about a URL."""

from __future__ import annotations

import json as jsons
import sys
from typing import TYPE_CHECKING

import click
from flask.cli import AppGroup

from pinfold._flask.state import current_state
from pinfold.decision import codes as all_codes
from pinfold.guard import Guard

if TYPE_CHECKING:
    from pinfold import Decision

commands = AppGroup("pinfold", help="Ask the guard of this application.")

_DENIED = 1


@commands.command("check")
@click.argument("urls", metavar="URL...", nargs=-1, required=True)
@click.option("--method", default="GET", show_default=True, help="HTTP method that the policy sees.")
@click.option("--subject", help="Who asks: selects the rules of a subject.")
@click.option("--label", "labels", metavar="KEY=VALUE", multiple=True, help="Label that the policy sees.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a URL.")
def _check(urls: tuple[str, ...], method: str, subject: str | None, labels: tuple[str, ...], as_json: bool) -> None:
    """Judge URLs without connecting, and explain each verdict.

    Exit codes: 0 all allowed, 1 at least one denied, 2 error.
    """
    guard = current_state().guard
    pairs = dict(_pair(label) for label in labels)
    denied = False
    for index, url in enumerate(urls):
        # Not `guard.check`: that asks the application who asks, and there is no request.
        exchange = Guard.exchange(guard, subject=subject, labels=pairs)
        decision = exchange.check(url, method)
        denied = denied or not decision
        _print(decision, url, as_json, first=index == 0)
    sys.exit(_DENIED if denied else 0)


@commands.command("codes")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a code.")
def _codes(as_json: bool) -> None:
    """List every reason code: stage, meaning, what to do."""
    for code in all_codes():
        if as_json:
            click.echo(jsons.dumps(code._asdict()))
        else:
            click.echo(f"{code.code}\n  stage    {code.stage}\n  meaning  {code.summary}\n  hint     {code.hint}")


def _print(decision: Decision, url: str, as_json: bool, *, first: bool) -> None:
    if as_json:
        shown = ("verdict", "stage", "code", "detail", "hint")
        row = {"url": url, **{name: getattr(decision, name) for name in shown}, "decision": decision.record}
        click.echo(jsons.dumps(row))
    else:
        click.echo(("" if first else "\n") + decision.explain())


def _pair(label: str) -> tuple[str, str]:
    key, equals, value = label.partition("=")
    if not (key and equals):
        raise click.BadParameter(f"`{label}` is no `KEY=VALUE`", param_hint="--label")
    return key, value
