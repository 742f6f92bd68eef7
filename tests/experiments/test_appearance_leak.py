"""The claim of STRCN's Tables II and III, on faces whose light tells a subject's emotions apart."""

import dataclasses
import pathlib

import jax
import numpy as np
import pytest

from mer_jax import configuration, experiment, models, protocols, sweep
from mer_jax.training import Hooks, Parallel, fit

SWEEPS = pathlib.Path(__file__).resolve().parents[2] / "experiments" / "sweeps"
ROWS = sweep.rows(SWEEPS / "appearance_leak.py")


def accuracies(network: str, *, epochs: int) -> dict[str, float]:
    """Of both protocols, trained as one job: every other fold of LOSO, and LOVO in four parts."""
    config = sweep.configured(ROWS[f"LOSO: {network}"], {"train.epochs": epochs})
    settings = configuration.check(config)
    clips, labels, classes = experiment.prepare_clips(config)
    examples = experiment.prepare_examples(config, clips, {})
    loso = protocols.create("loso", clips, labels).take([0, 2, 4])
    lovo = protocols.create("lovo", clips, labels, fraction=1 / 4)
    rows = ("train", "test", "validation")
    both = dataclasses.replace(
        loso,
        names=(*loso.names, *lovo.names),
        **{row: np.concatenate([getattr(loso, row), getattr(lovo, row)]) for row in rows},
    )
    sizes = configuration.options_of(config, "model")
    (result,) = fit(
        examples,
        labels,
        [both],
        settings,
        num_classes=len(classes),
        build=lambda rngs: models.create(
            config.model.name,
            num_classes=len(classes),
            rngs=rngs,
            shape=examples.input_shape,
            **sizes,
        ),
        parallel=Parallel(devices=jax.devices()[:1]),
        hooks=Hooks(quiet=True),
    )
    correct = (result.probabilities.argmax(-1) == labels[result.eval_index]) & result.test
    accuracy = lambda part: correct[part].sum() / result.test[part].sum()
    return {"LOSO": accuracy(slice(len(loso))), "LOVO": accuracy(slice(len(loso), None))}


@pytest.mark.train
def test_appearance_wins_on_known_faces_and_motion_on_new_ones():
    appearance, motion = accuracies("STRCN-A", epochs=24), accuracies("STRCN-G", epochs=12)
    assert appearance["LOVO"] > 0.75, appearance
    # Chance is 1/3, of nine kinds of clip: a subject's clips of one emotion look all alike.
    assert appearance["LOSO"] < 0.6, appearance
    assert motion["LOSO"] > appearance["LOSO"] + 0.1, (motion, appearance)
    assert motion["LOVO"] < appearance["LOVO"], (motion, appearance)
