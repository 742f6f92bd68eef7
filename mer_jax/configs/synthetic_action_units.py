r"""Twelve action units at once on rendered faces: several labels a clip, no data needed.

Flow maps, STSTNet, LOSO; a sigmoid for each unit. UF1 in the report is the units' mean F1.
Time: five minutes on 2 CPU cores.
  mer-jax run synthetic_action_units \
      --workdir=runs/synthetic_action_units
"""

from mer_jax import configuration


def get_config():
    return configuration.make(
        title="Action units of rendered faces",
        data=dict(name="synthetic", label_scheme="cd6me"),
        method="flow_maps",
        model="ststnet",
        train=dict(epochs=80, batch_size=32, learning_rate=3e-3, loss="multilabel_bce"),
    )
