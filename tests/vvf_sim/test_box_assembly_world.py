# SPDX-License-Identifier: Apache-2.0
import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import vvf_sim  # noqa: F401  # registers the environments
from vvf_sim.worlds.box_assembly import CLOSED, BoxAssemblyConfig, BoxAssemblyWorld
from vvf_sim.worlds.box_assembly_layout import FLAPS
from vvf_sim.worlds.box_assembly_scene import SPRINGBACK

SMALL = BoxAssemblyConfig(image_size=16)
NEAR, FAR, LEFT, RIGHT = range(4)


@pytest.fixture
def world():
    result = BoxAssemblyWorld(SMALL)
    result.reset(1)
    yield result
    result.close()


def wait(world, ticks=25):
    for _ in range(ticks):
        world.step_physics(world.start_joints)


def bend(world, flap, angle):
    """Put a flap at an angle as if it had been creased there, and look on for half a second."""
    at = world.model.joint(FLAPS[flap].name).qposadr[0]
    world.data.qpos[at] = world.model.qpos_spring[at] = angle
    wait(world)


def press(world, flap, torque):
    """The angle at which a flap comes to rest under a torque in N m that closes it."""
    dof = world.model.joint(FLAPS[flap].name).dofadr[0]
    world.data.qfrc_applied[dof] = -torque
    wait(world)
    angle = world.angles[flap]
    world.data.qfrc_applied[dof] = 0.0
    return angle


def names(world):
    return [event.name for event in world.events]


def test_gymnasium_finds_nothing_to_complain_about(recwarn):
    env = gym.make('vvf/BoxAssembly-v0', config=SMALL)
    check_env(env.unwrapped, skip_render_check=True)
    assert not [w for w in recwarn if 'env_checker' in str(w.filename)]
    env.close()


@pytest.mark.parametrize('arm', ['wx250s', 'fer', 'fr3'])
def test_nothing_happens_by_itself(arm):
    world = BoxAssemblyWorld(BoxAssemblyConfig(arm=arm, image_size=16))
    world.reset(3)
    wait(world, 100)
    assert world.events == []
    assert not world.success()
    assert world.failure_kind() == 'timeout'
    np.testing.assert_allclose(world.angles, world.layout.carton.angles, atol=0.04)
    middle, _ = world.carton_pose()
    np.testing.assert_allclose(middle[:2], world.layout.carton.xy, atol=5e-4)
    world.close()


def test_equal_seeds_are_equal_to_the_bit_and_others_are_not(world):
    other = BoxAssemblyWorld(SMALL)
    other.reset(1)
    np.testing.assert_array_equal(world.data.qpos, other.data.qpos)
    for camera, image in world.images().items():
        np.testing.assert_array_equal(image, other.images()[camera])
    other.reset(2)
    assert world.layout.carton.half != other.layout.carton.half
    assert world.layout.carton.xy != other.layout.carton.xy
    other.close()


def test_a_flap_stays_where_it_is_bent_less_what_it_springs_back(world):
    pressed = press(world, NEAR, 0.1)
    assert pressed < 0.05
    wait(world)
    rest = world.angles[NEAR]
    assert pressed + 0.5 * SPRINGBACK < rest <= pressed + SPRINGBACK + 0.02
    wait(world, 100)
    assert world.angles[NEAR] == pytest.approx(rest, abs=0.01)
    assert world.angles[FAR] > 1.8


def test_a_minor_flap_cannot_lie_flat_on_a_major_one(world):
    bend(world, LEFT, 0.1)
    # Half a newton metre at the crease is more than ten newtons at the flap's end.
    assert press(world, NEAR, 0.5) > CLOSED
    bend(world, LEFT, 2.0)
    assert press(world, NEAR, 0.1) < 0.05


def test_a_major_flap_comes_down_over_the_minor_ones(world):
    bend(world, NEAR, 0.1)
    bend(world, FAR, 0.1)
    assert press(world, LEFT, 0.1) < 0.05
    assert press(world, RIGHT, 0.1) < 0.05
    wait(world)
    assert world.angles.max() < CLOSED
    assert world.success()


def test_closing_all_flaps_in_order_is_success_and_nothing_less_is(world):
    for step, flap in enumerate((FAR, NEAR, RIGHT, LEFT)):
        assert not world.success(), step
        bend(world, flap, 0.1)
    assert world.success()
    assert world.failure_kind() == ''
    assert names(world) == ['flap_closed'] * 4 + ['box_closed', 'success']
    kinds = [event.kind for event in world.events[:4]]
    assert kinds == ['far_minor', 'near_minor', 'right_major', 'left_major']


def test_the_wrong_order_is_no_success_even_if_all_flaps_are_down(world):
    for flap in (LEFT, NEAR, FAR, RIGHT):
        bend(world, flap, 0.05)
    assert names(world)[:2] == ['flap_closed', 'wrong_order']
    assert not world.success()
    assert 'success' not in names(world)


def test_a_closed_flap_that_opens_by_itself_sprang_open(world):
    bend(world, NEAR, 0.1)
    bend(world, NEAR, 0.6)
    assert names(world) == ['flap_closed', 'flap_sprang_open']
    assert world.events[1].kind == 'near_minor'
    assert world.failure_kind() == 'early_release'
    assert world.closed == (False,) * 4


def test_a_carton_that_is_moved_was_pushed(world):
    at = world.model.body('carton').jntadr[0]
    start = world.model.jnt_qposadr[at]
    world.data.qpos[start] += 0.05
    wait(world, 3)
    assert names(world) == ['box_pushed']
    assert world.failure_kind() == 'push'


def test_a_carton_that_lies_on_its_side_is_never_a_success(world):
    for flap in range(4):
        bend(world, flap, 0.1)
    assert world.success()
    start = world.model.jnt_qposadr[world.model.body('carton').jntadr[0]]
    half = np.sqrt(0.5)
    world.data.qpos[start + 2] = world.layout.carton.half[1] + 0.01
    world.data.qpos[start + 3 : start + 7] = [half, half, 0.0, 0.0]
    wait(world, 3)
    assert 'box_tipped' in names(world)
    assert not world.success()


def test_axes_change_the_carton_and_put_things_beside_it(world):
    axes = ('distractors', 'objects')
    other = BoxAssemblyWorld(BoxAssemblyConfig(image_size=16, axes=axes))
    other.reset(1)
    assert other.layout.carton.xy == world.layout.carton.xy
    assert other.layout.carton.colour != world.layout.carton.colour
    assert 2 <= len(other.layout.distractors) <= 3
    assert other.model.nbody > world.model.nbody
    wait(other)
    assert other.events == []
    other.close()
