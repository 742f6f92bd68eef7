r"""AUW-GCN (Yin et al. 2023) on CAS(ME)^2: a graph of facial regions in front of PEM.

All else as in spot_pem. The graph is that of the table of action units; the authors count it over
all subjects, test subjects included.
  mer-jax run spot_auw_gcn --config.data.root=DIR --config.evidence.landmarks=FILE \
      --workdir=runs/spot_auw_gcn
"""

from mer_jax import configuration


def get_config():
    config = configuration.read("spot_pem")
    config.title = "AUW-GCN, CAS(ME)^2"
    return configuration.rename(config, {"model": "auw_gcn"})
