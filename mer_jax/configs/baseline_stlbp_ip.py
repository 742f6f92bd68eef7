r"""STLBP-IP (Huang et al. 2015) of the entire face and a linear SVM.

Needs scikit-learn (pip install -e '.[baseline]'). Expected: experiments/results/baselines.md.
  mer-jax run baseline_stlbp_ip \
      --workdir=runs/baseline_stlbp_ip
Your own data: --config.data.name=casme2 --config.data.root="CASME II". Another machine:
--config.model.kernel=rbf --config.model.C=28, or (0.22 x.y)^2 of the features as they are:
--config.model.kernel=poly --config.model.degree=2 --config.model.gamma=0.22
--config.model.standardize=False --config.model.C=10000; with C=1 the kernel of
these small features is so small that one class is predicted for all.
"""

from mer_jax import configuration


def get_config():
    return configuration.make(
        title="STLBP-IP and SVM",
        data="synthetic",
        method="stlbp_ip",
        model=dict(name="svm", kernel="linear", C=1.0),
    )
