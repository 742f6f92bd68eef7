"""Every network against its PyTorch twin: what it says and all its gradients, double precision.

In double precision a ReLU or a maximum falls the same way on both sides, so that what is left is
a difference of formula, if there is one.
"""

import jax
import numpy as np
import pytest

from tests.make_goldens import FILE
from tests.twins.cases import CASES, GOLDEN, answers_of_ours, answers_of_twin, summary

# Several seconds of compilation each.
HEAVY = (
    "capsule",
    "dual_inception",
    "htnet",
    "image_cnn",
    "mean_recognition",
    "mmnet",
    "psn",
    "psn, resnet10, concat, no conv",
    "rcn_a",
    "rcn_s",
    "skd_tstsan",
    "strcn_a, two shared",
)


def close(ours, theirs, tolerance=1e-6):
    scale = np.abs(theirs).max()
    return np.abs(np.asarray(ours) - theirs).max() <= tolerance * scale + 1e-9


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=pytest.mark.slow) if c in HEAVY else c for c in GOLDEN]
)
def test_network_says_what_pytorch_says(case):
    """Against stored answers, so that this runs without PyTorch."""
    with np.load(FILE) as file:
        stored = {what: file[f"{case}/{what}"] for what in ("output", "names", "products")}
    with jax.enable_x64(True):
        output, names, products = summary(answers_of_ours(case))
    assert close(output, stored["output"])
    assert names == stored["names"].tolist()
    np.testing.assert_allclose(products, stored["products"], rtol=1e-6, atol=1e-8)


@pytest.mark.parity
@pytest.mark.parametrize("case", CASES)
def test_network_equals_its_twin(case):
    pytest.importorskip("torch")
    with jax.enable_x64(True):
        ours = answers_of_ours(case)
        theirs = answers_of_twin(case)
    assert set(ours) == set(theirs)
    for name, value in theirs.items():
        for mine, its in zip(jax.tree.leaves(ours[name]), jax.tree.leaves(value), strict=True):
            assert mine.shape == its.shape and close(mine, its), name
