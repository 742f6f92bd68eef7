r"""STRCN (Xia et al. 2019), Fig. 8: zero to four recurrent layers.

Published: a picture only. None: all four are plain convolutions; fewer than four: RCL2 and those
after it up to that many. DIR contains smic/, casme2/, samm/ (prepared ones with
--config.data.name=prepared). Estimated time: weeks on 2 CPU cores;
--only="SMIC, LOSO: STRCN-G" runs those alone.
  mer-jax run experiments/sweeps/strcn_fig8.py \
      --config.data.root=DIR --workdir=runs/strcn_fig8
As published (the mask of STRCN-A over all clips): --config.train.statistics_on_all_clips=True.
"""

from mer_jax.sweep import Row

DATABASES = {"SMIC": "smic", "CASME II": "casme2", "SAMM": "samm"}
NETWORKS = {"STRCN-A": "strcn_a", "STRCN-G": "strcn_g"}
ROWS = {
    f"{database}, {protocol}: {network}, {layers} recurrent": Row(
        base,
        {
            "data.name": folder,
            "protocol.name": protocol.lower(),
            "model.recurrent_layers": layers,
        },
    )
    for database, folder in DATABASES.items()
    for network, base in NETWORKS.items()
    for protocol in ("LOSO", "LOVO")
    for layers in range(5)
}
