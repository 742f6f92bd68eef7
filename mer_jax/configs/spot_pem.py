r"""PEM, the proposal network of ABPN (Leng et al. 2022), on CAS(ME)^2: flow of facial regions.

A landmark model finds the regions (in rendered faces they are known). The authors' code trains with
AdamW and its weight decay of 0.1, takes p = .5 and reports the best epoch of the test subject; here
Adam, the last epoch, and p, spans and durations of the training subjects.
  mer-jax run spot_pem --config.data.root=DIR --config.evidence.landmarks=FILE --workdir=runs/pem
  mer-jax run spot_pem --config.data.name=synthetic --workdir=runs/pem
Targets count in frames of 24 to 36 Hz. Of SAMM Long Videos (200 Hz) the code of AUW-GCN has 25 Hz,
up to 6 macro-expressions a video, and a weight of .7 on their loss, where it is .5 here:
  mer-jax run spot_pem --config.data.name=samm_lv --config.data.step=8 --config.data.root=DIR \
      --config.evidence.landmarks=FILE --workdir=runs/pem
"""

from mer_jax import configuration


def get_config():
    return configuration.make_spotting(
        title="PEM, CAS(ME)^2",
        data="casme_squared",
        evidence={
            "name": "network",
            "pairs": "regions",
            "size": (128, 128),
            "preset": "tv_l1",
            "targets": "boundaries",
            "mirror": False,
            "drop_zeros": 1.0,  # the authors train on windows with an expression only
        },
        model="pem",
        intervals={"name": "proposals", "most": 5},
        train={
            "epochs": 100,
            "batch_size": 128,
            "learning_rate": 1e-2,
            "schedule": "decay",
            "schedule_rate": 0.96,
            "loss": "boundary_focal",
        },
    )
