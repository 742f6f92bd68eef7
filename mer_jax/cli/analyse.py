"""Draws saliency and feature maps of a finished run's network on a clip it was tested on.

    mer-jax analyse --run=WORKDIR --out=DIR [--clip=KEY] [--class=NAME] [--root=DIR]

KEY is a clip of the run's own database (its key or the end of it); the network is that of the fold
that tested it. The curves of a run with several seeds are those of the first seed.

Example:

    mer-jax analyse --run=runs/first --out=pictures --clip=s03_02

DIR gets

    saliency.png      the input, and the gradient of a class score with respect to it
    feature_maps.png  maps of the first and of the fifth convolutional layer (or the last)
    perception.png    tp over time, of a network with a Temporal Perception Unit (PSN)
    epochs.png        accuracy and UF1 of all tested clips over the epochs, and their mean and
                      deviation over the last ten
    analysis.json     the numbers: clip, label, probabilities, tp, mean and deviation
"""

import jax
import numpy as np
from absl import flags

from mer_jax.cli.command import no_arguments, required
from mer_jax.errors import UserError, unknown_name
from mer_jax.io import reading
from mer_jax.runtime import pinned

_OF_FLOWS = ("flow_maps", "strcn_g")  # methods whose first two channels are u and v
_RUN = flags.DEFINE_string("run", None, "The working directory of a finished run.")
_OUT = flags.DEFINE_string("out", None, "The folder to write to.")
_CLIP = flags.DEFINE_string("clip", None, "A clip of the run; by default the first tested one.")
_CLASS = flags.DEFINE_string("class", None, "The class of the score; by default the predicted one.")
_ROOT = flags.DEFINE_string("root", None, "The folder of the run's database, if it moved.")


@pinned()
def analyze() -> str:
    """Analyses the run of the flags and writes DIR; returns the text to print."""
    from mer_jax import explain, tested_clip
    from mer_jax.io import saving
    from mer_jax.metrics import intervals
    from mer_jax.reporting import explanations, figures

    run, out = required(_RUN), reading.expanded(required(_OUT))
    tested = tested_clip.load_tested_clip(run, clip=_CLIP.value, root=_ROOT.value)
    logits = explain.logits(tested.network, tested.inputs)  # [V, K]
    if (views := len(logits)) > 1:
        logits = tested.combine_views(logits[:, None])
    logits = np.asarray(logits)[0]
    label = int(np.argmax(logits))
    if _CLASS.value is not None:
        if _CLASS.value not in tested.classes:
            raise unknown_name("class", _CLASS.value, tested.classes)
        label = tested.classes.index(_CLASS.value)
    named = lambda tree: {k: np.asarray(v) for k, v in _named(tree).items()}
    heat = named(explain.saliency(tested.network, tested.inputs, label=label))
    layers = explain.feature_maps(tested.network, tested.inputs)
    every = tested_clip.epoch_scores(run)
    curves = {name: every[name] for name in ("accuracy", "uf1")}

    # Several views of a clip are drawn like frames.
    one = lambda a, axes: a[0] if a.ndim > axes or len(a) == 1 else a
    drawn = {
        "saliency": explanations.saliency(
            {name: one(array, 4) for name, array in named(tested.inputs).items()},
            {name: one(array, 3) for name, array in heat.items()},
            flow=tested.method in _OF_FLOWS,
            frame="view" if views > 1 else "frame",
        ),
    }
    if layers:
        drawn["feature_maps"] = explanations.feature_maps(_first_and_fifth(layers))
    numbers = {
        "clip": tested.clip.key,
        "fold": tested.fold,
        "label": tested.label,
        "saliency_of": tested.classes[label],
        "probabilities": dict(zip(tested.classes, np.asarray(jax.nn.softmax(logits)))),
    }
    if len(curves["uf1"]):
        drawn["epochs"] = explanations.epochs(
            {"accuracy": curves["accuracy"], "UF1": curves["uf1"]}
        )
        numbers["last_epochs"] = {
            name: intervals.mean_and_std(values[-intervals.LAST_EPOCHS :])
            for name, values in curves.items()
        }
    try:
        tp = np.asarray(explain.temporal_perception(tested.network, tested.inputs)[0])
        drawn["perception"], numbers["tp"] = explanations.temporal_perception(tp), tp
    except UserError:
        pass  # no such unit in this network
    lines = [str(saving.write_json(out / "analysis.json", numbers))]
    for name, figure in drawn.items():
        lines.append(str(saving.write(out / f"{name}.png", figures.png(figure))))
    head = f"{tested.clip.key} ({tested.label}), by the network of fold {tested.fold}"
    return "\n".join([f"{head}: saliency of {tested.classes[label]}", *lines])


def _named(tree) -> dict:
    return tree if isinstance(tree, dict) else {"input": tree}


def _first_and_fifth(layers) -> dict[str, np.ndarray]:
    from mer_jax.models.sizes import by

    names = list(layers)
    chosen = dict.fromkeys((0, min(4, len(names) - 1)))
    return {
        f"layer {at + 1} of {len(names)}: {names[at]}\n"
        f"{layers[names[at]].shape[-1]} maps of {by(layers[names[at]].shape[-3:-1])}": np.asarray(
            layers[names[at]]
        )
        for at in chosen
    }


def main(argv: list[str]) -> None:
    """Analyses the run that the flags name."""
    no_arguments(argv)
    print(analyze())
