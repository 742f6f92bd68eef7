r"""The recognizer of SKD-TSTSAN (Zhu et al. 2024) on CASME II, five classes.

Published: by each subject's best test epoch, or the first one without an error
(--config.train.model_selection=best_test, flagged), from weights trained on macro-expressions. As
in its code: Adam at 1e-3, L2 of 5e-4, batches of 16, 20,000 of them a fold, the focal loss.
Differs: the weights are random, without self-distillation; Adam's second decay is 0.999 instead of
0.99; the loss weighs classes by the training clips of a fold, not by all clips; its 244 clips (61
disgust) are not named, the sheets of 2014 and 2019 have 246 and 249 of these classes. Time: half a
million steps of 26 folds; not run yet, a GPU is needed.
  mer-jax run skd_tstsan \
      --config.data.root="CASME II" --workdir=runs/skd_tstsan
"""

from mer_jax import configuration


def get_config():
    return configuration.make(
        title="SKD-TSTSAN, recognizer",
        data={"name": "casme2", "label_scheme": "casme2_5"},
        method="skd_tstsan",
        model="skd_tstsan",
        train={
            "epochs": 1300,
            "batch_size": 16,
            "learning_rate": 1e-3,
            "weight_decay": 5e-4,
            "loss": "weighted_focal",
        },
    )
