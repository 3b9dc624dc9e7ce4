"""Signals."""

from __future__ import annotations

from django.dispatch import Signal

decision_made = Signal()
"""Sent with `decision`, a `pinfold.Decision`, for each hop that was judged; the sender is `pinfold.Guard`.

Receivers are plain functions. They are called on the thread that decided: they must not block, nor ask a guard. One
that fails is logged by Django, and fails nothing.
"""
