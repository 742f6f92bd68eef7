r"""R3D-ConvLSTM, stage 2 of 2: micro-expressions of five databases (Islam et al., Table 3).

Published: LOSO accuracy 97.3 %, UAR 97.1 %, UF1 96.6 %; stratified 5-fold 97.6, 97.6, 97.3 %. Those
epochs were selected on the test folds (--config.train.model_selection=best_test, flagged); here the
epoch is selected on inner validation subjects, and the number will be far lower.
Time: days on 2 CPU cores. DIR holds smic/, casme/, casme2/, casme_squared/, samm/.
  mer-jax run r3d_macro \
      --config.data.root=DIR --workdir=runs/r3d_macro
  mer-jax run r3d_convlstm \
      --config.data.root=DIR --config.train.init_from=runs/r3d_macro --workdir=runs/r3d
Without train.init_from it starts from scratch. Table 3's other row is five folds by sample,
with subjects in training and test (flagged): --config.protocol.name=k_fold
--config.protocol.by=sample (without the second flag they are by subject). Whole tables:
sweeps/r3d_table3.py.

The rate falls after the fifth epoch in a row that is not better, as the text has it; after the
sixth, as PyTorch's scheduler does by patience 5: --config.train.lr_plateau_rule=pytorch. The eighth
such epoch is the last. Both watch the class-weighted loss that is trained. The limit, 60 epochs, is
ours.
"""

from mer_jax import configuration


def get_config():
    return configuration.make(
        title="R3D-ConvLSTM",
        data=dict(name="r3d", label_scheme="r3d"),
        method="r3d",
        model="r3d_convlstm",
        train=dict(
            epochs=60,
            batch_size=64,
            learning_rate=1e-3,
            loss="weighted_ce",
            sampler="balanced",
            validation=0.2,
            model_selection="best_val",
            lr_plateau_patience=5,
            early_stopping_patience=8,
        ),
    )
