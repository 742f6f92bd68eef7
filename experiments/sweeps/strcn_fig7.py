r"""STRCN (Xia et al. 2019), Fig. 7: M, the feature maps of every layer.

Published: a picture only. Our choice: 16, 32, 64, 128. DIR contains smic/, casme2/, samm/ (prepared
ones with --config.data.name=prepared). Estimated time: weeks on 2 CPU cores;
--only="SMIC, LOSO: STRCN-G" runs those alone.
  mer-jax run experiments/sweeps/strcn_fig7.py \
      --config.data.root=DIR --workdir=runs/strcn_fig7
As published (the mask of STRCN-A over all clips): --config.train.statistics_on_all_clips=True.
"""

from mer_jax.sweep import Row

DATABASES = {"SMIC": "smic", "CASME II": "casme2", "SAMM": "samm"}
NETWORKS = {"STRCN-A": "strcn_a", "STRCN-G": "strcn_g"}
ROWS = {
    f"{database}, {protocol}: {network}, M = {maps}": Row(
        base, {"data.name": folder, "protocol.name": protocol.lower(), "model.maps": maps}
    )
    for database, folder in DATABASES.items()
    for network, base in NETWORKS.items()
    for protocol in ("LOSO", "LOVO")
    for maps in (16, 32, 64, 128)
}
