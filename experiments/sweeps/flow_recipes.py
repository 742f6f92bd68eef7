r"""Recipes for the 442 flow maps of the MEGC2019 composite, to choose among by inner validation.

No paper's table. `python -m tools.nested` chooses for each fifth of the subjects by validation on
the others, and scores the choice by strict leave-one-subject-out; experiments/results/megc2019.md
has every trial. All recipes standardize each channel of each map: a stored map has lost its scale
and its zero. Four start from a network that was trained on rendered faces, made by the first
command (--rows='^(?!.*pre-trained)' leaves them out).
  mer-jax run default --workdir=runs/rendered_faces \
      --config.data.subjects=60 --config.protocol=hold_out --config.method.size='(14, 14)' \
      --config.method.normalize=standard --config.method.mirror=True --config.train.epochs=30 \
      --config.train.batch_size=64 --config.train.learning_rate=3e-3 \
      --config.train.schedule=cosine --config.train.weight_decay=1e-4
  python -m tools.nested experiments/sweeps/flow_recipes.py \
      --data_root=DIR --final=5 --results=runs/flow_recipes
"""

from typing import Any

from mer_jax.sweep import Row
from mer_jax.training import Settings

# Four more views, turned by 5 degrees either way and 5 % smaller and larger.
_TURNED = {"method.rotation": 5.0, "method.zoom": 0.05, "method.turned_views": True}
# Support vector machines on maps of these sizes, with a mirrored sample of each.
_INPUTS: dict[str, dict[str, Any]] = {
    "10": {"method.size": (10, 10)},
    "14": {"method.size": (14, 14)},
    "20": {"method.size": (20, 20)},
    "14, u and v": {"method.size": (14, 14), "method.channels": ("u", "v")},
    "14, not mirrored": {"method.size": (14, 14), "method.mirror": False},
    "14, turned": {"method.size": (14, 14)} | _TURNED,
    "20, turned": {"method.size": (20, 20)} | _TURNED,
}
_SVM = {
    "method.normalize": "standard",
    "method.mirror": True,
    "model.name": "svm",
    "model.standardize": False,
    # It has no training settings: the defaults.
    **{f"train.{name}": getattr(Settings(), name) for name in ("epochs", "batch_size")},
    "train.learning_rate": Settings().learning_rate,
}
_KERNELS: dict[str, dict[str, Any]] = {
    f"{kernel} {C:g}{', balanced' * balanced}": {
        "model.kernel": kernel,
        "model.C": C,
        "model.balanced": balanced,
    }
    for kernel, C in (("rbf", 1.0), ("rbf", 3.0), ("rbf", 10.0), ("linear", 3e-4), ("linear", 3e-3))
    for balanced in (False, True)
}
# STSTNet with other training: 30 epochs of Adam at 3e-3, falling along a cosine.
_NETWORK = {
    "method.size": (14, 14),
    "method.normalize": "standard",
    "method.mirror": True,
    "train.epochs": 30,
    "train.batch_size": 64,
    "train.learning_rate": 3e-3,
    "train.schedule": "cosine",
    "train.weight_decay": 1e-4,
}
_TRAININGS: dict[str, dict[str, Any]] = {
    "mirrored": {},
    "turned": {"method.rotation": 10.0, "method.zoom": 0.1},
    "mixed": {"train.mixup": 0.4},
    "smoothed labels": {"train.label_smoothing": 0.1},
    "balanced batches, mixed": {"train.mixup": 0.4, "train.sampler": "balanced"},
    "wide, mixed": {"model.maps": (8, 16, 24), "train.mixup": 0.4},
}
_PRETRAINED: dict[str, Any] = {"train.init_from": "runs/rendered_faces"}
_TRAININGS |= {
    "pre-trained": _PRETRAINED,
    "pre-trained, slowly": _PRETRAINED | {"train.learning_rate": 1e-3},
    "pre-trained, turned": _PRETRAINED | _TRAININGS["turned"],
    "pre-trained, mixed": _PRETRAINED | _TRAININGS["mixed"],
}
# RCN-W and RCN-A with the training of experiments/results/megc2019.md, on mirrored maps.
_RECURRENT = {
    "method.normalize": "standard",
    "method.mirror": True,
    "train.epochs": 30,
    "train.batch_size": 32,
    "train.learning_rate": 5e-3,
    "train.schedule": "cosine",
    "train.schedule_rate": 1.0,
    "train.schedule_every": 1,
}
_RECURRENT_TRAININGS = ("mirrored", "turned", "mixed", "smoothed labels")
ROWS = (
    {
        f"SVM, {inputs}, {kernel}": Row("ststnet_megc2019", _SVM | size | options)
        for inputs, size in _INPUTS.items()
        for kernel, options in _KERNELS.items()
    }
    | {
        f"STSTNet, {name}": Row("ststnet_megc2019", _NETWORK | changes)
        for name, changes in _TRAININGS.items()
    }
    | {
        f"RCN-{letter}, {name}": Row(
            "rcn_megc2019",
            _RECURRENT | {"model.name": f"rcn_{letter.lower()}"} | _TRAININGS[name],
        )
        for letter in "WA"
        for name in _RECURRENT_TRAININGS
    }
)
