r"""MER-RCNN (Xia et al. 2018), Table 2: random 5 folds by sample.

Published: accuracy, in each row. Subjects are in training and test, which is flagged. Omitted, as
its weights are not public: the CNN pre-trained on faces. The descriptors have their defaults (the
paper prints none). DIR contains smic/, casme/, casme2/ (prepared ones with
--config.data.name=prepared; MDMO needs landmarks). Estimated time: days on 2 CPU cores.
  mer-jax run experiments/sweeps/mer_rcnn_table2.py \
      --config.data.root=DIR --workdir=runs/mer_rcnn_table2
Folds by subject: --config.protocol.by=subject.
"""

from mer_jax.sweep import Row

DATABASES = {"SMIC": "smic", "CASME": "casme", "CASME2": "casme2"}
FOLDS = {
    "data.label_scheme": "mer_rcnn",
    "protocol.name": "k_fold",
    "protocol.folds": 5,
    "protocol.by": "sample",
    "protocol.stratified": False,
}
# file, accuracy on SMIC, CASME, CASME2
METHODS = {
    "MER-RCNN": ("mer_rcnn", (0.571, 0.632, 0.658)),
    "CNNs": ("image_cnn", (0.325, 0.471, 0.491)),
    "LBP-TOP": ("baseline_lbp_top", (0.537, 0.577, 0.592)),
    "LBP-SIP": ("baseline_lbp_sip", (0.445, 0.368, 0.466)),
    "TICS": ("baseline_lbp_tics", (0.561, 0.618, 0.623)),
    "MDMO": ("baseline_mdmo", (0.640, 0.573, 0.584)),
}
ROWS = {
    f"{database}: {method}": Row(base, FOLDS | {"data.name": folder}, {"accuracy": scores[number]})
    for number, (database, folder) in enumerate(DATABASES.items())
    for method, (base, scores) in METHODS.items()
}
