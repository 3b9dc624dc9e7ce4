"""The pages about Python say what is so: what they show is run. How: `support.pages`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import pages

DOCS = Path(__file__).parents[3] / "docs"
PAGES = list(pages.pages(DOCS))


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code_cache: Path) -> Iterator[pages.Stage]:
    """Loopback with a public server, and one inside."""
    running = pages.Stage(monkeypatch, tmp_path, code_cache)
    yield running
    running.stop()


@pytest.mark.looks_up
@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_a_page_is_so(stage: pages.Stage, page: Path) -> None:
    stage.run(page)


def test_there_are_pages() -> None:
    assert {"python.md", "python-flask.md", "python-testing.md"} <= {page.name for page in PAGES}


WRONG = [
    ("output", "```python\n>>> 1 + 1\n3\n```\n", AssertionError),
    (
        "the module of an exception",
        "```python\n>>> import pinfold\n>>> pinfold.Guard(mode='off')\n"
        "Traceback (most recent call last):\npinfold.elsewhere.PolicyError: ...\n```\n",
        AssertionError,
    ),
    ("exception", "text\n\n```python\nx = 1\nraise KeyError(x)\n```\n", KeyError),
    ("no exception", "<!-- raises: KeyError -->\n```python\nx = 1\n```\n", AssertionError),
    ("another exception", "<!-- raises: KeyError -->\n```python\nraise ValueError\n```\n", AssertionError),
    ("syntax", "<!-- not run: it needs a cluster -->\n```python\nx =\n```\n", SyntaxError),
    ("no reason", "<!-- not run -->\n```python\nx = 1\n```\n", AssertionError),
    ("a block that is not seen", "1. ...\n\n   ```python\n   x = 1\n   ```\n", AssertionError),
]


@pytest.mark.looks_up
@pytest.mark.parametrize(("text", "error"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_a_page_that_is_wrong_is_found(
    stage: pages.Stage, tmp_path: Path, text: str, error: type[BaseException]
) -> None:
    page = tmp_path / "python-wrong.md"
    page.write_text(text)
    with pytest.raises(error):
        stage.run(page)
