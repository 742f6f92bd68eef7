r"""MicroExpSTCNN (Reddy et al. 2019), Table IX: twelve kernels on CAS(ME)^2.

Published: the best epoch's accuracy on the 41 clips of one split by sample (Table IV's counts), in
each row; rows are named as in the paper (height x width x time). Subjects are in training and test,
which is flagged. DIR contains casme_squared/. Estimated time: half a day on 2 CPU cores.
  mer-jax run experiments/sweeps/stcnn_table9.py \
      --config.data.root=DIR --workdir=runs/stcnn_table9
As published: --config.train.model_selection=best_test
--config.train.statistics_on_all_clips=True; the strict number, which the paper lacks:
--config.protocol.name=loso.
"""

from mer_jax.sweep import Row

ACCURACY = {  # (height, width, time)
    (3, 3, 3): 0.8293,
    (3, 3, 7): 0.8049,
    (3, 3, 15): 0.8780,
    (3, 3, 19): 0.2927,
    (5, 5, 3): 0.6330,
    (5, 5, 7): 0.5854,
    (5, 5, 15): 0.5122,
    (5, 5, 19): 0.2927,
    (7, 7, 3): 0.7073,
    (7, 7, 7): 0.5122,
    (7, 7, 15): 0.2927,
    (7, 7, 19): 0.5122,
}
ROWS = {
    f"{height} x {width} x {time}": Row(
        "stcnn_casme_squared", {"model.kernel": (time, height, width)}, {"accuracy": accuracy}
    )
    for (height, width, time), accuracy in ACCURACY.items()
}
