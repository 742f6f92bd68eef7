"""Commands in one process: each test module has its own command, with its flags and no others.

A command defines its flags when it is imported, for a process of its own. Here many share one, and
absl knows a name once only, so the flags change places with the modules that are collected and run.
"""

import sys
from types import ModuleType
from typing import NamedTuple

import pytest
from absl import flags, logging


class _Stage(NamedTuple):
    """What the import of a test module brought in."""

    modules: dict[str, ModuleType]
    flags: dict[str, flags.Flag]


_STAGES: dict[str, _Stage] = {}


def _now() -> _Stage:
    mine = lambda name: f"{name}.".startswith("mer_jax.cli.")
    found = flags.FLAGS.flags_by_module_dict().items()
    return _Stage(
        {name: module for name, module in sys.modules.items() if mine(name)},
        {flag.name: flag for module, defined in found if mine(module) for flag in defined},
    )


def _clear() -> None:
    for name in _now().modules:
        del sys.modules[name]
    for name in {name for stage in [*_STAGES.values(), _now()] for name in stage.flags}:
        if name in flags.FLAGS:
            delattr(flags.FLAGS, name)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    if not isinstance(collector, pytest.Module):
        return (yield)
    _clear()
    report = yield
    _STAGES.setdefault(collector.nodeid, _now())  # later for its doctests, which import nothing
    return report


@pytest.fixture(autouse=True)
def _own_command(request):
    verbosity = logging.get_verbosity()
    stage = _STAGES[request.node.getparent(pytest.Module).nodeid]
    _clear()
    sys.modules.update(stage.modules)
    for name, flag in stage.flags.items():
        flags.FLAGS[name] = flag
    yield
    logging.set_verbosity(verbosity)  # a command says less than others want to hear
