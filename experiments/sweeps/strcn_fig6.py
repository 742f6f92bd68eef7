r"""STRCN-A (Xia et al. 2019), Fig. 6: p, the share of the pixels in the mask.

Published: a picture only; p = 30 % is Tables II and III (accuracy in those rows). Our choice: the
shares 10 % to 100 %. DIR contains smic/, casme2/, samm/ (prepared ones with
--config.data.name=prepared). Estimated time: weeks on 2 CPU cores; --only="SMIC, LOSO" runs those
alone.
  mer-jax run experiments/sweeps/strcn_fig6.py \
      --config.data.root=DIR --workdir=runs/strcn_fig6
As published (the mask over all clips): --config.train.statistics_on_all_clips=True.
"""

from mer_jax.sweep import Row

DATABASES = {"SMIC": "smic", "CASME II": "casme2", "SAMM": "samm"}
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
DEFAULT = {"LOSO": (0.531, 0.560, 0.545), "LOVO": (0.758, 0.841, 0.836)}  # p = 0.3
ROWS = {
    f"{database}, {protocol}: p = {mask_fraction:.0%}": Row(
        "strcn_a",
        {
            "data.name": folder,
            "protocol.name": protocol.lower(),
            "method.mask_fraction": mask_fraction,
        },
        {"accuracy": DEFAULT[protocol][number]} if mask_fraction == 0.3 else {},
    )
    for number, (database, folder) in enumerate(DATABASES.items())
    for mask_fraction in SHARES
    for protocol in DEFAULT
}
