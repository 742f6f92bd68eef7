r"""Bi-WOOF of the flow from onset to apex (Liong et al. 2018) and a linear SVM.

Needs scikit-learn (pip install -e '.[baseline]'). Expected: experiments/results/baselines.md.
  mer-jax run baseline_bi_woof \
      --workdir=runs/baseline_bi_woof
Your own data: --config.data.name=casme2 --config.data.root="CASME II". Another machine:
--config.model.kernel=rbf --config.model.C=28, or (0.22 x.y)^2 of the features as they are:
--config.model.kernel=poly --config.model.degree=2 --config.model.gamma=0.22
--config.model.standardize=False --config.model.C=10000; with C=1 the kernel of
these small features is so small that one class is predicted for all.
"""

from mer_jax import configuration


def get_config():
    return configuration.make(
        title="Bi-WOOF and SVM",
        data="synthetic",
        method="bi_woof",
        model=dict(name="svm", kernel="linear", C=1.0),
    )
