r"""The networks on rendered faces, at reduced width, each with a control that must score at chance.

No paper's table: each row is a network with its own method, leave one subject out, six subjects and
54 clips in three classes, the last epoch; "permuted" is the same job with permuted labels. The
faces are easy on purpose (large movements, hardly any drift, no blinks) and the networks narrow, so
that all rows run on a CPU. Networks of appearance rather than motion get larger movements, twelve
subjects, or the frames minus the clip's first, without which they learn the subjects' identities.
The inputs of BDCNN and FG-AU-Fusion are not defined.
The scores are in experiments/results/networks.md.
Time: half a minute to ten minutes a row, an hour and a half in all, on 2 CPU cores.
  mer-jax run experiments/sweeps/networks.py \
      --workdir=runs/networks
One network: --only=psn. One seed: --config.train.seeds=1.
"""

from typing import Any

from mer_jax.sweep import Row


def _section(section: str, **options: Any) -> dict[str, Any]:
    return {f"{section}.{name}": value for name, value in options.items()}


FACES = _section(
    "data",
    subjects=6, clips_per_subject=9, size=(48, 48), frames=(16, 20), drift=0.1, blinks=0.0,
    noise=0.005, emotions=("happiness", "surprise", "disgust"), amplitude=(1.5, 2.5),
)  # fmt: skip
LARGE = _section("data", amplitude=(2.5, 2.5))
MORE = LARGE | _section("data", subjects=12, clips_per_subject=6)
FLOW = _section("method", name="flow_maps", size=(20, 20))
UV = FLOW | _section("method", size=(16, 16), channels=("u", "v"))
REGIONS = _section("method", name="fusenet", size=(24, 24), length=16)
RCN = _section("model", maps=8, pool=3)
TWO_STREAMS = _section("model", filters=8, kernel=(7, 3, 3), widths=(64, 32))
PIXELS = _section("method", size=(32, 24), length=12, repeats_per_epoch=4) | MORE
SMALL_BATCH = {"model.width": 1 / 16, "train.batch_size": 6}

# network: (its faces and its method, its sizes, epochs, learning rate)
NETWORKS: dict[str, tuple[dict, dict, int, float]] = {
    "ststnet": (FLOW, {}, 40, 5e-3),
    "rcn_a": (FLOW, RCN, 25, 5e-3),
    "rcn_s": (FLOW, RCN, 25, 5e-3),
    "rcn_w": (FLOW, RCN, 40, 5e-3),
    "off_apexnet": (UV, {"model.hidden": 128}, 40, 1e-3),
    "dual_inception": (UV, {"model.maps": (4, 8), "model.hidden": 64}, 30, 1e-3),
    "stcnn": (
        _section("method", name="stcnn", size=(32, 32), length=16),
        _section("model", filters=8, kernel=(7, 3, 3), hidden=32),
        *(60, 1e-3),
    ),
    "fusenet_intermediate": (REGIONS, TWO_STREAMS, 60, 1e-3),
    "fusenet_late": (REGIONS, TWO_STREAMS, 60, 1e-3),
    "psn": (
        _section("method", name="psn", size=(32, 32), length=16, frames=8),
        {"model.width": 1 / 16},
        *(30, 1e-3),
    ),
    "r3d_convlstm": (
        _section("method", name="r3d", size=(32, 32), length=6, flip="horizontal", rotation=0.0)
        | {"method.repeats_per_epoch": 2, **MORE},
        SMALL_BATCH,
        *(50, 1e-3),
    ),
    "strcn_a": (
        {"method.name": "strcn_a", **PIXELS},
        _section("model", maps=16, recurrent_layers=3),
        *(12, 3e-3),
    ),
    "mer_rcnn": (
        {"method.name": "mer_rcnn", **PIXELS, "method.num_pixels": 720},
        _section("model", maps=16, recurrent_layers=3),
        *(16, 3e-3),
    ),
    "strcn_g": (
        _section("method", name="strcn_g", size=(48, 40), alphas=(8.0,), percents=(100, 80))
        | {"method.repeats_per_epoch": 2},
        _section("model", maps=8, recurrent_layers=2),
        *(15, 3e-3),
    ),
    "capsule": (
        _section("method", name="apex", size=(129, 129), subtract_onset=True) | LARGE,
        SMALL_BATCH,
        *(40, 2e-3),
    ),
    "image_cnn": (
        _section("method", name="frames", size=(32, 32), num_frames=6, subtract_onset=True) | LARGE,
        {"model.width": 1 / 16, "model.dropout": 0.0},
        *(20, 1e-3),
    ),
    "skd_tstsan": (
        _section("method", name="skd_tstsan", size=(24, 24), frame_size=(48, 48)),
        {"model.width": 1 / 8},
        *(30, 2e-3),
    ),
    "htnet": (
        _section("method", name="flow_maps", size=(28, 28), regions="htnet"),
        _section("model", dim=32, heads=4, depths=(2, 2, 2)),
        *(40, 1e-3),
    ),
    "mmnet": (
        _section("method", name="mmnet", size=(48, 48), shift=(2, 2)),
        {"model.width": 1 / 8, "train.optimizer": "adamw", "train.weight_decay": 0.1},
        *(40, 1e-3),
    ),
}


def _row(name, **more):
    method, sizes, epochs, rate = NETWORKS[name]
    train: dict[str, Any] = {"train.epochs": epochs, "train.learning_rate": rate}
    train |= {"train.batch_size": 18, "train.seeds": 3}
    if name == "capsule":
        train["train.loss"] = "capsule_margin"
    return Row("default", FACES | method | {"model.name": name} | sizes | train | more)


ROWS = {
    title: row
    for name in NETWORKS
    for title, row in (
        (name, _row(name)),
        (f"{name}, permuted", _row(name, **{"data.permute_labels": True})),
    )
}
