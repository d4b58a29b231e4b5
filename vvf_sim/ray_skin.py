# SPDX-License-Identifier: Apache-2.0
"""Skins for the ray caster, which MuJoCo's own leaves out: cloth, drawn triangle by triangle."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vvf_sim.mj import mujoco
from vvf_sim.rotations import Array

# Triangles that come nearer to the camera's plane than this, m, are left out.
_NEAREST = 0.01


@dataclass(frozen=True)
class SkinHits:
    """Where skins hide what the rays hit: pixel numbers (n,), and colour and normal (n, 3)."""

    pixels: NDArray[np.intp]
    colours: Array
    normals: Array


class SkinPainter:
    """Finds the pixels that a scene's skins cover; shapes and textures are read once, here.

    Args:
        model: the compiled scene.
        texture_pixels: from a texture's number to its pixels (h, w, 3) in [0, 1].
    """

    def __init__(self, model: 'mujoco.MjModel', texture_pixels: dict[int, Array]) -> None:
        self._model = model
        self._faces = []
        for skin in range(model.nskin):
            start, count = model.skin_faceadr[skin], model.skin_facenum[skin]
            self._faces.append(
                model.skin_face[start : start + count] + int(model.skin_vertadr[skin])
            )
        self._textures = texture_pixels
        self._scene = mujoco.MjvScene(model, maxgeom=model.ngeom + 64) if model.nskin else None
        self._option = mujoco.MjvOption()
        self._camera = mujoco.MjvCamera()

    def hits(
        self, data: 'mujoco.MjData', origin: Array, frame: Array, scale: float, distance: Array
    ) -> SkinHits | None:
        """What is seen of the skins, or None.

        Args:
            data: the state.
            origin: (3,) place of the camera.
            frame: (3, 3) its axes as columns; it looks along -z.
            scale: half the image's height at distance 1.
            distance: (H, W) along each ray to what it hits, negative for nothing.
        """
        if self._scene is None:
            return None
        mujoco.mjv_updateScene(
            self._model,
            data,
            self._option,
            None,
            self._camera,
            mujoco.mjtCatBit.mjCAT_DYNAMIC.value,
            self._scene,
        )
        vertices = (self._scene.skinvert.reshape(-1, 3) - origin) @ frame
        normals = self._scene.skinnormal.reshape(-1, 3)
        found = [
            self._skin_hits(skin, faces, vertices, normals, scale, distance)
            for skin, faces in enumerate(self._faces)
        ]
        kept = [hits for hits in found if hits is not None]
        if not kept:
            return None
        return SkinHits(
            np.concatenate([hits.pixels for hits in kept]),
            np.concatenate([hits.colours for hits in kept]),
            np.concatenate([hits.normals for hits in kept]),
        )

    def _skin_hits(
        self,
        skin: int,
        faces: NDArray[np.int32],
        vertices: Array,
        normals: Array,
        scale: float,
        distance: Array,
    ) -> SkinHits | None:
        height, width = distance.shape
        corners = vertices[faces]
        depth = -corners[..., 2]
        ahead = (depth > _NEAREST).all(axis=1)
        # In pixels, x to the right and y down, middles of pixels at halves.
        with np.errstate(divide='ignore', invalid='ignore'):
            flat = corners[..., :2] / depth[..., None] * [1.0, -1.0] * (0.5 * height / scale)
        flat += [0.5 * width, 0.5 * height]
        area = _cross(flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0])
        # Seen from the front, the corners go round against the clock, and y is down.
        chosen = np.flatnonzero(ahead & (area < 0.0))
        triangle, pixel = _candidates(flat[chosen], width, height)
        triangle = chosen[triangle]
        point = np.stack([pixel % width, pixel // width], axis=1) + 0.5
        a, b, c = (flat[triangle, i] for i in range(3))
        sides = ((b, c), (c, a), (a, b))
        weights = np.stack([_cross(p - point, q - point) for p, q in sides], axis=1)
        inside = (weights <= 0.0).all(axis=1)
        triangle, pixel, weights = triangle[inside], pixel[inside], weights[inside]
        # What is even on the image is not in space: weigh by nearness.
        weights = weights / area[triangle, None] / depth[triangle]
        nearness = weights.sum(axis=1)
        weights /= nearness[:, None]
        middle = (point[inside] - [0.5 * width, 0.5 * height]) * (2 * scale / height)
        slant = np.sqrt(1.0 + (middle**2).sum(axis=1))
        far = slant / nearness
        behind = distance.ravel()[pixel]
        seen = (behind < 0.0) | (far < behind)
        order = np.flatnonzero(seen)[np.argsort(-far[seen], kind='stable')]
        # The last to be written, which is the nearest, stays.
        winner = np.full(height * width, -1)
        winner[pixel[order]] = order
        kept = winner[winner >= 0]
        if not kept.size:
            return None
        corner = faces[triangle[kept]]
        normal = np.einsum('ni,nij->nj', weights[kept], normals[corner])
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        return SkinHits(pixel[kept], self._colours(skin, corner, weights[kept]), normal)

    def _colours(self, skin: int, corner: NDArray[np.int32], weights: Array) -> Array:
        model = self._model
        material = model.skin_matid[skin]
        role = int(mujoco.mjtTextureRole.mjTEXROLE_RGB)
        texture = -1 if material < 0 else int(model.mat_texid[material, role])
        if texture not in self._textures:
            colour = model.skin_rgba[skin, :3] if material < 0 else model.mat_rgba[material, :3]
            return np.tile(colour.astype(np.float64), (len(corner), 1))
        pixels = self._textures[texture]
        start = model.skin_texcoordadr[skin] - model.skin_vertadr[skin]
        places = model.skin_texcoord[corner + start]
        u, v = np.einsum('ni,nij->jn', weights, places)
        height, width = pixels.shape[:2]
        rows, columns = (v * height).astype(int), (u * width).astype(int)
        return np.asarray(pixels[rows.clip(0, height - 1), columns.clip(0, width - 1)])


def _cross(a: Array, b: Array) -> Array:
    return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])


def _candidates(flat: Array, width: int, height: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs of triangle (of (t, 3, 2) in pixels) and pixel in the triangle's box."""
    size = np.array([width, height])
    low = np.clip(np.floor(flat.min(axis=1)), 0, size).astype(int)
    high = np.clip(np.ceil(flat.max(axis=1)), 0, size).astype(int)
    wide, tall = (high - low).T
    count = wide * tall
    triangle = np.repeat(np.arange(len(flat)), count)
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    column = low[triangle, 0] + within % wide[triangle]
    row = low[triangle, 1] + within // wide[triangle]
    return triangle, row * width + column
