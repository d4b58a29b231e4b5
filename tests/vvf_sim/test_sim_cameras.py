# SPDX-License-Identifier: Apache-2.0
import logging
import os
import subprocess
import sys

import numpy as np
import pytest

from vvf_sim import gl
from vvf_sim.cameras import make_renderer
from vvf_sim.errors import UserError
from vvf_sim.mj import BACKEND, mujoco
from vvf_sim.worlds.layout import PickPlaceConfig
from vvf_sim.worlds.pick_place import PickPlaceWorld

SCENE = """
<mujoco>
  <visual><headlight ambient=".5 .5 .5" diffuse="0 0 0" specular="0 0 0"/></visual>
  <worldbody>
    <camera name="top" pos="0 0 1" fovy="60"/>
    <geom type="box" size=".1 .2 .01" rgba=".8 .4 .2 1"/>
    <geom type="sphere" size=".05" pos=".3 .3 0" rgba="0 0 1 1"/>
  </worldbody>
</mujoco>
"""


def test_ray_caster_puts_things_where_a_pinhole_camera_sees_them():
    model = mujoco.MjModel.from_xml_string(SCENE)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    image = make_renderer(model, 100, 100, 'ray').render(data, 'top')
    assert image.shape == (100, 100, 3)
    assert image.dtype == np.uint8
    # Half of the colour, as there is only ambient light.
    np.testing.assert_array_equal(image[50, 50], [102, 51, 26])
    box = (image == image[50, 50]).all(axis=-1)
    focal = 50 / np.tan(np.deg2rad(30))
    assert abs(box[50].sum() - 0.2 * focal / 0.99) <= 1
    assert abs(box[:, 50].sum() - 0.4 * focal / 0.99) <= 1
    # The sphere is up and to the right.
    rows, columns = np.nonzero(image[..., 2] > 100)
    assert rows.mean() < 30
    assert columns.mean() > 70


def ray_world():
    world = PickPlaceWorld(PickPlaceConfig(renderer='ray'))
    world.reset(3)
    return world


def test_ray_caster_sees_target_container_and_table():
    world = ray_world()
    image = world.images()['shoulder'].astype(int)
    carrot = (image[..., 0] > 170) & (image[..., 2] < 90)
    bowl = (image[..., 2] > 120) & (image[..., 0] < 80)
    assert carrot.sum() > 20
    assert bowl.sum() > 60
    assert world.renderer == 'ray'


def test_both_renderers_show_the_same():
    if BACKEND == 'ray':
        # Without OpenGL there is but one renderer; it is checked by the tests above.
        assert make_renderer(ray_world().model, 8, 8).backend == 'ray'
        return
    world = ray_world()
    ray = world.images()
    renderer = make_renderer(world.model, 128, 128)
    for camera in PickPlaceWorld.CAMERAS:
        difference = np.abs(renderer.render(world.data, camera).astype(int) - ray[camera])
        assert difference.mean() < 1.5
        assert (difference.max(axis=-1) > 12).mean() < 0.05
    renderer.close()


def test_renderers_of_one_thread_do_not_disturb_each_other():
    first, second = PickPlaceWorld(), PickPlaceWorld(PickPlaceConfig(image_size=64))
    first.reset(1)
    second.reset(2)
    alone = first.images()['shoulder']
    assert second.images()['shoulder'].shape == (64, 64, 3)
    np.testing.assert_array_equal(first.images()['shoulder'], alone)
    second.close()
    np.testing.assert_array_equal(first.images()['shoulder'], alone)
    first.close()


def test_unknown_renderer_is_one_sentence():
    model = mujoco.MjModel.from_xml_string(SCENE)
    with pytest.raises(UserError, match='unknown'):
        make_renderer(model, 8, 8, 'vulkan')


def test_missing_opengl_is_said_in_one_line(monkeypatch, caplog):
    monkeypatch.setattr('ctypes.util.find_library', lambda name: None)
    monkeypatch.setitem(os.environ, 'MUJOCO_GL', '')
    monkeypatch.delenv(gl.VARIABLE, raising=False)
    monkeypatch.delitem(sys.modules, 'mujoco')
    gl._warn_once.cache_clear()
    with caplog.at_level(logging.WARNING, logger='vvf_sim.gl'):
        assert gl.choose_backend() == 'ray'
        assert gl.choose_backend() == 'ray'
    assert len(caplog.records) == 1
    message = caplog.records[0].getMessage()
    assert '\n' not in message
    assert 'libegl1' in message


def test_unknown_choice_of_the_environment(monkeypatch):
    monkeypatch.setenv(gl.VARIABLE, 'metal')
    with pytest.raises(UserError, match='metal'):
        gl.choose_backend()


def test_environment_can_choose_the_ray_caster_without_loading_opengl():
    script = (
        'import sys; from vvf_sim.worlds.env import TaskEnv; env = TaskEnv();'
        'image = env.reset(seed=0)[0]["wrist"]; assert image.std() > 5;'
        'assert "OpenGL" not in sys.modules; print(env.world.renderer)'
    )
    environment = {k: v for k, v in os.environ.items() if k != 'MUJOCO_GL'}
    environment[gl.VARIABLE] = 'ray'
    done = subprocess.run(
        [sys.executable, '-c', script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ['ray']
