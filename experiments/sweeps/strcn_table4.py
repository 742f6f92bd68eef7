r"""STRCN (Xia et al. 2019), Table IV: without augmentation (DA), without the balanced loss (BL).

Published: accuracy, in each row. Without DA a training sample is the clip as it is tested, as many
times an epoch as before ("the same iterations are used"); without BL every beta is 1.
DIR contains smic/, casme2/, samm/ (prepared ones with --config.data.name=prepared).
Estimated time: weeks on 2 CPU cores; --only="CASME II, LOSO" runs those alone.
  mer-jax run experiments/sweeps/strcn_table4.py \
      --config.data.root=DIR --workdir=runs/strcn_table4
As published (the mask of STRCN-A over all clips): --config.train.statistics_on_all_clips=True.
"""

from typing import Any

from mer_jax.sweep import Row

DATABASES = {"SMIC": "smic", "CASME II": "casme2", "SAMM": "samm"}
NETWORKS = {"STRCN-A": "strcn_a", "STRCN-G": "strcn_g"}
CHANGES: dict[str, dict[str, Any]] = {
    "": {},
    " without BL": {"train.loss": "one_vs_rest_bce"},
    " without DA": {"method.alphas": (8.0,), "method.percents": (100,)},
}
# on SMIC, CASME II, SAMM
PUBLISHED = {
    "LOVO": {
        "STRCN-A": (0.758, 0.841, 0.836),
        "STRCN-A without DA": (0.583, 0.593, 0.617),
        "STRCN-A without BL": (0.737, 0.829, 0.831),
        "STRCN-G": (0.749, 0.833, 0.827),
        "STRCN-G without DA": (0.605, 0.605, 0.641),
        "STRCN-G without BL": (0.741, 0.818, 0.822),
    },
    "LOSO": {
        "STRCN-A": (0.531, 0.560, 0.545),
        "STRCN-A without DA": (0.481, 0.471, 0.488),
        "STRCN-A without BL": (0.541, 0.557, 0.538),
        "STRCN-G": (0.723, 0.803, 0.786),
        "STRCN-G without DA": (0.576, 0.621, 0.642),
        "STRCN-G without BL": (0.718, 0.802, 0.775),
    },
}
ROWS = {
    f"{database}, {protocol}: {network}{without}": Row(
        base,
        changes | {"data.name": DATABASES[database], "protocol.name": protocol.lower()},
        {"accuracy": PUBLISHED[protocol][f"{network}{without}"][number]},
    )
    for number, database in enumerate(DATABASES)
    for network, base in NETWORKS.items()
    for without, changes in CHANGES.items()
    for protocol in PUBLISHED
}
