"""Training of folds against a PyTorch loop: STSTNet on maps like MEGC2019's 442."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax import models, protocols
from mer_jax.clips import Clip, hold
from mer_jax.methods.examples import Examples
from mer_jax.training import Settings, engine, streams
from mer_jax.training import layout as layouts
from mer_jax.training.fold import Data
from tools.bench.race import race, table

_CLIPS, _PERSONS, _FOLDS, _EPOCHS = 442, 68, 4, 3


def tables(rounds: int) -> Iterator[str]:
    """STSTNet: one epoch of one fold, batches of 256 (221 here: see streams), Adam."""
    rng = np.random.default_rng(0)
    maps = rng.uniform(0, 255, (_CLIPS, 28, 28, 3)).astype(np.float32)
    labels = rng.integers(0, 3, _CLIPS)
    clips = [Clip("maps", f"s{i % _PERSONS}", f"c{i}", hold(maps[:1]), "x") for i in range(_CLIPS)]
    folds = protocols.loso(clips, labels).take(range(_FOLDS))
    settings = Settings(epochs=_EPOCHS, batch_size=256, learning_rate=5e-5)
    examples = Examples(inputs=jnp.asarray(maps), input_shape=(28, 28, 3))
    build = lambda rngs: models.create("ststnet", num_classes=3, rngs=rngs)
    cases = {}
    for inner in dict.fromkeys((layouts.create().inner, "map", "vmap")):
        layout = layouts.create(inner=inner, devices=jax.devices()[:1])
        task = engine.make_task(examples, _CLIPS, settings, num_classes=3, build=build)
        data = layouts.replicate(layout, Data(examples.inputs, jnp.asarray(labels, jnp.int32), {}))
        part = layouts.spread(layout, engine.fold_rows([folds], settings))
        programs = engine.compile_programs(task, layout, _EPOCHS)
        state = [programs.init(data, part)]

        def ours(programs=programs, data=data, part=part, state=state):
            state[0], record = programs.epochs(data, part, state[0])
            return record

        cases[f"mer_jax, folds by {inner}"] = ours
    errors = {}
    try:
        import torch
    except ImportError:
        errors[next(iter(cases))] = "torch is not installed: pip install -e '.[torch]'"
    else:
        cases["PyTorch, fold after fold"] = _torch_loop(torch, maps, labels, folds, settings)
    steps, width = streams.steps_and_width(_CLIPS, 256)
    floor = 2 * 3 * 27 * 16 * 900 * _CLIPS / 1e9
    title = (
        f"STSTNet, one epoch of one fold ({steps} steps of {width}; {floor:.1f} GFLOP of "
        f"convolution, {_CLIPS * 900 * 16 * 4 / 1e6:.0f} MB of activations)"
    )
    yield table(title, race(cases, rounds=rounds, per=_FOLDS * _EPOCHS, errors=errors))


def _torch_loop(torch, maps, labels, folds, settings):
    nn = torch.nn

    class Net(nn.Module):
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

    x = torch.from_numpy(maps).permute(0, 3, 1, 2).contiguous()
    y = torch.from_numpy(np.asarray(labels))

    def run():
        for row in folds.train:
            index = torch.from_numpy(np.flatnonzero(row))
            net = Net()
            rule = torch.optim.Adam(net.parameters(), lr=settings.learning_rate)
            for _ in range(settings.epochs):
                for batch in index[torch.randperm(len(index))].split(settings.batch_size):
                    rule.zero_grad()
                    nn.functional.cross_entropy(net(x[batch]), y[batch]).backward()
                    rule.step()
        return 0

    return run
