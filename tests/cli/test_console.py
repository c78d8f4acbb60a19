"""What commands show: data cannot drive the terminal, whoever wrote it."""

import json
from pathlib import Path

import pytest

from boresight.cli import main
from boresight.progress import printable, say


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, 中文, é 😀\n\tnext", "plain, 中文, é 😀\n\tnext"),
        ("\x1b]0;title\x07", "⟨U+001B⟩]0;title⟨U+0007⟩"),
        ("\x9b31m", "⟨U+009B⟩31m"),
        ("over\rwritten", "over⟨U+000D⟩written"),
        ("a\u202eb\u2028c", "a⟨U+202E⟩b⟨U+2028⟩c"),
        ("no\u00a0break", "no\u00a0break"),
    ],
)
def test_what_would_drive_a_terminal_is_spelt_out(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_what_is_said_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    say("[red]:smile:\x1b[2J[/red]")
    assert "[red]:smile:⟨U+001B⟩[2J[/red]" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["show"], ["describe"]])
def test_conversations_are_shown_as_they_are_written(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    messages = [{"role": "user", "content": "a\x1b[2Jb"}, {"role": "assistant", "content": "\x1b[31mc"}]
    row = {"source": "[red]x\x1b[31m", "messages": messages}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    monkeypatch.setattr("sys.argv", ["boresight", "data", *command, str(tmp_path / "rows.jsonl")])
    with pytest.raises(SystemExit) as stop:
        main()
    printed = capsys.readouterr().out
    assert not stop.value.code and "\x1b" not in printed
    assert ("a⟨U+001B⟩[2Jb" if command == ["show"] else "[red]x⟨U+001B⟩") in printed
