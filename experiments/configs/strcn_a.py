r"""STRCN-A, appearance: Xia et al. 2019, Table II (LOSO) and III (LOVO).

Expected, as published (the mask summed over all clips, test clips included): see Table II; the
strict number is lower. Time: some hours on 2 CPU cores, minutes on a GPU.
  python -m experiments.launch --config=experiments/configs/strcn_a.py \
      --config.data.root="CASME II" --workdir=runs/strcn_a
Without a licence: --config.data.name=synthetic. LOVO: --config.protocol.name=lovo. As published:
--config.train.mask_all=True.
"""

from mer_jax import config


def get_config():
    return config.make(
        title="STRCN-A",
        data={"name": "casme2", "classes": "strcn4"},
        method="strcn_a",
        model="strcn_a",
        train={
            "epochs": 30,
            "batch_size": 20,
            "learning_rate": 1e-3,
            "optimizer": "sgd",
            "momentum": 0.9,
            "weight_decay": 5e-4,
            "schedule": "decay",
            "schedule_rate": 0.8,
            "loss": "balanced",
            "stop_change": 1e-3,
        },
    )
