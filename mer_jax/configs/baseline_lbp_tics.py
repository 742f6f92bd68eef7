r"""LBP-TOP of tensor independent color components (TICS, Wang et al. 2014) and a linear SVM.

Needs scikit-learn (pip install -e '.[baseline]'). Expected: experiments/results/baselines.md.
  mer-jax run baseline_lbp_tics \
      --workdir=runs/baseline_lbp_tics
Your own data: --config.data.name=casme2 --config.data.root="CASME II". Another machine:
--config.model.kernel=rbf --config.model.C=28, or (0.22 x.y)^2 of the features as they are:
--config.model.kernel=poly --config.model.degree=2 --config.model.gamma=0.22
--config.model.standardize=False.
"""

from mer_jax import configuration


def get_config():
    return configuration.make(
        title="LBP-TICS and SVM",
        data="synthetic",
        method="lbp_tics",
        model=dict(name="svm", kernel="linear", C=1.0),
    )
