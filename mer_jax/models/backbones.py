"""Image networks without their classifiers, as PSN uses them: AlexNet, VGG16, ResNet10.

Each maps x [B, H, W, C] to [B, *out_shape], `out_shape` = (H', W', F). `shape` is (H, W, C);
`width` multiplies the number of maps of every layer.
"""

from collections.abc import Iterator, Sequence
from typing import ClassVar, NamedTuple

import jax
from flax import nnx

from mer_jax.models.residual import BasicBlock, ConvNorm
from mer_jax.models.sizes import scaled
from mer_jax.nn import Conv, max_pool


class Layer(NamedTuple):
    """A convolution, ReLU and, if `pooled`, the max pool of its network."""

    maps: int
    kernel: int
    padding: int
    stride: int
    pooled: bool


def _after(size: int, window: int, padding: int, stride: int) -> int:
    return (size + 2 * padding - window) // stride + 1


class ConvNetwork(nnx.Module):
    """The convolutions and pools of `layers`, an attribute of subclasses."""

    layers: ClassVar[tuple[Layer, ...]]
    window: ClassVar[int]  # of every pool; its stride is 2
    padding: ClassVar[int]  # likewise

    def __init__(self, shape: Sequence[int], *, width: float = 1.0, rngs: nnx.Rngs):
        height, columns, maps = shape
        convs = []
        for layer in self.layers:
            before, maps = maps, scaled(layer.maps, width)
            convs.append(
                Conv(
                    before,
                    maps,
                    (layer.kernel, layer.kernel),
                    strides=layer.stride,
                    padding=layer.padding,
                    kernel_init=nnx.initializers.he_normal(),
                    rngs=rngs,
                )
            )
            height, columns = (
                _after(n, layer.kernel, layer.padding, layer.stride) for n in (height, columns)
            )
            if layer.pooled:
                height, columns = (
                    _after(n, self.window, self.padding, 2) for n in (height, columns)
                )
        self.convs = nnx.List(convs)
        self.out_shape = (height, columns, maps)

    def maps(self, x: jax.Array) -> Iterator[jax.Array]:
        """The output of every convolution (after ReLU) and of every pool, in order."""
        for layer, conv in zip(self.layers, self.convs, strict=True):
            x = nnx.relu(conv(x))
            yield x
            if layer.pooled:
                x = max_pool(x, self.window, strides=2, padding=self.padding)
                yield x

    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """x [B, H, W, C] -> [B, *out_shape]; `mask` is not used."""
        del mask
        *_, x = self.maps(x)
        return x


class AlexNet(ConvNetwork):
    """PSN (Li et al.), Table 1: 112 -> 54 -> 27 -> 14 -> 7 -> 7 -> 7 -> 7 -> 4, 256 maps.

    >>> from flax import nnx
    >>> from mer_jax.models.backbones import AlexNet
    >>> nnx.eval_shape(lambda: AlexNet((112, 112, 3), rngs=nnx.Rngs(0))).out_shape
    (4, 4, 256)
    """

    layers = (
        Layer(96, 7, 1, 2, True),
        Layer(256, 5, 2, 2, True),
        Layer(384, 3, 1, 1, False),
        Layer(256, 3, 1, 1, False),
        Layer(256, 3, 1, 1, True),
    )
    window, padding = 3, 1


class VGG16(ConvNetwork):
    """The thirteen convolutions of VGG16 (Simonyan & Zisserman 2015, D): 112 -> 3, 512 maps."""

    layers = tuple(
        Layer(maps, 3, 1, 1, number == count)
        for maps, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
        for number in range(1, count + 1)
    )
    window, padding = 2, 0


class ResNet10(nnx.Module):
    """He et al. 2016, one basic block a stage: 112 -> 56 -> 28 -> 28 -> 14 -> 7 -> 4, 512 maps."""

    def __init__(self, shape: Sequence[int], *, width: float = 1.0, rngs: nnx.Rngs):
        height, columns, channels = shape
        maps = scaled(64, width)
        self.stem = ConvNorm(channels, maps, (7, 7), strides=2, padding=3, rngs=rngs)
        blocks = []
        for wide, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
            before, maps = maps, scaled(wide, width)
            blocks.append(BasicBlock(before, maps, stride=stride, axes=2, rngs=rngs))
        self.blocks = nnx.List(blocks)
        self.out_shape = (-(-height // 32), -(-columns // 32), maps)

    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """x [B, H, W, C], mask [B] -> [B, *out_shape]."""
        x = nnx.relu(self.stem(x, mask))
        x = max_pool(x, 3, strides=2, padding=1)
        for block in self.blocks:
            x = block(x, mask)
        return x


BACKBONES: dict[str, type[AlexNet] | type[VGG16] | type[ResNet10]] = {
    "alexnet": AlexNet,
    "vgg16": VGG16,
    "resnet10": ResNet10,
}
