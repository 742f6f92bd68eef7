r"""R3D-ConvLSTM, stage 1 of 2: macro-expressions (Islam et al., sections 2.4 and 3.2).

CK+, MUG and Oulu-CASIA in three classes, 80/20 hold-out by subject; the epoch is chosen on an inner
validation set (the rate falls after 5 epochs in a row that are not better, the tenth is the last:
see r3d_convlstm.py). Published: a picture only (Fig. 3).
Time: hours on 2 CPU cores. DIR holds ck_plus/, mug/ and oulu_casia/.
  python -m experiments.launch --config=experiments/configs/r3d_macro.py \
      --config.data.root=DIR --workdir=runs/r3d_macro
Kinetics-400 weights in the backbone, as the paper has them, from torchvision's own file:
  python -m tools.convert_weights --from=r3d_18.pth --to=kinetics
and --config.train.initial=kinetics here. The next stage is r3d_convlstm.py.
"""

from mer_jax import config


def get_config():
    return config.make(
        title="R3D-ConvLSTM, macro-expressions",
        data={"name": "r3d_macro", "classes": "r3d"},
        method={"name": "r3d", "smooth": True, "copies": 4},
        model="r3d_convlstm",
        protocol={"name": "hold_out", "fraction": 0.2},
        train={
            "epochs": 100,
            "batch_size": 64,
            "learning_rate": 1e-4,
            "loss": "weighted",
            "sampler": "balanced",
            "validation": 0.2,
            "choice": "validation",
            "plateau": 5,
            "patience": 10,
        },
    )
