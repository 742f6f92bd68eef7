r"""PSN (Li et al.), Fig. 10: which tenth of the non-zero sparse part is kept, the strongest first.

Published: a picture; the text says that 20 to 30 % is best. Decided: a band counts from the
strongest of what is not 0 in E, and the whole network sees it (the paper shows apex frames to its
classifier). Ten stratified folds by sample: a person stands on both sides, which is marked;
--config.protocol.name=loso is the strict study. DIR holds casme/, casme2/, casme_squared/, samm/.
Time: weeks on 2 CPU cores.
  mer-jax run experiments/sweeps/psn_fig10.py \
      --config.data.root=DIR --workdir=runs/psn_fig10
"""

from mer_jax.sweep import Row, shared

ROWS = {
    f"{10 * band} to {10 * (band + 1)} %": Row(
        "psn", {"method.low": (9 - band) / 10, "method.high": (10 - band) / 10}
    )
    for band in range(10)
}


def get_config():
    return shared(ROWS)
