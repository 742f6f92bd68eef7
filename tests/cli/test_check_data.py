"""The command as a user runs it."""

import json
import re
import subprocess
import sys

import pytest
from absl import flags

from mer_jax import configuration
from mer_jax.cli import check_data, command
from tests.datasets import replica, test_recordings


@pytest.fixture
def root(tmp_path):
    replica.write("casme2", tmp_path / "db", subjects=2)
    return tmp_path / "db"


def run(capsys, *arguments):
    flags.FLAGS.unparse_flags()
    names = ("database", "root", "option", "exclude", "allow_mismatch", "decode", "json", "config")
    for name in (*names, "long_videos"):
        flags.FLAGS[name].unparse()
    code = command.run(check_data.main, flags.FLAGS(["check_data", *arguments]))
    out = capsys.readouterr()
    return code, out.out, out.err


def test_a_usable_database(capsys, root):
    code, out, _ = run(capsys, "--database=casme2", f"--root={root}")
    assert code == 0 and out.rstrip().endswith("usable")
    assert "disgust                      2         63" in out
    assert "casme2/sub01                 4" in out
    assert "0 problem(s)" in out and "sub04/EP12_01f" in out


def test_an_unusable_one(capsys, root):
    (root / "Cropped/sub01/EP01_01f/reg_img95.jpg").unlink()
    code, out, _ = run(capsys, "--database=casme2", f"--root={root}")
    assert code == 1 and "1 problem(s)" in out and "onset frame 95 is not in" in out
    assert run(capsys, "--database=casme2", f"--root={root}", "--allow_mismatch")[0] == 0
    key = "--exclude=casme2/sub01/EP01_01f"
    assert run(capsys, "--database=casme2", f"--root={root}", key)[0] == 0


def test_what_is_read_and_ten_of_a_kind(capsys, root):
    (root / "RAW").symlink_to(root / "Cropped")
    for number in range(96, 102):
        for clip in ("EP01_01f", "EP01_02"):
            (root / f"Cropped/sub01/{clip}/x{number}_copy.jpg").write_bytes(b"")
    code, out, _ = run(capsys, "--database=casme2", f"--root={root}")
    assert code == 1 and f"frames (cropped): from {root}/Cropped, not from {root}/RAW (raw)" in out
    assert f"labels: from {root}/CASME2-coding-20190701.xlsx" in out
    assert "objective classes (derived from the action units" in out
    assert "12 problem(s)" in out and out.count("_copy.jpg") == 10
    assert "and 2 more of this kind: has no frame number in its name" in out


def test_a_configuration_s_data(capsys, tmp_path, monkeypatch):
    """What stcnn_casme_squared needs: all expressions, of 96 frames or more, in its classes."""
    replica.write("casme_squared", tmp_path / "casme_squared", subjects=1)
    arguments = ["check_data", "--config=stcnn_casme_squared", f"--config.data.root={tmp_path}"]
    monkeypatch.setattr(sys, "argv", arguments)  # ml_collections reads it
    flags.FLAGS.unparse_flags()
    code = command.run(check_data.main, check_data.parse(sys.argv))
    out = capsys.readouterr().out
    assert code == 1 and "not usable: nothing is left" in out and "stcnn_casme_squared in" in out
    assert "happy                        0         94" in out
    assert "leaves out 4 clip(s), e.g. casme_squared/s15/anger1_1: has 9 frames and" in out
    assert "five of the 357 expressions last 96 frames" in out


def test_decode_finds_what_the_first_look_does_not(capsys, root):
    file = root / "Cropped/sub01/EP01_01f/reg_img95.jpg"
    data = file.read_bytes()
    table = data.index(b"\xff\xc4") + 4  # Huffman's: both ends and the size are sound
    file.write_bytes(data[:table] + b"\xff" * 17 + data[table + 17 :])
    arguments = ("--database=casme2", f"--root={root}")
    assert run(capsys, *arguments)[0] == 0
    code, out, _ = run(capsys, *arguments, "--decode")
    assert code == 1 and "reg_img95.jpg: cannot be read as an image" in out


def test_json(capsys, root):
    code, out, _ = run(capsys, "--database=casme2", f"--root={root}", "--json")
    facts = json.loads(out)
    assert code == 0 and facts["usable"] and facts["clips"] == 13
    assert sum(here for here, _ in facts["emotions"].values()) == 13
    assert facts["subjects"]["casme2/sub05"] == 2 and facts["published_subjects"] == 26
    assert facts["notes"][0].keys() == {"where", "what"}


def test_mistakes_in_the_command(capsys, root):
    for arguments, said in (
        ((), "give --root=FOLDER and one of --database=NAME and --config=NAME"),
        (("--database=casme2",), "give the folder of casme2 by --root=FOLDER"),
        (("--database=casme9", f"--root={root}"), "unknown database 'casme9'"),
        (("--database=casme2", f"--root={root}", "--option=images"), "of the form NAME=VALUE"),
        (("--database=casme2", f"--root={root}", "--option=images=blue"), "unknown kind"),
    ):
        code, out, err = run(capsys, *arguments)
        assert code == 2 and not out and said in err


@pytest.mark.e2e
def test_from_the_shell(tmp_path):
    command = [
        sys.executable,
        "-m",
        "mer_jax",
        "check-data",
        "--database=samm",
        f"--root={tmp_path}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "holds no label sheet" in done.stdout and not done.stderr


def test_long_videos(capsys, tmp_path):
    test_recordings.samm(tmp_path, test_recordings.MICRO)
    arguments = ("--database=samm_lv", f"--root={tmp_path}", "--long_videos")
    code, out, err = run(capsys, *arguments)
    assert code == 0, err
    assert re.search(r"^micro +1 +159$", out, re.M) and re.search(
        r"^recordings +2 +147$", out, re.M
    )
    facts = json.loads(run(capsys, *arguments, "--json")[1])
    assert facts["usable"] and facts["counts"] == {"recordings": 2, "micro": 1, "macro": 0}
    config = f"--config={configuration.find('spot_softnet')}"
    of_config = run(capsys, config, f"--root={tmp_path}", "--json")
    assert of_config[0] == 0 and json.loads(of_config[1]) == facts
    code, out, _ = run(capsys, *arguments, "--decode")  # gray pictures
    assert code == 1 and "samm_lv/006/006_1: no face was found in 10 frames" in out
    assert run(capsys, *arguments, "--decode", "--option=crop=none")[0] == 0
    (tmp_path / "SAMM_LongVideos_V2_Release.xlsx").unlink()
    code, out, _ = run(capsys, *arguments)
    assert code == 1 and "not usable" in out


def test_a_database_of_which_nothing_is_left_is_not_usable(capsys, tmp_path):
    replica.write("ck_plus", tmp_path, subjects=1)
    (tmp_path / "Emotion").rename(tmp_path / "away")
    (tmp_path / "Emotion").mkdir()
    code, out, _ = run(capsys, "--database=ck_plus", f"--root={tmp_path}")
    assert code == 1 and "not usable: nothing is left; the notes tell why" in out
