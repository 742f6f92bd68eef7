r"""R3D-ConvLSTM (Islam et al.), Table 3: LOSO and stratified 5 folds over five databases.

Published: accuracy, UAR, UF1 in each row, with the epoch selected on the test folds
(--config.train.model_selection=best_test, flagged); strict numbers will be far lower. 5 folds by
sample put subjects into training and test, which is flagged. DIR contains smic/, casme/, casme2/,
casme_squared/, samm/; the first stage is r3d_macro.py. Estimated time: days on 2 CPU cores.
  mer-jax run experiments/sweeps/r3d_table3.py \
      --config.data.root=DIR --config.train.init_from=runs/r3d_macro --workdir=runs/r3d_table3
Table 3's rows of other authors' networks: capsule_megc2019.py, rcn_megc2019.py.
"""

from mer_jax.sweep import Row

SCORES = ("accuracy", "uar", "uf1")
FOLDS = {"protocol.name": "k_fold", "protocol.folds": 5, "protocol.by": "sample"}
ROWS = {
    "LOSO": Row("r3d_convlstm", {}, dict(zip(SCORES, (0.973, 0.971, 0.966)))),
    "stratified 5 folds": Row("r3d_convlstm", FOLDS, dict(zip(SCORES, (0.976, 0.976, 0.973)))),
}
