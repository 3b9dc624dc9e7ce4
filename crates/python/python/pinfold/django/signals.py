"""Signals."""

from __future__ import annotations

from django.dispatch import Signal

# Sent with `decision`, a `pinfold.Decision`, for each hop that was judged; the sender is `pinfold.Guard`. Receivers are
# called on the thread that decided, are plain functions, and must not block. One that fails is logged by Django.
decision_made = Signal()
