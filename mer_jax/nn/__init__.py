"""Layers that several networks share, in the formulation that is fast on the platform.

Arrays are [B, (T,) H, W, C], channels last. `formulation` makes all of them plain XLA operations,
differentiable in both modes and to any order.
"""

from mer_jax.nn.conv_norm_pool import conv_relu_norm_pool
from mer_jax.nn.conv_pool import conv_relu_pool
from mer_jax.nn.convolution import GLOROT, SAVEABLE, Conv, conv, linear, pytorch_init
from mer_jax.nn.dispatch import formulation
from mer_jax.nn.normalization import BatchNorm, LayerNorm
from mer_jax.nn.pooling import adaptive_avg_pool, avg_pool, max_pool
from mer_jax.nn.recurrent_convolution import RecurrentConv

__all__ = [
    "GLOROT",
    "SAVEABLE",
    "BatchNorm",
    "Conv",
    "LayerNorm",
    "RecurrentConv",
    "adaptive_avg_pool",
    "avg_pool",
    "conv",
    "conv_relu_norm_pool",
    "conv_relu_pool",
    "formulation",
    "linear",
    "max_pool",
    "pytorch_init",
]
