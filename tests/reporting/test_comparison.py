import dataclasses
import re

import numpy as np
import pytest

from mer_jax.errors import UserError
from mer_jax.io import saving
from mer_jax.metrics import intervals, summary, write_csv, write_log
from mer_jax.reporting import comparison
from tests.metrics.examples import predictions
from tests.reporting.test_report import check

FIRST = predictions()


def better(amount):
    probabilities = FIRST.probabilities + amount * np.eye(3, dtype=np.float32)[FIRST.label]
    return dataclasses.replace(FIRST, probabilities=probabilities.astype(np.float32))


RUNS = [
    comparison.Run("base|line", FIRST, "loso", True),
    comparison.Run("50%_\\better\n<b>", better(0.3), "lovo", False),
    comparison.Run("[best]", better(0.9)),
]


@pytest.fixture(scope="module")
def rows():
    return comparison.compare(RUNS, draws=500)


def test_rows_hold_scores_and_adjusted_tests(rows):
    assert rows[0].gain is None
    raw = [intervals.compare_paired(FIRST, run.predictions, draws=500) for run in RUNS[1:]]
    assert [row.gain.difference for row in rows[1:]] == [test.difference for test in raw]
    assert [row.p_mcnemar for row in rows[1:]] == intervals.holm([t.p_mcnemar for t in raw])
    assert [row.p_permutation for row in rows[1:]] == intervals.holm(
        [t.p_permutation["uf1"] for t in raw]
    )


def test_markdown_is_a_table_of_one_width(rows):
    lines = comparison.cells(rows, runs=RUNS)
    text = comparison.markdown(lines)
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + 3 + 1
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {len(lines[0]) + 1}
    assert f"{rows[1].gain.difference['uf1']:+.4f}" in text
    assert "NOT STRICT" in text and "loso strict" in text and "<b>" not in text


def test_latex_is_escaped_and_has_one_line_end_a_row(rows):
    lines = comparison.cells(rows, runs=RUNS)
    text = comparison.latex(lines)
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert len(body) == 4 and all(line.endswith(r" \\") for line in body)
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {len(lines[0]) - 1}
    assert r"50\%\_\textbackslash{}better $<$b$>$" in text
    assert body[2].startswith("{}[best]") and r"$\pm$" in body[3]


def test_html_is_a_page_of_the_same_kind(rows):
    found = check(comparison.html(rows, comparison.cells(rows, runs=RUNS)))
    for row in rows:
        assert f"{row.scores['uf1']['value']:.4f}" in found.text


def test_the_page_opens_with_what_the_table_says(rows):
    first, second, third = comparison.sentences(rows)
    assert first == f"base|line: UF1 {rows[0].scores['uf1']['value']:.4f}."
    assert "NOT STRICT" in second and "NOT STRICT" not in first + third
    assert ", better than the first run" in third and f"p {rows[2].p_permutation:.3f}" in third
    turned = comparison.compare([RUNS[2], RUNS[0], RUNS[2]], draws=500)
    assert ", worse than the first run" in comparison.sentences(turned)[1]
    assert ", not significantly different from the first run" in comparison.sentences(turned)[2]


def test_printed_figures_stand_beside_ours():
    averages = {
        "last_epochs": {"mean": 0.6, "std": 0.02, "count": 10},
        "over_seeds": {"mean": 0.5, "std": 0.01, "count": 3},
    }
    printed = {"accuracy": 0.878, "last_epochs": (0.822, 0.0502)}
    runs = [RUNS[0]._replace(averages=averages, published=printed), RUNS[1]]
    head, first, second = comparison.cells(comparison.compare(runs, draws=5))
    assert head.count("published") == 2
    index = head.index("accuracy") + 1
    assert (head[index], first[index], second[index]) == ("published", "0.8780", "")
    index = head.index("accuracy, last epochs (ten at most)")
    assert first[index : index + 2] == ["0.6000 ± 0.0200", "0.8220 ± 0.0502"]
    assert second[index : index + 2] == ["", ""]
    assert first[head.index("UF1, mean of seeds")] == "0.5000 ± 0.0100"


