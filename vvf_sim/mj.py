# SPDX-License-Identifier: Apache-2.0
"""The one place that imports MuJoCo, after the renderer has been chosen.

If the chosen OpenGL turns out not to load, MuJoCo is imported without it and cameras fall back
to the ray caster.
"""

import os

from vvf_sim.gl import Backend, choose_backend, warn_ray

BACKEND: Backend = choose_backend()
try:
    import mujoco
except (ImportError, AttributeError, RuntimeError) as error:
    if BACKEND == 'ray':
        raise
    warn_ray(f'OpenGL ({BACKEND}) does not load ({type(error).__name__})')
    BACKEND = 'ray'
    os.environ['MUJOCO_GL'] = 'disable'
    import mujoco

__all__ = ['BACKEND', 'mujoco']
