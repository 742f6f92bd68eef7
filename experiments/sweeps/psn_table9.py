r"""PSN (Li et al.), Table 9: three backbones and three ways of fusion.

Published: mean and deviation of the folds' recognition rates, and F1, in each row. Ten stratified
folds by sample put subjects into training and test, which is flagged; --config.protocol.name=loso
is the strict table. DIR contains casme/, casme2/, casme_squared/, samm/.
Estimated time: weeks on 2 CPU cores.
  mer-jax run experiments/sweeps/psn_table9.py \
      --config.data.root=DIR --workdir=runs/psn_table9
"""

from mer_jax.sweep import Row

PUBLISHED = {  # rate's mean and deviation, F1
    ("alexnet", "sum"): (0.6492, 0.084, 0.5211),
    ("alexnet", "prod"): (0.6277, 0.057, 0.4702),
    ("alexnet", "concat"): (0.6508, 0.086, 0.5073),
    ("vgg16", "sum"): (0.6108, 0.072, 0.4799),
    ("vgg16", "prod"): (0.6123, 0.061, 0.4659),
    ("vgg16", "concat"): (0.6123, 0.071, 0.4823),
    ("resnet10", "sum"): (0.6215, 0.056, 0.4902),
    ("resnet10", "prod"): (0.6338, 0.059, 0.4671),
    ("resnet10", "concat"): (0.6154, 0.042, 0.4510),
}
ROWS = {
    f"{backbone}, {fusion}": Row(
        "psn",
        {"model.backbone": backbone, "model.fusion": fusion},
        {"over_folds": (mean, deviation), "uf1": f1},
    )
    for (backbone, fusion), (mean, deviation, f1) in PUBLISHED.items()
}
