"""The handcrafted baselines of the papers: LBP-TOP in 6 x 6, 7 x 7 and 8 x 8 blocks, three kernels.

The polynomial kernel is (0.22 x.y + 0)^2 of the histograms as they are. No paper gives a number for
each of these rows.
  mer-jax run experiments/sweeps/svm_kernels.py --workdir=runs/svm_kernels \\
      --config.data.name=casme2 --config.data.root=DIR
"""

from typing import Any

from mer_jax.sweep import Row

KERNELS: dict[str, dict[str, Any]] = {
    "linear": {},
    "polynomial": {
        "model.kernel": "poly",
        "model.degree": 2,
        "model.gamma": 0.22,
        "model.standardize": False,
    },
    "RBF": {"model.kernel": "rbf"},
}

ROWS = {
    f"{n} x {n}, {kernel}": Row("baseline_lbp_top", {"method.blocks": (n, n)} | options)
    for n in (6, 7, 8)
    for kernel, options in KERNELS.items()
}
