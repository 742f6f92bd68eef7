from mer_jax.metrics import spotting
from mer_jax.metrics.matching import Event
from mer_jax.reporting.spotting_scores import format_spotting


def test_the_numbers_are_those_of_the_summary():
    truths = [Event(f"s{i}", "v", 0, 9, "micro", "fear") for i in range(3)]
    found = [*truths[:2], Event("s0", "w", 0, 9, "macro", "fear")]
    lines = format_spotting(
        spotting.summary(truths, found) | {"remarks": ["a remark"]}
    ).splitlines()
    assert lines[1].split()[:5] == ["micro", "2", "0", "1", "0.8000"]
    assert lines[2].split()[:5] == ["macro", "0", "1", "0", "0.0000"]
    assert lines[3].split()[:5] == ["both", "2", "1", "1", "0.6667"]
    text = "\n".join(lines)
    assert "UF1 1.0000" in text and "STRS = F1 * F1_a: 0.6667" in text and "    a remark" in text
