"""Django: `INSTALLED_APPS += ["pinfold.django"]`, the middleware, and `PINFOLD = {...}` in the settings.

    MIDDLEWARE = [..., "pinfold.django.middleware.PinfoldMiddleware"]
    PINFOLD = {"SETTINGS": BASE_DIR / "egress.toml", "WATCH": True}

    def preview(request):
        response = pinfold.django.session.get(request.GET["url"])

What a view raises because a URL was refused is answered with 400, 403, 502 or 504, as JSON with reason code and
correlation id, and with no address. `manage.py check` says what is wrong with policy and settings, `manage.py
pinfold_check URL` what becomes of a URL.
"""

from pinfold._extras import needed
from pinfold._web import acting_as

with needed("django"):
    from pinfold.django.ready import guard, new_session, session
    from pinfold.django.signals import decision_made
    from pinfold.django.validators import FetchableValidator, validate_fetchable
    from pinfold.django.views import check_fields, fields_checked

__all__ = [
    "FetchableValidator",
    "acting_as",
    "check_fields",
    "decision_made",
    "fields_checked",
    "guard",
    "new_session",
    "session",
    "validate_fetchable",
]
