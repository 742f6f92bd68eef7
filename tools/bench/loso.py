"""Training of all folds against a PyTorch loop: STSTNet on maps like MEGC2019's 442."""

from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax import models
from mer_jax.methods.examples import Examples
from mer_jax.training import Parallel, Settings, rng
from tools.bench.timing import Table, compare, timing_table
from tools.bench.workloads import job, leave_out, torch_folds

EPOCHS = 2  # in one call
_CLIPS, _SUBJECTS, _LOOP = 442, 68, 4
_SETTINGS = Settings(epochs=EPOCHS, batch_size=256, learning_rate=5e-5)


def tables(rounds: int, quick: bool) -> Iterator[Table]:
    """A fold-epoch of STSTNet, Adam, batches of 256 (221 here: see streams)."""
    many = 8 if quick else _SUBJECTS
    cases = {
        f"mer_jax, {many} folds as one job": jax_job(many),
        "mer_jax, one fold a job, compiled before": jax_job(1, devices=jax.devices()[:1]),
    }
    per = dict(zip(cases, (many * EPOCHS, EPOCHS)))
    if jax.default_backend() != "cpu":
        cases["mer_jax, folds mapped"] = jax_job(many, within="map")
        per["mer_jax, folds mapped"] = many * EPOCHS
    errors = {}
    try:
        import torch
    except ImportError:
        errors[next(iter(cases))] = "torch is not installed: pip install -e '.[torch]'"
    else:
        cases["PyTorch, fold after fold"] = _torch_loop(torch)
        per["PyTorch, fold after fold"] = _LOOP * EPOCHS
    steps, width = rng.steps_and_batch_size(_CLIPS, _SETTINGS.batch_size, 1)
    floor = 2 * 2 * 27 * 16 * 900 * _CLIPS / 1e9  # forwards, and the kernel's gradient
    title = (
        f"STSTNet, one epoch of one fold ({steps} steps of {width}; {floor:.1f} GFLOP of "
        f"convolution, {_CLIPS * 900 * 16 * 4 / 1e6:.0f} MB of activations)"
    )
    yield timing_table(title, compare(cases, rounds=rounds, per=per, errors=errors))


def jax_job(
    folds: int, *, within: str = "auto", devices: Sequence[jax.Device] | None = None
) -> Callable[[], object]:
    """`EPOCHS` epochs of `folds` folds as one job."""
    maps, labels, every = _problem()
    examples = Examples(inputs=jnp.asarray(maps), input_shape=(28, 28, 3))
    build = lambda rngs: models.create("ststnet", num_classes=3, rngs=rngs)
    layout = Parallel(within=within, devices=devices).layout(folds)
    labels, chosen = jnp.asarray(labels, jnp.int32), [every.take(range(folds))]
    return job(examples, labels, chosen, _SETTINGS, build, layout=layout)[0]


def _problem():
    rng = np.random.default_rng(0)
    maps = rng.uniform(0, 255, (_CLIPS, 28, 28, 3)).astype(np.float32)
    labels = rng.integers(0, 3, _CLIPS)
    return maps, labels, leave_out(_CLIPS, _SUBJECTS)


def _torch_loop(torch) -> Callable[[], object]:
    """What people run: a network and an optimiser a fold, one fold after the other."""
    nn = torch.nn
    maps, labels, folds = _problem()

    class Net(nn.Module):  # type: ignore[name-defined]  # PyTorch need not be there
        """The published network: three streams of 3, 5 and 8 maps."""

        def __init__(self):
            super().__init__()
            self.streams = nn.ModuleList(
                nn.Sequential(
                    nn.Conv2d(3, maps_, 3, padding=2),
                    nn.ReLU(),
                    nn.BatchNorm2d(maps_),
                    nn.MaxPool2d(3, 3, 1),
                    nn.Dropout(0.5),
                )
                for maps_ in (3, 5, 8)
            )
            self.head = nn.Linear(400, 3)

        def forward(self, x):
            joined = torch.cat([stream(x) for stream in self.streams], 1)
            return self.head(nn.functional.avg_pool2d(joined, 2).flatten(1))

    planes = np.ascontiguousarray(maps.transpose(0, 3, 1, 2))
    return torch_folds(planes, labels, folds.take(range(_LOOP)), _SETTINGS, Net)
