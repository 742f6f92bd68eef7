r"""STRCN-G, geometry: Xia et al. 2019, Table II (LOSO) and III (LOVO).

Robust flow from onset to apex of the magnified clip at 300 x 245, 50 variants of each clip.
Published on CASME II: accuracy 0.803, F1 0.747 (LOSO); 0.833, 0.807 (LOVO). Other databases:
sweeps/strcn_tables2_3.py. Time: many hours on 2 CPU cores.
  mer-jax run strcn_g \
      --config.data.root="CASME II" --workdir=runs/strcn_g
Without a licence: --config.data.name=synthetic. LOVO: --config.protocol.name=lovo.
"""

from mer_jax import configuration


def get_config():
    return configuration.make(
        title="STRCN-G",
        data=dict(name="casme2", label_scheme="strcn4"),
        method="strcn_g",
        model="strcn_g",
        train=dict(
            epochs=30,
            batch_size=20,
            learning_rate=1e-3,
            optimizer="sgd",
            momentum=0.9,
            weight_decay=5e-4,
            schedule="decay",
            schedule_rate=0.8,
            loss="class_balanced_bce",
            min_loss_change=1e-3,
        ),
    )
