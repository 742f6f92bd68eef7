r"""The embedded default: synthetic micro-expressions, onset-to-apex flow, STSTNet, LOSO.

Needs no data. 12 rendered subjects, 120 clips, three classes.
  mer-jax run default --workdir=runs/first
"""

from mer_jax import configuration


def get_config():
    return configuration.make(
        title="Synthetic micro-expressions",
        data="synthetic",
        method="flow_maps",
        model="ststnet",
        protocol="loso",
        train=dict(epochs=60, batch_size=32, learning_rate=1e-3),
    )
