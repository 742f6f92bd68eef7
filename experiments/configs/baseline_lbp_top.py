r"""LBP-TOP (Zhao & Pietikainen 2007) in 5 x 5 blocks and a linear SVM: the field's first baseline.

Needs scikit-learn (pip install -e '.[baseline]'). Expected: experiments/results/baselines.md.
  python -m experiments.launch --config=experiments/configs/baseline_lbp_top.py \
      --workdir=runs/baseline_lbp_top
Your own data: --config.data.name=casme2 --config.data.root="CASME II". Another machine:
--config.model.kernel=poly --config.model.degree=6, --config.model.kernel=rbf --config.model.C=28.
"""

from mer_jax import config


def get_config():
    return config.make(
        title="LBP-TOP and SVM",
        data="synthetic",
        method="lbp_top",
        model={"name": "svm", "kernel": "linear", "C": 1.0},
    )
