r"""PSN (Li et al.), Fig. 7: the ablations.

Published: a picture; the text gives PSN (Table 5) and PSN_spatial (66 %, F1 0.3586). Ten stratified
folds by sample put subjects into training and test, which is flagged; --config.protocol.name=loso
is the strict study. DIR contains casme/, casme2/, casme_squared/, samm/.
Estimated time: weeks on 2 CPU cores.
  mer-jax run experiments/sweeps/psn_fig7.py \
      --config.data.root=DIR --workdir=runs/psn_fig7
"""

from mer_jax.sweep import Row

ROWS = {
    "PSN": Row("psn", {}, {"accuracy": 0.6492, "uf1": 0.5211}),
    "PSN_spatial": Row("psn", {"model.streams": "spatial"}, {"accuracy": 0.66, "uf1": 0.3586}),
    "PSN_temporal": Row("psn", {"model.streams": "temporal"}),
    "PSN_swap": Row("psn", {"model.streams": "swapped"}),
    "PSN_tp1": Row("psn", {"model.perception": "one"}),
    "AlexNet + RNN": Row("psn", {"model.perception": "none"}),
    "PSN_no_conv": Row("psn", {"model.pointwise": False}),
}
