"""Numbers that follow from the tensors' names alone, so that nobody has to store them."""

import zlib

import numpy as np


def fill(shapes, seed=0, gain=1.0):
    """{name: shape} -> {name: float32 array}; kernels keep the scale under ReLU if `gain` is 1."""
    return {name: _one(name, tuple(shape), seed, gain) for name, shape in shapes.items()}


def _one(name, shape, seed, gain):
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name.endswith("running_var"):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    noise = rng.standard_normal(shape, np.float32)
    if len(shape) > 1 and name.endswith("weight"):
        return noise * np.float32(gain * np.sqrt(2 / np.prod(shape[1:])))
    center = 1 if name.endswith("weight") else 0
    return np.float32(center) + np.float32(0.1) * noise
