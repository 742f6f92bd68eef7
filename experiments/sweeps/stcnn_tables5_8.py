r"""MicroExpSTCNN and MicroExpFuseNet (Reddy et al. 2019), Tables V and VIII.

Published: the best epoch's accuracy (Table V) and mean and deviation over epochs 91 to 100 (Table
VIII), in each row, on one split by sample with Table IV's counts: subjects are in training and
test, which is flagged. Tables VI and VII, the confusion matrices, are in the reports of the two
STCNN rows. DIR contains casme_squared/ and smic/; FuseNet's clips need 68 landmarks.
Estimated time: hours on 2 CPU cores; --only=SMIC runs those alone.
  mer-jax run experiments/sweeps/stcnn_tables5_8.py \
      --config.data.root=DIR --workdir=runs/stcnn_tables5_8
As published: --config.train.model_selection=best_test
--config.train.statistics_on_all_clips=True; the strict number, which the paper lacks:
--config.protocol.name=loso.
"""

from mer_jax.sweep import Row

LATE = {"model.name": "fusenet_late"}
ROWS = {
    "CAS(ME)^2: STCNN": Row(
        "stcnn_casme_squared", {}, {"accuracy": 0.8780, "last_epochs": (0.8220, 0.0502)}
    ),
    "CAS(ME)^2: FuseNet, intermediate": Row(
        "fusenet_casme_squared", {}, {"accuracy": 0.8325, "last_epochs": (0.7857, 0.0578)}
    ),
    "CAS(ME)^2: FuseNet, late": Row(
        "fusenet_casme_squared", LATE, {"accuracy": 0.7931, "last_epochs": (0.7320, 0.0387)}
    ),
    "SMIC: STCNN": Row("stcnn_smic", {}, {"accuracy": 0.6875, "last_epochs": (0.6250, 0.0255)}),
    "SMIC: FuseNet, intermediate": Row(
        "fusenet_smic", {}, {"accuracy": 0.5477, "last_epochs": (0.5120, 0.0356)}
    ),
    "SMIC: FuseNet, late": Row(
        "fusenet_smic", LATE, {"accuracy": 0.6482, "last_epochs": (0.5995, 0.0319)}
    ),
}
