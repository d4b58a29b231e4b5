# SPDX-License-Identifier: Apache-2.0
"""Which renderer can run here: EGL, OSMesa, or MuJoCo's ray caster where there is no OpenGL.

MuJoCo reads ``MUJOCO_GL`` while it is imported, so the choice is made before that, in
`vvf_sim.mj`, which every other module of this package takes `mujoco` from.
"""

import ctypes.util
import functools
import logging
import os
import sys
from typing import Literal, cast

from vvf_sim.errors import UserError

Backend = Literal['egl', 'osmesa', 'ray']
BACKENDS: tuple[Backend, ...] = ('egl', 'osmesa', 'ray')

# Environment variable that overrides the choice.
VARIABLE = 'VVF_SIM_RENDERER'

_HINT = (
    'cameras use the ray caster (slower); for OpenGL install libegl1 libopengl0 libgl1-mesa-dri '
    'or libosmesa6'
)
_log = logging.getLogger(__name__)


def warn_ray(reason: str) -> None:
    """Say once per reason that images come from the ray caster, and how to get the faster way."""
    _warn_once(f'{reason}: {_HINT}')


@functools.cache
def _warn_once(message: str) -> None:
    _log.warning(message)


def choose_backend() -> Backend:
    """Return the renderer to use and set the environment that MuJoCo and Mesa will read.

    ``VVF_SIM_RENDERER`` (egl, osmesa, ray, auto) decides if it is set, then ``MUJOCO_GL``,
    then what the dynamic linker finds.

    Raises:
        UserError: ``VVF_SIM_RENDERER`` names something else.
    """
    wanted = os.environ.get(VARIABLE, 'auto').lower() or 'auto'
    if wanted not in (*BACKENDS, 'auto'):
        raise UserError(f'{VARIABLE}={wanted} is unknown: set it to egl, osmesa, ray or auto.')
    # llvmpipe's worker threads cost more than they give on images this small.
    os.environ.setdefault('LP_NUM_THREADS', '0')
    preset = os.environ.get('MUJOCO_GL', '').lower()
    if 'mujoco' in sys.modules:
        # Too late to choose: MuJoCo is bound to what it found when it was imported.
        loaded = preset if preset in ('egl', 'osmesa') else 'ray'
        return cast(Backend, 'ray' if wanted == 'ray' else loaded)
    if wanted == 'auto':
        wanted = preset if preset in ('egl', 'osmesa') else _find_library()
    os.environ['MUJOCO_GL'] = 'disable' if wanted == 'ray' else wanted
    if wanted != 'ray':
        os.environ.setdefault('PYOPENGL_PLATFORM', wanted)
    return cast(Backend, wanted)


def _find_library() -> Backend:
    find = ctypes.util.find_library
    if find('EGL') and (find('OpenGL') or find('GL')):
        return 'egl'
    if find('OSMesa'):
        return 'osmesa'
    warn_ray('no OpenGL library found')
    return 'ray'
