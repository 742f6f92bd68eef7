r"""PSN (Li et al.), Tables 5 and 6: 650 clips of four databases, ten stratified folds by sample.

Published: recognition rate and F1 (Table 5), UAR and UF1 over all and for each database (Table 6),
in each row. F1 is UF1: Table 6 prints the same. Subjects are in training and test, which is
flagged; --config.protocol.name=loso is the strict table. Tables 7 and 8 (confusion matrices) and
Fig. 6 (true positive and true negative rates) are in the reports. Omitted: BDCNN, whose fourth
input picture is not described; FG-AU-Fusion, whose inputs (features of the shape encoder of a
motion-magnification network, Oh et al., at 30 landmarks, 7 x 7 each) nothing in the package
computes; and KFC, FR, MERANet and MERSiamC3D, see experiments/results/networks.md.
DIR contains casme/, casme2/, casme_squared/, samm/. Estimated time: days on 2 CPU cores.
  mer-jax run experiments/sweeps/psn_tables5_6.py \
      --config.data.root=DIR --workdir=runs/psn_tables5_6
"""

from mer_jax.sweep import Row

DATABASES = ("casme", "casme2", "casme_squared", "samm")
SET = {
    "data.name": "psn",
    "data.label_scheme": "psn4",
    "protocol.name": "k_fold",
    "protocol.folds": 10,
    "protocol.by": "sample",
}
_FLOW = {"method.channels": ("u", "v", "strain"), "method.flow_scale": 1.0}


def _each(*pairs: tuple[float, float]) -> dict[str, float]:
    """(UAR, UF1) of all clips and of each database, as Table 6 has them."""
    parts = dict(zip(("", *(f"{name}/" for name in DATABASES)), pairs))
    return {
        f"{part}{score}": value
        for part, pair in parts.items()
        for score, value in zip(("uar", "uf1"), pair)
    }


def _lbp_sip(blocks: int, published: dict[str, float]) -> Row:
    changes = {"method.blocks": (blocks, blocks), "model.kernel": "rbf"}
    return Row("baseline_lbp_sip", SET | changes, published)


ROWS = {
    "PSN": Row(
        "psn",
        {},
        {"accuracy": 0.6492}
        | _each(
            *((0.4871, 0.5211), (0.4349, 0.4591), (0.4347, 0.4685)),
            *((0.4481, 0.4295), (0.4378, 0.4545)),
        ),
    ),
    "RCN, a-extension": Row("rcn_megc2019", SET | _FLOW, {"accuracy": 0.5062}),
    "RCN, s-extension": Row(
        "rcn_megc2019", SET | _FLOW | {"model.name": "rcn_s"}, {"accuracy": 0.4969}
    ),
    "RCN, w-extension": Row(
        "rcn_megc2019",
        SET | _FLOW | {"model.name": "rcn_w"},
        {"accuracy": 0.5354}
        | _each(
            *((0.3237, 0.3563), (0.3104, 0.2856), (0.3019, 0.2732)),
            *((0.3657, 0.3086), (0.2244, 0.2065)),
        ),
    ),
    "STSTNet": Row(
        "ststnet_megc2019",
        SET,
        {"accuracy": 0.5323}
        | _each(
            *((0.3167, 0.2895), (0.2887, 0.2724), (0.2614, 0.2633)),
            *((0.2639, 0.2175), (0.2445, 0.2158)),
        ),
    ),
    "LBP-SIP, 6 x 6": _lbp_sip(6, {"accuracy": 0.5308}),
    "LBP-SIP, 7 x 7": _lbp_sip(
        7,
        {"accuracy": 0.5508}
        | _each(
            *((0.3452, 0.4016), (0.2882, 0.2704), (0.3041, 0.2595)),
            *((0.2731, 0.2432), (0.2861, 0.2575)),
        ),
    ),
    "LBP-SIP, 8 x 8": _lbp_sip(8, {"accuracy": 0.5462}),
}
