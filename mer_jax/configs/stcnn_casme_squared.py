r"""MicroExpSTCNN on CAS(ME)^2: Reddy et al. 2019, Tables V, VIII (stability) and IX (kernels).

Published: 87.80 % (best epoch on the 41 clips of one split by sample; 29.27 % to 87.80 % over Table
IX's kernels), 82.20 +- 5.02 % over epochs 91 to 100. The split has Table IV's counts, which are not
stratified: 21 happy, 12 angry and 8 disgust clips are tested (which ones is not published).
--config.protocol.test_counts="()" tests a stratified fifth. Subjects are in training and test,
which is flagged; --config.protocol.name=loso is the strict number, which the paper lacks. The best
epoch and statistics of all clips: --config.train.model_selection=best_test
--config.train.statistics_on_all_clips=True.
By the published sheet five expressions last 96 frames, so that test_counts cannot be met; the
paper's 206 clips are longer parts of the recordings (its code takes their frames 72 to 167), which
are not published. Resampled, all expressions can be used:
--config.method.time=resample --config.protocol.test_counts="()".
Batches of 8 are the paper's; its code has 16.
Time: an hour on 2 CPU cores. DIR holds casme_squared/, the database.
  mer-jax run stcnn_casme_squared \
      --config.data.root=DIR --workdir=runs/stcnn
A kernel of Table IX: --config.model.kernel="(3,3,3)" (frames first; the paper's 3 x 3 x 3).
Whole tables: sweeps/stcnn_tables5_8.py, sweeps/stcnn_table9.py.
"""

from mer_jax import configuration


def get_config():
    return configuration.make(
        title="MicroExpSTCNN, CAS(ME)^2",
        data=dict(name="stcnn_casme_squared", label_scheme="stcnn_casme_squared"),
        method=dict(name="stcnn", length=96),
        model="stcnn",
        protocol=dict(name="hold_out", by="sample", test_counts=(21, 12, 8)),
        train=dict(epochs=100, batch_size=8, learning_rate=1e-2, optimizer="sgd", momentum=0.0),
    )
