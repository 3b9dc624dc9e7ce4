"""The application `pinfold.django`."""

from __future__ import annotations

from django.apps import AppConfig
from django.core import checks
from django.core.signals import setting_changed

from pinfold.django import ready
from pinfold.django.checks import check_middleware, check_mode, check_session, check_settings


class PinfoldConfig(AppConfig):
    """Registers the system checks. It is the default of `pinfold.django`, so there is no need to name it."""

    name = "pinfold.django"
    label = "pinfold"
    verbose_name = "Pinfold"

    def ready(self) -> None:
        """Makes no guard yet: a command that fetches nothing loads no policy."""
        checks.register(check_settings, checks.Tags.security)
        checks.register(check_middleware, checks.Tags.security)
        checks.register(check_session, checks.Tags.security)
        checks.register(check_mode, checks.Tags.security, deploy=True)
        setting_changed.connect(ready.forget, dispatch_uid="pinfold.django.ready")
