r"""Spotting by MDMD (Wang et al. 2017), as the baseline of MEGC 2020 (He et al.), on CAS(ME)^2.

The baseline takes runs of frames above the threshold mean + p (max - mean), with p = .01; for a p
that is fitted on the training subjects: --config.intervals.p=None. Its flow is RLOF, and its main
directions are atan(u / v), which knows two of the four sectors; here Horn and Schunck's, and four.
  mer-jax run spot_mdmd --config.data.root=DIR --workdir=runs/spot_mdmd
"""

from mer_jax import configuration


def get_config():
    return configuration.make_spotting(
        title="MDMD, CAS(ME)^2",
        data="casme_squared",
        evidence="mdmd",
        intervals={"name": "runs", "p": 0.01},
    )
