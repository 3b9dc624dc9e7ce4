"""`manage.py pinfold_check URL`."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from pinfold.django import ready
from pinfold.errors import PolicyError


class Command(BaseCommand):
    """Judges URLs as the application would.

    Exits with 1 when one of them would not be fetched, with 2 when none could be judged.
    """

    help = "Says what becomes of a URL under the policy of this application. Nothing is connected to."
    requires_system_checks = []  # noqa: RUF012 - as `BaseCommand` declares it

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Arguments."""
        parser.add_argument("urls", nargs="+", metavar="URL")
        parser.add_argument("--method", default="GET", help="the HTTP method; GET unless given")
        parser.add_argument("--subject", help="who asks")
        parser.add_argument("--json", action="store_true", help="one record of a decision a line")

    def handle(self, *_: Any, urls: list[str], method: str, subject: str | None, **options: Any) -> None:
        """Judges them, one after the other."""
        try:
            guard = ready.guard()
        except PolicyError as error:
            raise CommandError(f"{error}\nhint: {error.hint}", returncode=2) from None
        decisions = [guard.check(url, method=method, subject=subject) for url in urls]
        for decision in decisions:
            self.stdout.write(json.dumps(decision.record) if options["json"] else decision.explain())
        if not all(decisions):
            sys.exit(1)
