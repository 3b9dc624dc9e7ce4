"""Validators for fields of models and forms that hold URLs."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.utils.deconstruct import deconstructible
from django.utils.translation import gettext_lazy

from pinfold._answers import answer
from pinfold.django import ready
from pinfold.errors import PinfoldError


@deconstructible(path="pinfold.django.FetchableValidator")
class FetchableValidator:
    """Says to whoever fills in a form that a URL cannot be fetched.

    It looks the name up. It is early feedback, no protection: what is stored is judged again when it is fetched,
    because a name may have another address by then.
    """

    message = gettext_lazy("This URL cannot be fetched (%(reason)s).")

    def __init__(self, *, method: str = "GET", subject: str | None = None) -> None:
        self.method = method
        self.subject = subject

    def __call__(self, value: str) -> None:
        """Raises `ValidationError`. Its code is the reason code; no address is in it."""
        found = ready.ready()
        try:
            found.guard.resolve(value, method=self.method, subject=self.subject)
        except PinfoldError as error:
            code = answer(error, found.style).error["code"]
            raise ValidationError(self.message, code=code, params={"reason": code, "value": value}) from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FetchableValidator) and (self.method, self.subject) == (other.method, other.subject)

    def __hash__(self) -> int:
        return hash((self.method, self.subject))


validate_fetchable = FetchableValidator()
