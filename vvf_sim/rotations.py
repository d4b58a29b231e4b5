# SPDX-License-Identifier: Apache-2.0
"""Rotation vectors and matrices; angles in radians."""

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def rotation_exp(vector: Array) -> Array:
    """Rotation matrix (3, 3) of a rotation vector (3,), by Rodrigues' formula."""
    x, y, z = (float(v) for v in vector)
    angle = math.sqrt(x * x + y * y + z * z)
    if angle < 1e-9:
        a, b = 1.0, 0.5
    else:
        a, b = math.sin(angle) / angle, (1.0 - math.cos(angle)) / angle**2
    k = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    result: Array = np.eye(3) + a * k + b * (k @ k)
    return result


def rotation_log(matrix: Array) -> Array:
    """Rotation vector (3,) of a rotation matrix (3, 3), its length in [0, pi]."""
    skew = 0.5 * np.array(
        [
            matrix[2, 1] - matrix[1, 2],
            matrix[0, 2] - matrix[2, 0],
            matrix[1, 0] - matrix[0, 1],
        ]
    )
    sine = float(np.linalg.norm(skew))
    cosine = 0.5 * (float(np.trace(matrix)) - 1.0)
    if sine > 1e-7:
        return np.asarray(skew * (math.atan2(sine, cosine) / sine))
    if cosine > 0.0:
        return skew
    # Half a turn: the axis is the column of (R + I) / 2 with the largest diagonal.
    symmetric = 0.5 * (matrix + np.eye(3))
    column = symmetric[:, int(np.argmax(np.diag(symmetric)))]
    return np.asarray(math.pi * column / np.linalg.norm(column))


def orthonormalise(matrix: Array) -> Array:
    """The rotation matrix nearest to (3, 3), so that products of many do not drift."""
    u, _, vt = np.linalg.svd(matrix)
    return np.asarray(u @ np.diag([1.0, 1.0, float(np.linalg.det(u @ vt))]) @ vt)


def rotation_z(angle: float) -> Array:
    """Rotation matrix (3, 3) about z."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
