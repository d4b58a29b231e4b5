# SPDX-License-Identifier: Apache-2.0
"""Images of a MuJoCo scene, by OpenGL where it runs and by ray casting where it does not."""

import threading
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vvf_sim.errors import UserError
from vvf_sim.gl import BACKENDS, warn_ray
from vvf_sim.mj import BACKEND, mujoco
from vvf_sim.ray import RayRenderer

Image = NDArray[np.uint8]


class Renderer(Protocol):
    """Makes images of one model.

    Attributes:
        backend: egl, osmesa or ray.
    """

    backend: str

    def render(self, data: 'mujoco.MjData', camera: str) -> Image:
        """RGB image (H, W, 3) as the named camera sees `data`."""
        ...

    def close(self) -> None:
        """Give back what the renderer holds; it cannot render afterwards."""
        ...


class GlRenderer:
    """Renders by OpenGL off screen, without shadows, reflections or multisampling.

    An OpenGL context costs 100 ms, so each thread keeps one for all its renderers; a renderer
    belongs to the thread that made it.

    Args:
        model: the compiled scene.
        width: of images in pixels.
        height: of images in pixels.

    Raises:
        RuntimeError: OpenGL gives no context here.
    """

    _threads = threading.local()

    def __init__(self, model: 'mujoco.MjModel', width: int, height: int) -> None:
        self.backend: str = BACKEND
        self._model = model
        self._rect = mujoco.MjrRect(0, 0, width, height)
        view = model.vis.global_
        view.offwidth, view.offheight = max(view.offwidth, width), max(view.offheight, height)
        self._gl = self._thread_context()
        self._context: mujoco.MjrContext | None = mujoco.MjrContext(
            model, mujoco.mjtFontScale.mjFONTSCALE_50.value
        )
        self._scene = mujoco.MjvScene(model, maxgeom=model.ngeom + 16)
        for flag in ('SHADOW', 'REFLECTION', 'HAZE', 'FOG'):
            self._scene.flags[getattr(mujoco.mjtRndFlag, f'mjRND_{flag}')] = False
        self._option = mujoco.MjvOption()
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED

    @classmethod
    def _thread_context(cls) -> 'mujoco.GLContext':
        if not hasattr(mujoco, 'GLContext'):
            raise RuntimeError('MuJoCo was imported without OpenGL')
        if not hasattr(cls._threads, 'context'):
            cls._threads.context = mujoco.GLContext(1024, 1024)
        cls._threads.context.make_current()
        return cls._threads.context

    def render(self, data: 'mujoco.MjData', camera: str) -> Image:
        """RGB image (H, W, 3) as the named camera sees `data`.

        Raises:
            RuntimeError: the renderer is closed.
        """
        if self._context is None:
            raise RuntimeError('the renderer is closed')
        self._gl.make_current()
        self._camera.fixedcamid = self._model.camera(camera).id
        mujoco.mjv_updateScene(
            self._model,
            data,
            self._option,
            None,
            self._camera,
            mujoco.mjtCatBit.mjCAT_ALL.value,
            self._scene,
        )
        image = np.empty((self._rect.height, self._rect.width, 3), np.uint8)
        # Renderers of one thread share its context, so the buffer has to be bound each time.
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        mujoco.mjr_render(self._rect, self._scene, self._context)
        mujoco.mjr_readPixels(image, None, self._rect, self._context)
        return np.ascontiguousarray(image[::-1])

    def close(self) -> None:
        """Free the model's textures and buffers; the thread's OpenGL context stays."""
        if self._context is not None:
            self._gl.make_current()
            self._context.free()
            self._context = None


def make_renderer(
    model: 'mujoco.MjModel', width: int, height: int, backend: str = 'auto'
) -> Renderer:
    """A renderer for the model, by ray casting where OpenGL cannot be had.

    Args:
        model: the compiled scene.
        width: of images in pixels.
        height: of images in pixels.
        backend: auto, egl, osmesa or ray.

    Raises:
        UserError: the backend is unknown, or an OpenGL one was asked for and does not run.
    """
    if backend not in (*BACKENDS, 'auto'):
        raise UserError(f'renderer {backend!r} is unknown: use auto, {", ".join(BACKENDS)}.')
    if backend == 'auto':
        backend = BACKEND
        if backend != 'ray':
            try:
                return GlRenderer(model, width, height)
            except (RuntimeError, ImportError, AttributeError, mujoco.FatalError) as error:
                warn_ray(f'OpenGL ({backend}) gives no context ({type(error).__name__})')
    elif backend != 'ray':
        if backend != BACKEND:
            raise UserError(
                f'MuJoCo was started for {BACKEND}: set VVF_SIM_RENDERER={backend} before.'
            )
        return GlRenderer(model, width, height)
    return RayRenderer(model, width, height)
