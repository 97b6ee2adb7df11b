"""The command starts fast because it imports little, and explains itself."""

import json
import subprocess
import sys

import typer

from indexer.cli.main import app

HEAVY = ("statsmodels", "scipy", "numba", "altair", "pandas", "exchange_calendars", "pyarrow", "sqlalchemy", "fastapi")
COMMANDS = (
    "up", "import", "update", "serve", "schedule", "beta", "levels", "export", "verify", "methodology", "demo",
    "doctor", "sources", "backfill",
)  # fmt: skip


def run(*arguments, env=None):
    command = [sys.executable, "-c", "from indexer.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, check=False)


def test_help_lists_every_command_and_the_exit_codes():
    made = run("--help")
    assert made.returncode == 0
    for command in COMMANDS:
        assert f" {command} " in made.stdout
    assert "7" in made.stdout and "verification failed" in made.stdout


def commands(part, words=()):
    """Every command of the program with the words that call it."""
    for name, command in getattr(part, "commands", {}).items():
        yield from commands(command, (*words, name)) if hasattr(command, "commands") else [((*words, name), command)]


def test_every_command_says_what_it_does_and_what_its_options_are():
    known = dict(commands(typer.main.get_command(app)))
    assert len(known) > 55 and ("onchain", "doctor") in known and ("keys", "create") in known
    for words, command in known.items():
        assert command.help, words
        for parameter in command.params:
            assert parameter.help, (*words, parameter.name)
    alone = {words for words, command in known.items() if not any("--json" in one.opts for one in command.params)}
    assert alone == {
        ("mcp",),
        ("calendar",),
        ("override", "add"),
        ("override", "withdraw"),
        ("state",),
        ("methodology", "new"),
    }


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom indexer.cli import main\nsys.argv = ['deai', '--help']\n"
        "try: main()\nexcept SystemExit: pass\n"
        f"import json\nprint('\\n' + json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(made.stdout.splitlines()[-1]) == []


def test_a_misspelt_setting_is_refused_with_the_closest_one(tmp_path):
    made = run("levels", env={"DEAI_DATA_DRI": str(tmp_path), "PATH": "/usr/bin:/bin"})
    assert made.returncode == 2
    assert made.stderr == 'error: DEAI_DATA_DRI is not a setting. Did you mean "DEAI_DATA_DIR"?\n'


def test_an_error_in_json_mode_is_one_json_object_on_stderr(tmp_path):
    made = run("levels", "deai", "--json", env={"DEAI_DATA_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"})
    assert made.returncode == 3
    assert made.stdout == ""
    problem = json.loads(made.stderr)["error"]
    assert problem["code"] == "not_found"
    assert 'No index "deai"' in problem["detail"]
