"""The command line: options, prefixes, help, errors, streams, statuses, batch."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE

import pytest

from bcctool import __version__
from bcctool.cli import Session, parse_options
from bcctool.commands import batch
from bcctool.errors import Error
from bcctool.output import Output
from bcctool.verbs import Args, Options, Usage

from .conftest import BCCTOOL

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["-j", "bcc", "run", "tool", "-x", "--long", "-h"], ["bcc", "run", "tool", "-x", "--long", "-h"]),
        (["bc", "r", "tool", "--", "-j"], ["bc", "r", "tool", "--", "-j"]),
        (["--", "bcc", "run", "tool", "-j"], ["bcc", "run", "tool", "-j"]),
        (["--", "bcc", "run", "tool"], ["bcc", "run", "tool"]),
        (["bcc", "list", "pid", "-j"], ["bcc", "list", "pid"]),
        (["b", "run", "tool", "-j"], ["b", "run", "tool"]),  # `b` is `batch`
    ],
)
def test_what_follows_a_tool_is_its_own(argv: list[str], expected: list[str]) -> None:
    options, words = parse_options(argv)
    assert words == expected
    assert options.json == (argv.count("-j") > expected.count("-j"))


def test_options_stand_anywhere_and_may_be_bundled_or_cut() -> None:
    options, words = parse_options(["prog", "-jf", "show", "--p", "--", "-j"])
    assert (options.json, options.pretty, options.bpffs, options.debug) == (True, True, True, False)
    assert words == ["prog", "show", "-j"]
    assert options.style == "pretty"
    options, words = parse_options(["-B", "file", "btf", "--base-btf", "other"])
    assert (options.base_btf, words) == ("other", ["btf"])
    assert parse_options(["-nBbase"])[0].base_btf == "base"
    assert parse_options(["--base=other"])[0].base_btf == "other"
    assert parse_options(["-"])[1] == ["-"]
    assert parse_options(["-128", "-j"])[1] == ["-128"]  # no option is a digit, and a priority may be negative


@pytest.mark.parametrize("argv", [["--foo"], ["--b"], ["--json=1"], ["-x"], ["-jx"], ["-B"]])
def test_unknown_options_are_refused(argv: list[str]) -> None:
    with pytest.raises(Usage):
        parse_options(argv)


def test_help_is_immediate_and_version_waits(bcctool: Run) -> None:
    done = bcctool("-h", "--foo")
    assert done.stdout == ""
    assert done.stderr.startswith("Usage: bcctool [OPTIONS] OBJECT { COMMAND | help }\n")
    assert bcctool("-V", "--foo", status=255).stderr.startswith("Error: unrecognized option '--foo'\nUsage: ")
    assert bcctool("prog", "show", "-V").stdout.startswith(f"bcctool v{__version__}\n")


@pytest.mark.parametrize("option", ["--foo", "--json=1", "-B"])
def test_an_unknown_option_is_an_error_in_json_too(bcctool: Run, option: str) -> None:
    done = bcctool("-j", "version", option, status=255)
    assert json.loads(done.stdout)["error"].startswith(f"unrecognized option '{option}'")
    assert done.stderr == ""


def test_the_base_btf_is_looked_at_before_anything_else(bcctool: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for path, reason in (("/nosuch", "No such file or directory"), (str(tmp_path / "empty"), "it is empty")):
        done = bcctool("-B", path, "version", status=255)
        assert (done.stdout, done.stderr) == ("", f"Error: failed to parse base BTF at '{path}': {reason}\n")
        done = bcctool("version", "-jB", path, status=255)
        assert json.loads(done.stdout) == {"error": f"failed to parse base BTF at '{path}': {reason}"}


def test_an_empty_word_is_the_first_command(bcctool: Run) -> None:
    assert bcctool("iter", "").stderr.startswith("Usage: bcctool iter ")
    assert bcctool("").stderr.startswith("Usage: bcctool [OPTIONS]")


@pytest.mark.parametrize(
    ("words", "before"),
    [
        ("p p", "p"),
        ("gen", "gen"),
        ("map create /x type hash key 4 value 4 entries", "4"),
        ("prog load a b type", "type"),
        ("iter pin a b map", None),
    ],
)
def test_the_word_before_missing_ones_is_named(bcctool: Run, words: str, before: str | None) -> None:
    done = bcctool(*words.split(), status=None)
    assert (f"Error: '{before}' needs at least " in done.stderr) == bool(before)
    assert done.returncode in (234, 255, 254)


def test_version_in_json(bcctool: Run) -> None:
    record = json.loads(bcctool("version", "-j").stdout)
    assert list(record) == ["version", "libbpf_version", "features"]
    assert record["version"] == __version__
    assert list(record["features"]) == ["libbfd", "llvm", "skeletons", "bootstrap"]
    assert {type(present) for present in record["features"].values()} == {bool}


@pytest.mark.parametrize("words", [["-V"], ["v"], ["version", "x"], ["-V", "prog", "show"], ["nosuch", "--vers"]])
def test_version_wins_over_what_else_is_asked_for(bcctool: Run, words: list[str]) -> None:
    done = bcctool(*words)
    first, libbpf, features = done.stdout.splitlines()
    assert (first, features.partition(" ")[0], done.stderr) == (f"bcctool v{__version__}", "features:", "")
    record = json.loads(bcctool("-j", *words).stdout)
    assert libbpf == f"using libbpf v{record['libbpf_version']}"
    assert features.split()[1:] == [name for name, present in record["features"].items() if present]
    assert bcctool("-p", *words).stdout.startswith('{\n    "version": "')


@pytest.mark.parametrize("words", [["-V", "--foo"], ["-jV", "prog", "-x"], ["-V", "-B"]])
def test_version_waits_for_all_options(bcctool: Run, words: list[str]) -> None:
    done = bcctool(*words, status=255)
    if "j" in words[0]:
        assert (list(json.loads(done.stdout)), done.stderr) == (["error"], "")
    else:
        assert (done.stdout, done.stderr.partition(" ")[0]) == ("", "Error:")


@pytest.mark.parametrize(
    ("words", "status"), [(["help"], 0), ([""], 0), (["prog", "help"], 0), (["prog", "nosuch"], 255), (["nosuch"], 255)]
)
def test_help_goes_to_stderr_and_is_null_in_json(bcctool: Run, words: list[str], status: int) -> None:
    done = bcctool(*words, status=status)
    assert done.stdout == ""
    assert done.stderr.startswith("Usage: bcctool ")
    done = bcctool("-j", *words, status=status)
    assert (done.stdout, done.stderr) == ("null\n", "")


def test_family_help_says_the_object_as_typed(bcctool: Run) -> None:
    assert "Usage: bcctool pro { show | list } [PROG]\n" in bcctool("pro", "help").stderr


def test_errors_go_to_stderr_or_into_the_json(bcctool: Run) -> None:
    done = bcctool("object", "show", "/nonexistent.o", status=255)
    assert (done.stdout, done.stderr) == ("", "Error: /nonexistent.o: No such file or directory\n")
    done = bcctool("object", "show", "/nonexistent.o", "-j", status=255)
    assert (done.stdout, done.stderr) == ('{"error":"/nonexistent.o: No such file or directory"}\n', "")


def test_a_name_with_terminal_escapes_is_shown_escaped(bcctool: Run) -> None:
    done = bcctool("object", "show", "/\x1b[2J", status=255)
    assert done.stderr == "Error: /\\x1b[2J: No such file or directory\n"


def test_closed_stdout_is_quiet() -> None:
    read, write = os.pipe()
    os.close(read)
    code = "from bcctool.cli import main; import sys; sys.exit(main(['version']))"
    with os.fdopen(write, "wb") as stdout:
        done = subprocess.run([sys.executable, "-c", code], stdout=stdout, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_descriptors_are_quiet(closed: str) -> None:
    from .conftest import BCCTOOL, run

    done = run("sh", "-c", f'"$@" {closed}', "sh", *BCCTOOL, "version")
    assert "Traceback" not in done.stderr
    assert done.stdout.startswith("bcctool v") == (closed[0] != ">")


def test_full_disk_is_one_line(bcctool: Run) -> None:
    code = "from bcctool.cli import main; import sys; sys.exit(main(['version']))"
    with open("/dev/full", "wb") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (255, b"Error: can't write the output: No space left on device\n")


def test_batch_runs_lines_until_one_fails(bcctool: Run, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("# a comment\nversion # another\n\nver\\\nsion\n'version'\n")
    done = bcctool("batch", "file", script)
    assert done.stdout.count(f"bcctool v{__version__}\n") == 3
    assert done.stdout.endswith("processed 3 commands\n")
    script.write_text("version\nobject show /nonexistent.o\nversion\n")
    done = bcctool("batch", "file", script, status=255)
    assert done.stdout.count("bcctool v") == 1
    assert done.stderr == "Error: /nonexistent.o: No such file or directory\n"


@pytest.mark.parametrize("style", ["-j", "-p"])
def test_batch_in_json_is_json_whatever_fails(bcctool: Run, style: str) -> None:
    script = "help\nprog nosuch\nversion\n"
    done = bcctool(style, "batch", "file", "-", input=script, status=255)
    assert json.loads(done.stdout) == [
        {"command": ["help"], "output": None},
        {"command": ["prog", "nosuch"], "output": None},
    ]
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("object 'show\n", "unterminated quoted string in command 0"),
        ("version\nobject \\\n", "missing continuation line on command 1"),
        ("x " * 4096 + "\n", "too many arguments to command 0: more than 4095"),
        (
            "x" * 65534 + "\n",
            "reading batch file failed: Argument list too long: command 0 is too long: more than 65534 bytes",
        ),
        ("version \\\n" + "x" * 70000, "command 0 is too long: more than 65534 bytes"),
        ("version \\\n" + "x" * 40000 + "\\\n" + "x" * 30000, "command 0 is too long: more than 65534 bytes"),
        ("version\nversion x\0y\n", "command 1 has a NUL byte: is the file a text?"),
    ],
)
def test_batch_refuses_what_it_cannot_read(bcctool: Run, script: str, message: str) -> None:
    done = bcctool("batch", "file", "-", input=script, status=255)
    assert done.stderr == f"Error: {message}\n"
    *ran, last = json.loads(bcctool("-j", "batch", "file", "-", input=script, status=255).stdout)
    assert (last, len(ran)) == ({"error": message}, done.stdout.count("bcctool v"))


def test_batch_runs_each_line_before_it_reads_the_next() -> None:
    with subprocess.Popen([*BCCTOOL, "batch", "file", "-"], stdin=PIPE, stdout=PIPE, text=True, bufsize=1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        timer = threading.Timer(20, process.kill)
        timer.start()
        for _ in range(3):
            process.stdin.write("version\n")
            assert [process.stdout.readline().partition(" ")[0] for _ in range(3)] == ["bcctool", "using", "features:"]
        process.stdin.close()
        assert process.stdout.read() == "processed 3 commands\n"
        timer.cancel()


def test_batch_reads_a_comment_of_any_length(bcctool: Run) -> None:
    script = "version #" + "x" * 200000 + "\nversion\n"
    assert bcctool("batch", "file", "-", input=script).stdout.endswith("processed 2 commands\n")


@pytest.mark.parametrize("style", ["-n", "-j", "-p"])
def test_a_batch_file_that_runs_itself_ends(bcctool: Run, tmp_path: Path, style: str) -> None:
    script = tmp_path / "script"
    script.write_text(f"batch file {script}\n")
    done = bcctool(style, "batch", "file", script, status=255)
    message = f"batch files nest more than 50 deep: {script}"
    if style == "-n":
        assert (done.stdout, done.stderr) == ("", f"Error: {message}\n")
        return
    output = json.loads(done.stdout)
    for _ in range(50):
        ((command, output),) = [row.values() for row in output]
        assert command == ["batch", "file", str(script)]
    assert output == {"error": message}


def test_batch_has_what_is_no_json_as_a_string(bcctool: Run, compile_c: Callable[..., Path]) -> None:
    """A header is the same text in every style; bpftool puts it into the JSON as it is."""
    obj = compile_c("skeleton.c", "-g")
    lines = f"gen skeleton {obj}\ngen python {obj}\n"
    header, module = (bcctool(*line.split()).stdout for line in lines.splitlines())
    assert bcctool("-j", "gen", "skeleton", obj).stdout == header + "\n"
    for style in ("-j", "-p"):
        rows = json.loads(bcctool(style, "batch", "file", "-", input=lines).stdout)
        assert [row["output"] for row in rows] == [header, module]


def test_batch_says_null_where_a_command_prints_nothing(bcctool: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    out = Output("json", stream)
    session = Session(Options(), out)
    monkeypatch.setattr(Session, "execute", lambda *_: 0)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"gen object out.o in.o\n")))
    assert batch.run(Args(["file", "-"], Options()), session) == 0
    out.flush()
    assert json.loads(stream.getvalue()) == [{"command": ["gen", "object", "out.o", "in.o"], "output": None}]


def test_batch_words(bcctool: Run) -> None:
    assert list(batch.split("a  'b c' \"d'e\" f", 0)) == ["a", "b c", "d'e", "f"]
    with pytest.raises(Error):
        list(batch.split('"a', 0))
    assert bcctool("batch", status=255).stderr == "Error: too few parameters for batch\n"
    assert bcctool("batch", "file", "/nonexistent", status=255).stderr == (
        "Error: Can't open file (/nonexistent): No such file or directory\n"
    )
