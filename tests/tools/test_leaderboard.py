"""The table of systems, from working directories that are written by hand."""

import json

import pytest

from mer_jax.errors import UserError
from tests.reporting.test_report import check
from tools import leaderboard


def scores(uf1, uar=0.6):
    cell = lambda value: {"value": value, "low": value - 0.1, "high": value + 0.1}
    return {"clips": 9, "subjects": 3, "uf1": cell(uf1), "uar": cell(uar)}


# Eleven parameters: of a run what the table shows.
def run(
    folder,
    title,
    overall,
    *,
    selection="last",
    epochs=10,
    leaks=(),
    seed=0,
    seeds=1,
    memory=0.0,
    ensemble=None,
    **more,
):
    """A working directory of three folds, with the files and keys that are read."""
    folder.mkdir(parents=True)
    train = {"epochs": epochs, "model_selection": selection, "seed": seed, "seeds": seeds}
    config = {"title": title, "model": {"name": "ststnet"}, "train": train}
    summary = {
        "verdict": {"strict": not leaks, "leaks": [{"reason": reason} for reason in leaks]},
        "protocol": {"folds": 3},
        "overall": overall,
        "provenance": {
            "training_seconds": 12.0,
            "peak_memory_gib": memory,
            "command": f"python -m mer_jax run x --config.data.root=/home/me --workdir={folder}",
        },
        **more,
    }
    if seeds > 1:
        summary["variants"] = {"names": [f"seed{n}" for n in range(seeds)]}
        summary["variants"] |= {"ensemble": ensemble} if ensemble else {}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "metrics.json").write_text(json.dumps(summary))
    return folder


def gap(strict, difference):
    interval = {"uf1": [difference - 0.05, difference + 0.05]}
    return {"strict": strict, "difference": {"uf1": difference}, "interval": interval} | {
        "remaining_leaks": []
    }


@pytest.fixture
def runs(tmp_path):
    best = {"selection": "best_test", "leaks": ["epoch"]}
    chosen = run(
        tmp_path / "chosen",
        "STSTNet",
        scores(0.8),
        **best,
        seeds=2,
        inflation=gap(scores(0.7), 0.1),
    )
    second = {**best, "inflation": gap(scores(0.74), 0.12)}
    run(chosen / "variants" / "seed1", "STSTNet", scores(0.86), **second)
    return [
        chosen,
        run(tmp_path / "inner", "RCN-A", scores(0.73), selection="best_val"),
        run(tmp_path / "given", "official", scores(0.9), epochs=0, leaks=["unverified"]),
    ]


def test_each_way_of_selection_has_a_line(runs, tmp_path):
    files = [tmp_path / "out" / "table.md", tmp_path / "table.html"]
    text = leaderboard.write(runs, files)
    assert files[0].read_text() == text
    _, _, *body = (line.split(" | ") for line in text.split("\n\n")[1].splitlines())
    table = [[cell.strip("| ") for cell in line] for line in body]
    assert [line[:3] for line in table] == [
        ["RCN-A", "inner validation", "strict"],
        ["STSTNet", "last epoch", "strict"],
        ["official", "as they were given", "not verified"],
        ["STSTNet", "best epoch on the test subject", "NOT STRICT"],
    ]
    assert [line[3] for line in table] == [
        "0.7300 [0.63, 0.83]",
        "0.7000 [0.60, 0.80]",
        "0.9000 [0.80, 1.00]",
        "0.8000 [0.70, 0.90]",
    ]
    # Mean and deviation of .70 and .74, and of .80 and .86, by hand. Columns without any entry
    # (memory, ensembles, PyTorch's times) are left out.
    assert [line[5] for line in table] == ["", "0.7200 ± 0.0283", "", "0.8300 ± 0.0424"]
    assert [line[6] for line in table] == ["", "0.6000 ± 0.0000", "", "0.6000 ± 0.0000"]
    assert [line[7] for line in table] == ["", "", "", "+0.1000 [+0.05, +0.15]"]
    # 12 s for 3 folds x 10 epochs, of one seed and of two.
    assert [line[8:] for line in table] == [["0.4000"], ["0.2000"], [""], ["0.2000"]]
    assert "`STSTNet: mer-jax run x --config.data.root=DIR --workdir=runs/chosen`" in text
    assert "/home/me" not in text and str(tmp_path) not in text
    page = check(files[1].read_text())
    assert "best epoch on the test subject" in page.text and "0.7200 ± 0.0283" in page.text


def body(text):
    head, _, *rows = text.split("\n\n")[1].splitlines()
    names = [cell.strip() for cell in head.strip("|").split("|")]
    return [dict(zip(names, (cell.strip() for cell in r.strip("|").split("|")))) for r in rows]


