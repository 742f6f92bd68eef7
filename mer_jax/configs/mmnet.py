r"""MMNet (Li et al. 2022) on CASME II, five classes, from the videos' onset and apex frames.

Published: by each subject's best test epoch (--config.train.model_selection=best_test, flagged);
its code takes the best accuracy and the best F1 of a subject from different epochs. As in that
code: AdamW at 8e-4 with a decay of 0.6, 74 epochs of batches of 32, frames near onset and apex,
turned, mirrored and shifted. Differs: the rate falls by 0.987 to the last epoch (in the code to
the 50th). Time: 74 epochs of 26 folds at 224 x 224; not run yet, a GPU is needed.
  mer-jax run mmnet \
      --config.data.root="CASME II" --workdir=runs/mmnet
"""

from mer_jax import configuration


def get_config():
    return configuration.make(
        title="MMNet",
        data={"name": "casme2", "label_scheme": "casme2_5"},
        method="mmnet",
        model="mmnet",
        train={
            "epochs": 74,
            "batch_size": 32,
            "optimizer": "adamw",
            "learning_rate": 8e-4,
            "weight_decay": 0.6,
            "schedule": "decay",
            "schedule_rate": 0.987,
        },
    )
