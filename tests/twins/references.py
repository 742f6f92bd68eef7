"""Published algorithms as their authors write them: what tests expect, and what the bench times."""

import numpy as np

RGB_FROM_YIQ = np.array([[1, 0.956, 0.621], [1, -0.272, -0.647], [1, -1.106, 1.703]])


def recursion(clip, alpha, wavelength=16.0, r1=0.4, r2=0.05, exaggeration=1.0, chroma=0.1):
    """Wu's magnification by the released code's loop: a frame and a band at a time, not clipped."""
    from pyrtools.pyramids import LaplacianPyramid

    clip = clip.astype(np.float64)
    height, width, channels = clip.shape[1:]
    planes = clip @ np.linalg.inv(RGB_FROM_YIQ).T if channels == 3 else clip
    out = planes.copy()
    for c in range(channels):
        pyramid = LaplacianPyramid(planes[0, ..., c])
        fast = {key: band.copy() for key, band in pyramid.pyr_coeffs.items()}
        slow = {key: band.copy() for key, band in pyramid.pyr_coeffs.items()}
        for t in range(1, len(clip)):
            pyramid = LaplacianPyramid(planes[t, ..., c])
            delta = wavelength / 8 / (1 + alpha)
            length = np.sqrt(height**2 + width**2) / 3
            for level in reversed(range(pyramid.num_scales)):
                key = (level, 0)
                band = pyramid.pyr_coeffs[key]
                fast[key] = (1 - r1) * fast[key] + r1 * band
                slow[key] = (1 - r2) * slow[key] + r2 * band
                gain = min(alpha, (length / delta / 8 - 1) * exaggeration)
                if level in (0, pyramid.num_scales - 1):
                    gain = 0
                pyramid.pyr_coeffs[key] = max(gain, 0) * (fast[key] - slow[key])
                length /= 2
            out[t, ..., c] += pyramid.recon_pyr() * (chroma if c else 1)
    return out @ RGB_FROM_YIQ.T if channels == 3 else out


def tim_by_svd(frames, length):
    """TIM by Zhou et al. (2011): the path graph's eigenvectors, a linear map to them, and back.

    frames: [T, ...] float64.
    """
    n, shape = len(frames), frames.shape[1:]
    frames = frames.reshape(n, -1)
    mean = frames.mean(0)
    left, values, right = np.linalg.svd((frames - mean).T, full_matrices=False)
    left, values, right = left[:, : n - 1], values[: n - 1], right[: n - 1]
    q = values[:, None] * right
    laplacian = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    laplacian[0, 0] = laplacian[-1, -1] = 1
    vectors = np.linalg.eigh(laplacian)[1][:, 1:]
    w = np.linalg.solve(q @ q.T, q @ vectors)
    k = np.arange(1, n)
    curve = lambda t: np.sin(np.pi * k * t + np.pi * (n - k) / (2 * n))
    scale = (q[:, 0] @ w) / curve(1 / n)
    at = np.linspace(1 / n, 1, length)
    points = np.stack([scale * curve(t) for t in at], 1)
    return ((left @ np.linalg.solve(w.T, points)).T + mean).reshape(length, *shape)
