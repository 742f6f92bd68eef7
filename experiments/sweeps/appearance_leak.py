r"""Appearance against motion: why STRCN-A wins under LOVO and loses under LOSO.

Tests the claim of STRCN's Tables II and III on faces rendered for it: light and complexion predict
a subject's emotions, by cues of that subject alone (data.appearance_leak=1), and the movements are
small. A network that sees the face's appearance (STRCN-A) learns the cues, which help on another
video of a known subject and on no other subject. A network that sees the flow (STRCN-G) does not
see them. LOVO leaves out a tenth of the videos at a time (the paper: a twentieth); its reports are
flagged, as subjects are in training and test.
Expected: experiments/results/appearance_leak.md. Time: ten minutes on 2 idle CPU cores.
  mer-jax run experiments/sweeps/appearance_leak.py \
      --workdir=runs/appearance_leak
Without the cues: --config.data.appearance_leak=0.
"""

from mer_jax.sweep import Row

FACES = {
    "data.subjects": 6,
    "data.clips_per_subject": 12,
    "data.emotions": ("happiness", "surprise", "disgust"),
    "data.size": (48, 48),
    "data.frames": (12, 14),
    "data.amplitude": (0.2, 0.8),
    "data.drift": 0.3,
    "data.blinks": 0.0,
    "data.flicker": 0.0,
    "data.noise": 0.005,
    "data.appearance_leak": 1.0,
}
TRAIN = {
    "train.epochs": 24,
    "train.batch_size": 12,
    "train.learning_rate": 1e-2,
    "train.schedule": "cosine",
    "train.loss": "class_balanced_bce",
}
NETWORKS = {
    "STRCN-A": {
        "method.name": "strcn_a",
        "method.size": (20, 16),
        "method.length": 9,
        "method.alphas": (6, 8, 10),
        "method.percents": (100,),
        "method.repeats_per_epoch": 4,
        "model.name": "strcn_a",
        "model.maps": 16,
        "model.recurrent_layers": 1,
        "model.steps": 1,
    },
    "STRCN-G": {
        "method.name": "strcn_g",
        "method.size": (48, 48),
        "method.preset": "tv_l1",
        "method.alphas": (6, 10),
        "method.percents": (100,),
        "method.repeats_per_epoch": 1,
        "model.name": "strcn_g",
        "model.maps": 12,
        "model.recurrent_layers": 2,
        "model.steps": 1,
    },
}
PROTOCOLS = {
    "LOSO": {},
    "LOVO": {"protocol.name": "lovo", "protocol.fraction": 0.1},
}
ROWS = {
    f"{protocol}: {network}": Row("default", FACES | TRAIN | changes | folds)
    for network, changes in NETWORKS.items()
    for protocol, folds in PROTOCOLS.items()
}
