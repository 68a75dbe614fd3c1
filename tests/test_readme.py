"""What the README and the pages of docs/ show runs as printed."""

import re
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "docs/getting_started.md"]


@pytest.mark.parametrize("page", PAGES)
def test_python_blocks_run(page, capsys):
    """Every block after the ones before it; a block of text that follows is what it prints."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", text, re.S)
    assert blocks
    names: dict = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for code, shown in blocks:
            exec(compile(code, page, "exec"), names)
            printed = capsys.readouterr().out
            assert not shown or printed == shown


def test_set_up_commands_are_single_lines():
    commands = re.findall(
        r"^    (python3 -m venv .*)$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M
    )
    assert len(commands) == 2
    assert "fasthde curve" in commands[0]
    assert "pytest" in commands[1]
