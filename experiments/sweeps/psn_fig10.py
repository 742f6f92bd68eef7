r"""PSN (Li et al.), Fig. 10: a tenth of the non-zero sparse part at a time, the strongest first.

Published: a picture; in the text, 20 to 30 % is best. Our choice: a band counts from the
largest non-zero entry of E, and the complete network gets it (the paper gives apex frames to its
classifier). Ten stratified folds by sample put subjects into training and test, which is flagged;
--config.protocol.name=loso is the strict study. DIR contains casme/, casme2/, casme_squared/,
samm/. Estimated time: weeks on 2 CPU cores.
  mer-jax run experiments/sweeps/psn_fig10.py \
      --config.data.root=DIR --workdir=runs/psn_fig10
"""

from mer_jax.sweep import Row

ROWS = {
    f"{10 * band} to {10 * (band + 1)} %": Row(
        "psn", {"method.low": (9 - band) / 10, "method.high": (10 - band) / 10}
    )
    for band in range(10)
}
