r"""Spotting by peaks of the face's optical strain (Shreve et al. 2011), on SAMM Long Videos.

Spans, durations and thresholds of a fold come from its training subjects.
  mer-jax run spot_strain --config.data.root=DIR --workdir=runs/spot_strain
"""

from mer_jax import configuration


def get_config():
    return configuration.make_spotting(
        title="Strain peaks, SAMM Long Videos", data="samm_lv", evidence="strain"
    )