def test_runs_on_several_sets_of_clips_are_each_compared_with_the_first_on_the_same():
    half = np.arange(30)
    fewer = [run._replace(predictions=run.predictions.take(half)) for run in RUNS[:2]]
    runs = [RUNS[0], fewer[0], RUNS[1], fewer[1]]
    rows = comparison.compare_per_clip_set(runs, draws=500)
    assert [row.name for row in rows] == [run.name for run in runs]
    assert [row.gain is None for row in rows] == [True, True, False, False]
    alone = comparison.compare([RUNS[0], RUNS[1]], draws=500)
    assert rows[2].gain.difference == alone[1].gain.difference
    assert rows[3].scores["clips"] == 30


def test_mean_over_seeds():
    found = comparison.mean_over_runs(RUNS)
    values = [summary(run.predictions, protocol="", draws=5)["overall"] for run in RUNS]
    uf1 = [value["uf1"]["value"] for value in values]
    assert found["uf1"]["mean"] == pytest.approx(np.mean(uf1), abs=1e-12)
    assert found["uf1"]["std"] == pytest.approx(np.std(uf1, ddof=1), abs=1e-12)


def test_runs_on_other_clips_are_refused_by_name():
    fewer = comparison.Run("fewer", FIRST.take(np.arange(50)))
    with pytest.raises(UserError, match=r"base\|line and fewer .* 10 only in the first"):
        comparison.compare([RUNS[0], fewer], draws=5)


def test_runs_are_opened_with_what_is_known_of_them(tmp_path):
    folder = tmp_path / "run"
    write_csv(folder / "predictions.csv", FIRST)
    seeds = {"values": [0.5, 0.7], "mean": 0.6, "std": 0.14, "count": 2}  # as a job of two has it
    variants = {"names": ["seed0", "seed1"], "overall": {"uf1": seeds}}
    found = summary(FIRST, protocol="loso", draws=5) | {"variants": variants}
    saving.write_json(folder / "metrics.json", found)
    log = write_log(folder / "log.txt", FIRST)
    for path in (folder, folder / "predictions.csv"):
        run = comparison.open_run(path)
        assert (run.name, run.protocol, run.strict) == ("run", "loso", True)
        assert run.averages["over_seeds"]["mean"] == 0.6
    variants["names"] = ["rate0.1", "rate0.01"]  # whose mean is of no seeds
    saving.write_json(folder / "metrics.json", found)
    assert "over_seeds" not in comparison.open_run(folder).averages
    assert (
        comparison.open_run(log)[2:4] == ("", None) and comparison.open_run(log).name == "log.txt"
    )


def test_a_unit_has_the_verdict_of_its_run_and_a_name_of_its_own(tmp_path):
    for job, strict in (("one", True), ("two", False)):
        verdict = {"strict": strict, "leaks": []}
        write_csv(tmp_path / job / "units" / "AU4.csv", FIRST)
        content = {"verdict": verdict, "protocol": {"name": "loso"}, "multi_label": True}
        saving.write_json(tmp_path / job / "metrics.json", content)
    paths = [tmp_path / job / "units" / "AU4.csv" for job in ("one", "two")]
    runs = comparison.open_runs(paths)
    assert [run.name for run in runs] == ["one/units/AU4.csv", "two/units/AU4.csv"]
    assert [run.strict for run in runs] == [True, False] and runs[0].protocol == "loso"
    assert [run.name for run in comparison.open_runs(paths[:1] * 2)] == ["AU4.csv"] * 2
    other = write_csv(tmp_path / "three.csv", FIRST)
    assert comparison.open_runs([other, *paths])[0].name == "three.csv"


def test_a_log_in_a_run_is_compared_by_the_classes_of_the_run(tmp_path):
    record = predictions(classes=("calm", "glad"))
    write_csv(tmp_path / "predictions.csv", record)
    log = write_log(tmp_path / "megc_log.txt", record)
    saving.write_json(tmp_path / "metrics.json", summary(record, protocol="loso", draws=5))
    from_log, from_table = comparison.open_run(log), comparison.open_run(tmp_path)
    assert from_log.predictions.classes == from_table.predictions.classes
    np.testing.assert_array_equal(
        from_log.predictions.confusion(), from_table.predictions.confusion()
    )


def test_a_metrics_json_without_the_scores_of_its_seeds_is_damaged(tmp_path):
    write_csv(tmp_path / "predictions.csv", FIRST)
    variants = {"names": ["seed0", "seed1"], "overall": {"uf_one": {"mean": 0.6, "std": 0.1}}}
    saving.write_json(tmp_path / "metrics.json", {"variants": variants})
    with pytest.raises(UserError, match=r"metrics\.json is damaged"):
        comparison.open_run(tmp_path)
