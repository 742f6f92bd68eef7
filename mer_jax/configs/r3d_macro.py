r"""R3D-ConvLSTM, stage 1 of 2: macro-expressions (Islam et al., sections 2.4 and 3.2).

CK+, MUG and Oulu-CASIA in three classes, 80/20 hold-out (by subject is our choice, and at most 100
epochs); the epoch is chosen on an inner validation set (the rate falls after 5 epochs in a row that
are not better, the tenth is the last: see r3d_convlstm.py). Published: a picture only (Fig. 3).
Time: hours on 2 CPU cores. DIR holds ck_plus/, mug/ and oulu_casia/.
  mer-jax run r3d_macro \
      --config.data.root=DIR --workdir=runs/r3d_macro
Kinetics-400 weights in the backbone, as the paper has them, from torchvision's own file:
  mer-jax convert-weights --from=r3d_18.pth --to=kinetics
and --config.train.init_from=kinetics here. The next stage is r3d_convlstm.py.
"""

from mer_jax import configuration


def get_config():
    return configuration.make(
        title="R3D-ConvLSTM, macro-expressions",
        data=dict(name="r3d_macro", label_scheme="r3d"),
        method=dict(name="r3d", smooth=True, repeats_per_epoch=4),
        model="r3d_convlstm",
        protocol=dict(name="hold_out", fraction=0.2),
        train=dict(
            epochs=100,
            batch_size=64,
            learning_rate=1e-4,
            loss="weighted_ce",
            sampler="balanced",
            validation=0.2,
            model_selection="best_val",
            lr_plateau_patience=5,
            early_stopping_patience=10,
        ),
    )
