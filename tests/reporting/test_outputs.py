from mer_jax.reporting import outputs


def test_results_of_another_configuration_go_before_its_config_is_written(tmp_path):
    """A job that is stopped would leave the scores of one under the settings of the other."""
    files = [tmp_path / name for name in ("metrics.json", "report.html", "spotters.json")]

    def left(config):
        for path in (*files, tmp_path / "mine.txt"):
            path.touch()
        outputs.begin(tmp_path, config)
        return sorted(path.name for path in tmp_path.iterdir())

    kept = ["config.json", "metrics.json", "mine.txt", "report.html", "spotters.json"]
    assert left({"rate": 0.1, "sizes": (3, 4)}) == ["config.json", "mine.txt"], "of no config"
    assert left({"rate": 0.1, "sizes": (3, 4)}) == kept
    assert left({"rate": 0.2, "sizes": (3, 4)}) == ["config.json", "mine.txt"]
    (tmp_path / "config.json").write_text("{")
    assert left({"rate": 0.2, "sizes": (3, 4)}) == ["config.json", "mine.txt"]


def test_curves_and_folders_of_another_job_go_unless_it_resumes(tmp_path):
    """Old epochs would be read as a continuation, old units and seeds as results."""
    made = [tmp_path / "metrics.jsonl", *(tmp_path / name / "a" for name in ("units", "variants"))]
    outputs.begin(tmp_path, {"rate": 0.1})
    for path in made:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    outputs.begin(tmp_path, {"rate": 0.1})
    outputs.begin(tmp_path, {"rate": 0.1, "title": "new"}, resumes=True)
    assert all(path.exists() for path in made)
    outputs.begin(tmp_path, {"rate": 0.2})
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
