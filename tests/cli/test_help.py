"""The help of every command: what it does, its usage, and an example of flags that it has."""

import ast
import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

from mer_jax import cli

FOLDER = pathlib.Path(cli.__file__).parent


def source(name: str) -> str:
    return (FOLDER / f"{name.replace('-', '_')}.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_has_a_sentence_a_usage_and_an_example(name):
    text = ast.get_docstring(ast.parse(source(name)))
    sentence, usage, *_ = text.split("\n\n")
    assert re.fullmatch(r"[A-Z][a-z-]+s [^.]*(\.\w[^.]*)*\.", sentence.replace("\n", " ")), sentence
    assert all(line.strip().startswith(f"mer-jax {name}") for line in usage.splitlines())
    example = text.split("\nExample:\n\n")[1].split("\n\n")[0].replace("\\\n", " ")
    assert f"mer-jax {name} " in example
    shared = "".join(source(f"{kind}_flags") for kind in ("database", "run"))
    for line in example.splitlines():
        program, command, *words = shlex.split(line)
        if (program, command) != ("mer-jax", name):
            continue
        for flag in re.findall(r"^--(\w+)", "\n".join(words), re.MULTILINE):
            assert f'"{flag}"' in source(name) + shared, flag
        assert not [word for word in words if re.fullmatch(r"(--\w+=)?[A-Z]{3,}", word)]


def test_the_list_of_commands_has_each_ones_first_sentence():
    lines = cli.usage().splitlines()[2:]
    assert [line.split()[0] for line in lines] == [*cli.COMMANDS]
    assert all(line.endswith(".") for line in lines)


@pytest.mark.parametrize("words", [["databases"], ["predict", "--help"]])
def test_a_reader_that_has_gone_is_no_traceback(words):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-m", "mer_jax", *words], stdout=write, stderr=-1)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_without_an_output_a_command_ends_as_usual():
    line = f"{shlex.quote(sys.executable)} -m mer_jax databases >&-"
    done = subprocess.run(line, shell=True, stderr=-1)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_broken_pipe_of_another_file_is_not_hidden():
    def write():
        raise BrokenPipeError("of an encoder")

    with pytest.raises(BrokenPipeError, match="encoder"):
        cli.command.run(write)


def test_a_folder_that_may_not_be_entered_is_one_sentence(capsys):
    def look():
        raise PermissionError(13, "Permission denied", "/home/other/CASME II")

    assert cli.command.run(look) == 2
    assert capsys.readouterr().err == "error: /home/other/CASME II: Permission denied\n"
