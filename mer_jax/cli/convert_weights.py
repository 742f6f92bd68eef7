"""Converts weights that PyTorch trained for the networks of mer_jax.

    mer-jax convert-weights --from=FILE --to=DIR [--network=NAME | --table=TABLE.json]

Reads a file of PyTorch (.pth, .pt or .pkl; PyTorch must be installed for that) or the same tensors
under the same names as .npz, checks every tensor's name and shape, and writes a directory that
--config.train.init_from of a job takes. r3d_18 (Kinetics-400) is torchvision's for the backbone of
R3D-ConvLSTM; vgg16 and alexnet (ImageNet) are those of PSN. ststnet and mtsn are those of their
authors (christy1206/STSTNet, genbing99/MTSN-Spot-ME-MaE). For another network, TABLE.json lists
where each of our tensors comes from (mer_jax.models.pretrained.Tensor), for example

    [{"ours": "classifier.kernel", "theirs": ["fc.weight"], "flattened": [16, 5, 5]},
     {"ours": "classifier.bias", "theirs": ["fc.bias"]}]

A folder FILE has the weights of each fold, in files named by the folds or their subjects
(sub01.pth). Such weights are evaluated under the folds, without training, by

    mer-jax run NAME --workdir=DIR2 --config.train.init_from=DIR --config.train.epochs=0

Example:

    mer-jax convert-weights --network=vgg16 --from=vgg16.pth --to=weights/vgg16
"""

import pathlib
from collections.abc import Sequence

import numpy as np
from absl import flags

from mer_jax.cli.command import no_arguments, required
from mer_jax.errors import UserError, located
from mer_jax.io import reading
from mer_jax.models import pretrained

_FROM = flags.DEFINE_string("from", None, "PyTorch's file, .pth or .npz, or a folder of them.")
_TO = flags.DEFINE_string("to", None, "The directory to write; it must not exist.")
_NETWORK = flags.DEFINE_enum("network", "r3d_18", pretrained.names(), "The file's network.")
_TABLE = flags.DEFINE_string("table", None, "A table of tensors, .json, in place of --network.")


_SUFFIXES = (".pth", ".pt", ".pkl", ".npz")
_HDF5 = b"\x89HDF"


def read_tensors(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """The named tensors of a .pth (weights only, nothing in it is run) or .npz file.

    Raises `UserError` if there is no such file, or it is not a table of named tensors.
    """
    path = reading.expanded(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    with path.open("rb") as file:
        if file.read(4) == _HDF5:
            raise UserError(
                f"{path} is HDF5, of Keras perhaps; save its arrays by their names as .npz"
            )
    read = _read_npz if path.suffix == ".npz" else _read_torch
    try:
        return read(path)
    except UserError:
        raise
    except Exception as error:  # pickle, zipfile and PyTorch raise many types for a damaged file
        raise UserError(
            f"{path} cannot be read as a table of named tensors ({type(error).__name__})"
        ) from None


def _read_npz(path):
    with np.load(path) as arrays:
        return dict(arrays)


def _read_torch(path):
    try:
        import torch
    except ImportError:
        raise UserError(
            "reading a .pth file needs PyTorch: pip install 'mer_jax[torch]', or give an .npz"
        ) from None
    state = torch.load(path, map_location="cpu", weights_only=True)
    return {name: tensor.numpy() for name, tensor in state.items()}


def convert(
    source: str | pathlib.Path,
    target: str | pathlib.Path,
    network: str | Sequence[pretrained.Tensor],
) -> int:
    """Converts the weights in `source`, a file or a folder of one a fold, to `target`.

    network: a public network's name, or a table of its tensors.

    Returns the number of files.
    """
    source = reading.expanded(source)
    if not source.is_dir():
        pretrained.save(target, _convert_file(source, network))
        return 1
    files = sorted(each for each in source.rglob("*") if each.suffix in _SUFFIXES)
    if not files:
        raise UserError(f"{source} has no file of weights ({', '.join(_SUFFIXES)})")
    names = [each.relative_to(source).with_suffix("").as_posix() for each in files]
    if double := [name for name in names if names.count(name) > 1]:
        raise UserError(f"{source} has two files {double[0]}{{{','.join(_SUFFIXES)}}}; leave one")
    pretrained.save(
        target, {name: _convert_file(each, network) for name, each in zip(names, files)}
    )
    return len(files)


def _convert_file(path, network) -> pretrained.Weights:
    state = read_tensors(path)
    with located(path):
        return pretrained.from_torch_state(network, state)


def main(argv: list[str]) -> None:
    """Converts what the flags name."""
    no_arguments(argv)
    network = pretrained.read_table(_TABLE.value) if _TABLE.value else _NETWORK.value
    count = convert(required(_FROM), required(_TO), network)
    print(f"weights of {count} {'file' if count == 1 else 'files'} written to {_TO.value}")
