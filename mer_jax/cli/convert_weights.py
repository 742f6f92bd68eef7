"""Converts torchvision's pre-trained weights for the backbones of mer_jax.

    mer-jax convert-weights --from=FILE --to=DIR [--network=NAME]

Reads torchvision's own file (.pth; PyTorch must be installed for that) or the same tensors under
the same names as .npz, checks every tensor's name and shape, and writes a directory that
`mer_jax.models.pretrained.load` puts into a network's backbone. r3d_18 (Kinetics-400) is the
backbone of R3D-ConvLSTM; vgg16 and alexnet (ImageNet) are those of PSN.

Example:

    mer-jax convert-weights --network=vgg16 --from=vgg16.pth --to=weights/vgg16
"""

import pathlib

import numpy as np
from absl import flags

from mer_jax.cli.command import no_arguments, required
from mer_jax.errors import UserError
from mer_jax.models import pretrained

_FROM = flags.DEFINE_string("from", None, "torchvision's file: .pth, or .npz.")
_TO = flags.DEFINE_string("to", None, "The directory to write; it must not exist.")
_NETWORK = flags.DEFINE_enum("network", "r3d_18", pretrained.names(), "The file's network.")


def read_tensors(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """The named tensors of a .pth (weights only, nothing in it is run) or .npz file.

    Raises `UserError` if there is no such file, or it is not a table of named tensors.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
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


def convert(source: str | pathlib.Path, target: str | pathlib.Path, network: str) -> int:
    """Converts torchvision's `network` in `source` to `target`; returns the number of tensors."""
    state = read_tensors(source)
    try:
        weights = pretrained.from_torch_state(network, state)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
    pretrained.save(target, weights)
    return len(weights)


def main(argv: list[str]) -> None:
    """Converts the file that the flags name."""
    no_arguments(argv)
    count = convert(required(_FROM), required(_TO), _NETWORK.value)
    print(f"{count} tensors of {_NETWORK.value} written to {_TO.value}")
