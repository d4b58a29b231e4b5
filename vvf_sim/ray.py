# SPDX-License-Identifier: Apache-2.0
"""Images without any OpenGL, by MuJoCo's own ray caster, shaded as its OpenGL renderer does.

What is not drawn: shadows, highlights, reflections, transparency, meshes' textures. The scenes of
this package have none of these, so policies may be trained on either renderer's images.
"""

import numpy as np
from numpy.typing import NDArray

from vvf_sim.mj import mujoco
from vvf_sim.ray_skin import SkinPainter
from vvf_sim.rotations import Array

CUTOFF = 10.0


class RayRenderer:
    """Renders with one ray per pixel through `mj_multiRay`.

    Args:
        model: the compiled scene; colours, textures and lights are read once, here.
        width: of images in pixels.
        height: of images in pixels.
    """

    backend = 'ray'

    def __init__(self, model: 'mujoco.MjModel', width: int, height: int) -> None:
        self._model = model
        self._width, self._height = width, height
        count = width * height
        self._geom = np.zeros(count, np.int32)
        self._distance = np.zeros(count)
        self._normal = np.zeros(3 * count)
        self._rays: dict[int, Array] = {}
        # MuJoCo's default options show the first three groups.
        self._groups = np.array([1, 1, 1, 0, 0, 0], np.uint8)
        self._palette = self._colours()
        self._textured = self._textures()
        self._sky = self._sky_colour()
        self._skins = SkinPainter(model, self._skin_textures())

    def _colours(self) -> Array:
        model = self._model
        colours = model.geom_rgba[:, :3].astype(np.float64)
        has_material = model.geom_matid >= 0
        colours[has_material] = model.mat_rgba[model.geom_matid[has_material], :3]
        # The last row is what a ray hits that hits nothing: index -1.
        return np.vstack([colours, np.zeros(3)])

    def _textures(self) -> dict[int, tuple[Array, Array]]:
        """Per geom with a flat texture: its pixels (h, w, 3) in [0, 1] and its repeats (2,)."""
        model = self._model
        found = {}
        role = int(mujoco.mjtTextureRole.mjTEXROLE_RGB)
        for geom in np.flatnonzero(model.geom_matid >= 0):
            material = model.geom_matid[geom]
            texture = model.mat_texid[material, role]
            if texture < 0 or model.tex_type[texture] != mujoco.mjtTexture.mjTEXTURE_2D:
                continue
            pixels = self._pixels(texture)
            found[int(geom)] = (pixels, model.mat_texrepeat[material].astype(np.float64))
        return found

    def _skin_textures(self) -> dict[int, Array]:
        model = self._model
        role = int(mujoco.mjtTextureRole.mjTEXROLE_RGB)
        materials = model.skin_matid[model.skin_matid >= 0]
        textures = model.mat_texid[materials, role]
        return {int(texture): self._pixels(texture) for texture in textures if texture >= 0}

    def _pixels(self, texture: int) -> Array:
        model = self._model
        shape = (model.tex_height[texture], model.tex_width[texture], model.tex_nchannel[texture])
        start = model.tex_adr[texture]
        data = model.tex_data[start : start + int(np.prod(shape))]
        return np.asarray(data.reshape(shape)[..., :3] / 255.0)

    def _sky_colour(self) -> Array:
        boxes = np.flatnonzero(self._model.tex_type == int(mujoco.mjtTexture.mjTEXTURE_SKYBOX))
        if not boxes.size:
            return np.zeros(3)
        return np.asarray(self._pixels(int(boxes[0])).mean((0, 1)))

    def _camera_rays(self, camera: int) -> Array:
        if camera not in self._rays:
            scale = np.tan(np.deg2rad(self._model.cam_fovy[camera]) / 2)
            x = (np.arange(self._width) + 0.5) * 2 - self._width
            y = self._height - (np.arange(self._height) + 0.5) * 2
            rays = np.empty((self._height, self._width, 3))
            rays[..., 0] = x * scale / self._height
            rays[..., 1] = y[:, None] * scale / self._height
            rays[..., 2] = -1.0
            rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
            self._rays[camera] = rays.reshape(-1, 3)
        return self._rays[camera]

    def render(self, data: 'mujoco.MjData', camera: str) -> NDArray[np.uint8]:
        """RGB image (H, W, 3) as the named camera sees `data`."""
        model = self._model
        index = model.camera(camera).id
        frame = data.cam_xmat[index].reshape(3, 3)
        origin = data.cam_xpos[index]
        rays = self._camera_rays(index) @ frame.T
        mujoco.mj_multiRay(
            model,
            data,
            origin,
            rays.ravel(),
            self._groups,
            True,
            -1,
            self._geom,
            self._distance,
            self._normal,
            len(rays),
            CUTOFF,
        )
        normal = self._normal.reshape(-1, 3)
        scale = float(np.tan(np.deg2rad(model.cam_fovy[index]) / 2))
        distance = self._distance.reshape(self._height, self._width)
        skins = self._skins.hits(data, origin, frame, scale, distance)
        if skins is not None:
            normal[skins.pixels] = skins.normals
            self._geom[skins.pixels] = -1
        head = model.vis.headlight
        # OpenGL's lights of MuJoCo: the head light shines along the view, not from a point.
        shade = head.ambient + np.multiply.outer(
            np.maximum(normal @ frame[:, 2], 0.0), head.diffuse
        )
        for light in range(model.nlight):
            facing = np.maximum(normal @ -data.light_xdir[light], 0.0)
            shade = shade + model.light_ambient[light]
            shade += np.multiply.outer(facing, model.light_diffuse[light])
        colour = self._palette[self._geom]
        for geom, (texels, repeat) in self._textured.items():
            hit = np.flatnonzero(self._geom == geom)
            point = origin + rays[hit] * self._distance[hit, None] - data.geom_xpos[geom]
            local = point @ data.geom_xmat[geom].reshape(3, 3)
            colour[hit] *= _sample(texels, repeat, local, model.geom_size[geom])
            # OpenGL saturates light before it multiplies by a texture.
            shade[hit] = np.minimum(shade[hit], 1.0)
        nothing = self._geom < 0
        if skins is not None:
            colour[skins.pixels] = skins.colours
            shade[skins.pixels] = np.minimum(shade[skins.pixels], 1.0)
            nothing[skins.pixels] = False
        image = colour * shade
        image[nothing] = self._sky
        image *= 255.0
        image += 0.5
        pixels = np.clip(image, 0.0, 255.0).astype(np.uint8)
        return np.asarray(pixels.reshape(self._height, self._width, 3))

    def close(self) -> None:
        """Nothing is held; here so that both renderers are used alike."""


def _sample(pixels: Array, repeat: Array, local: Array, size: Array) -> Array:
    """Texture colours (n, 3) at points (n, 3) of a geom, mapped along its z as OpenGL does."""
    height, width = pixels.shape[:2]
    u = 0.5 * repeat[0] * local[:, 0] / size[0] - 0.5
    v = -0.5 * repeat[1] * local[:, 1] / size[1] - 0.5
    column = np.floor((u - np.floor(u)) * width).astype(int) % width
    row = np.floor((v - np.floor(v)) * height).astype(int) % height
    return np.asarray(pixels[row, column])
