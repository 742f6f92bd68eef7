r"""CD6ME: twelve action units, six databases, each tested by a network trained on the other five.

Varanka, Li, Peng & Zhao 2022: mean F1 over units / over databases in % (theirs, five seeds):
SSSNet 40.5 / 38.4, OFF-ApexNet 39.5 / 37.0 (a variant of one stream, 3 x 3 kernels and dropout),
STSTNet 31.8 / 31.0, RCN-A 28.7 / 28.4. Here UF1 is the mean F1 over units of all clips pooled; the
mean over databases stands among the other ways of counting. How their networks were trained is our
choice, as STSTNet's was. In their data two clips of 4DME have each other's units, and some forty
clips of MMEW, CASME II and SAMM an apex of the authors' own.
Time: hours on 2 CPU cores. DIR holds casme/, casme2/, samm/, fourdme/, mmew/, casme3/. Frames of
unlike sizes: mer-jax prepare --database=cd6me --size=128,105, and --config.data.name=prepared.
  mer-jax run cd6me \
      --config.data.root=DIR --workdir=runs/cd6me
Others: --config.model.name=ststnet, rcn_a. Five seeds: --config.train.seeds=5. Without a licence:
synthetic_action_units.py.
"""

from mer_jax import configuration


def get_config():
    return configuration.make(
        title="CD6ME, action units",
        data=dict(name="cd6me", label_scheme="cd6me"),
        method=dict(name="flow_maps", channels=("u", "v")),
        model="off_apexnet",
        protocol="leave_one_database_out",
        train=dict(epochs=100, batch_size=256, learning_rate=5e-4, loss="multilabel_bce"),
    )