def test_runs_that_differ_in_the_seed_alone_are_one_line(tmp_path):
    both = scores(0.9)
    runs = [
        run(tmp_path / "a", "S", scores(0.70), seed=0, memory=0.5),
        run(tmp_path / "other", "S", scores(0.10), seed=0, epochs=20),
        run(tmp_path / "b", "S", scores(0.74), seed=3, memory=1.25),
        run(tmp_path / "jobs", "T", scores(0.80), seeds=2, ensemble=both),
    ]
    run(tmp_path / "jobs" / "variants" / "seed1", "T", scores(0.84))
    runs.append(run(tmp_path / "third", "T", scores(0.88), seed=2, memory=2.0))
    alone, together = body(leaderboard.write(runs[:4], [])), body(leaderboard.write(runs, []))
    assert [row["UF1"] for row in alone] == [
        "0.8000 [0.70, 0.90]",
        "0.7000 [0.60, 0.80]",
        "0.1000 [0.00, 0.20]",
    ]
    assert [row["UF1, seeds"] for row in alone] == ["0.8200 ± 0.0283", "0.7200 ± 0.0283", ""]
    assert [row["UF1, ensemble"] for row in alone] == ["0.9000 [0.80, 1.00]", "", ""]
    assert [row["GiB"] for row in alone] == ["", "1.25", ""]
    with pytest.raises(UserError, match="a seed in common"):
        leaderboard.write([*runs, runs[0]], [])
    # A further seed joins the two of a job (mean .84, deviation .04), which have no ensemble of 3.
    assert together[0]["UF1, seeds"] == "0.8400 ± 0.0400" and "UF1, ensemble" not in together[0]
    assert together[0]["GiB"] == "2.00"


def test_times_of_pytorch_come_from_a_benchmark(runs, tmp_path):
    columns = ["step of", "a fold in a job, ms", "PyTorch, ms", "job / PyTorch"]
    rows = [["ststnet, B = 32", 2.0, 4.0, 0.5], ["psn, B = 8", 1.0, "", "not available"]]
    tables = [{"suite": "loso"}, {"suite": "networks", "columns": columns, "rows": rows}]
    bench = tmp_path / "bench.json"
    bench.write_text(json.dumps({"machine": {}, "tables": tables}))
    found = body(leaderboard.write(runs, [], bench=bench))
    # Official weights took no step.
    assert {(row["epoch"][:2], row["step / PyTorch's"]) for row in found} == {
        *(("la", "0.50"), ("in", "0.50"), ("be", "0.50"), ("as", ""))
    }
    bench.write_text(json.dumps({"tables": tables[:1]}))
    with pytest.raises(UserError, match="no table of networks"):
        leaderboard.write(runs, [], bench=bench)


def test_an_estimator_has_no_epochs(tmp_path):
    folder = run(tmp_path / "svm", "LBP-TOP", scores(0.5))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model": {"name": "svm"}}))
    (line,) = leaderboard.lines(folder)
    assert (line.epoch, line.seconds, line.network) == ("", None, "")


def test_rows_of_a_system_are_told_apart_in_the_chart(runs, tmp_path):
    leaderboard.write(runs, [tmp_path / "table.html"])
    text = check((tmp_path / "table.html").read_text()).text
    assert "STSTNet, last epoch" in text and "STSTNet, best on test" in text


def test_folders_that_are_words_of_their_own_are_replaced():
    command = "python -m mer_jax run psn --workdir /home/me/x --config.data.root /data --seed 1"
    assert leaderboard.portable(command, "psn") == (
        "mer-jax run psn --workdir=runs/psn --config.data.root=DIR --seed 1"
    )
    command = "python -m tools.nested a.py --data_root=/data --results=/home/me/x"
    assert leaderboard.portable(command, "x") == (
        "python -m tools.nested a.py --data_root=DIR --results=runs/x"
    )
    command = "python -m tools.nested /home/me/code/experiments/sweeps/a.py --data_root=/data"
    assert leaderboard.portable(command, "x") == (
        "python -m tools.nested experiments/sweeps/a.py --data_root=DIR"
    )


def test_mistakes_are_one_sentence(runs, tmp_path):
    with pytest.raises(UserError, match=r"nowhere.config\.json"):
        leaderboard.write([tmp_path / "nowhere"], [])
    with pytest.raises(UserError, match="form of --files"):
        leaderboard.write(runs, [tmp_path / "table.txt"])
    (runs[1] / "metrics.json").write_text("{}")
    with pytest.raises(UserError, match="inner is damaged"):
        leaderboard.write(runs, [])
