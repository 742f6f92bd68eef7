r"""STRCN-A, appearance: Xia et al. 2019, Table II (LOSO) and III (LOVO).

Published on CASME II: accuracy 0.560, F1 0.542 (LOSO); 0.841, 0.784 (LOVO), with the mask summed
over all clips, test clips included (--config.train.statistics_on_all_clips=True, flagged; the
strict variant is trained beside it). Other databases: sweeps/strcn_tables2_3.py.
Time: some hours on 2 CPU cores.
  mer-jax run strcn_a \
      --config.data.root="CASME II" --workdir=runs/strcn_a
Without a licence: --config.data.name=synthetic. LOVO: --config.protocol.name=lovo.
"""

from mer_jax import configuration


def get_config():
    return configuration.make(
        title="STRCN-A",
        data=dict(name="casme2", label_scheme="strcn4"),
        method="strcn_a",
        model="strcn_a",
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
