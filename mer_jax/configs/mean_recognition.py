r"""MEAN's recognition (Liong, See & Chan 2023): the frozen trunk of its spotting, and a new head.

Two stages on SAMM Long Videos, each leaving out the same subject; the third command labels what the
first one found. The authors add weight decay. The flow of a clip is at its own size, that of
spotting at 128 x 128 px.
  mer-jax run spot_mean --config.data.root=DIR --workdir=runs/mean
  mer-jax run mean_recognition --config.data.root=DIR --config.train.init_from=runs/mean \
      --workdir=runs/mean_recognition
  mer-jax run spot_mean --config.data.root=DIR --workdir=runs/mean \
      --config.recognition.run=runs/mean_recognition
"""

from mer_jax import configuration


def get_config():
    return configuration.make(
        title="MEAN recognition, SAMM Long Videos",
        data={"name": "samm_lv_intervals", "kind": "micro"},
        method={"name": "flow_maps", "size": (42, 42), "normalize": "sample"},
        model="mean_recognition",
        train={"epochs": 100, "batch_size": 32, "learning_rate": 5e-4},
    )
