# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from vvf_sim.cameras import make_renderer
from vvf_sim.mj import BACKEND, mujoco
from vvf_sim.worlds.cloth import RADIUS, Cloth, add_garment, fit
from vvf_sim.worlds.cloth_garments import CELL_M, PANTS, SHIRT
from vvf_sim.worlds.cloth_texture import Fabric, draw_fabric, picture
from vvf_sim.worlds.spec import Looks, add_looks, add_table, look_at

GARMENTS = pytest.mark.parametrize('garment', [SHIRT, PANTS], ids=lambda g: g.name)
RED = Fabric(0.0, 0.8, 0.33)


class Scene:
    """A garment on a table and a holder that moves as it is told."""

    def __init__(self, garment):
        spec = mujoco.MjSpec()
        add_looks(spec, Looks())
        add_table(spec)
        spec.worldbody.add_body(name='hand', mocap=True)
        add_garment(spec, garment, RED, garment.places + np.array([0.3, 0.0]), ['hand'])
        look_at(
            spec.worldbody.add_camera(name='above'), [0.3, 0, 0.6], [0.3, 0, 0], [1, 0, 0], 40.0
        )
        self.model = spec.compile()
        self.data = mujoco.MjData(self.model)
        self.cloth = Cloth(self.model, garment, 1)
        mujoco.mj_forward(self.model, self.data)

    def step(self, count):
        for _ in range(count):
            self.cloth.drag(self.data)
            mujoco.mj_step(self.model, self.data)

    def take(self, vertex):
        """Close the hand at a vertex."""
        self.data.mocap_pos[0] = self.cloth.vertices(self.data)[vertex]
        mujoco.mj_forward(self.model, self.data)
        found = self.cloth.within(self.data, self.data.mocap_pos[0])
        self.cloth.pinch(self.data, 0, found)
        return found


@GARMENTS
def test_a_garment_is_one_sheet_that_looks_up(garment):
    places, triangles = garment.places, garment.triangles
    a, b, c = (places[triangles[:, i]] for i in range(3))
    area = 0.5 * np.cross(np.c_[b - a, np.zeros(len(a))], np.c_[c - a, np.zeros(len(a))])[:, 2]
    np.testing.assert_allclose(area, CELL_M**2 / 2)
    cells = sum(zone != '.' for row in garment.cells for zone in row)
    assert len(triangles) == 2 * cells
    assert set(triangles.ravel()) == set(range(len(places)))


@GARMENTS
def test_folds_turn_everything_over_their_line(garment):
    for fold, before, after in zip(garment.folds, garment.stages, garment.stages[1:], strict=False):
        assert fold.moves(before).any()
        assert not fold.moves(after).any()
        np.testing.assert_array_equal(before[:, 1 - fold.axis], after[:, 1 - fold.axis])
    assert len(garment.stages) == len(garment.folds) + 1


def test_area_counts_what_is_covered_once():
    cloth = Scene(SHIRT).cloth
    whole, folded = (cloth.area(SHIRT.stages[i]) for i in (0, 3))
    assert whole == pytest.approx(92 * CELL_M**2, rel=0.05)
    assert folded == pytest.approx(0.08 * 0.1, rel=0.1)


def test_fit_finds_how_points_were_moved():
    rng = np.random.default_rng(0)
    points, angle = rng.normal(size=(9, 2)), 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    rotation, shift = fit(points, points @ turn.T + [0.3, -0.1])
    np.testing.assert_allclose(rotation, turn, atol=1e-12)
    np.testing.assert_allclose(shift, [0.3, -0.1], atol=1e-12)


def test_what_is_pinched_follows_and_what_is_released_falls():
    scene = Scene(SHIRT)
    corner = SHIRT.corner_vertices[0]
    assert list(scene.take(corner)) == [corner], 'only what is between the tips'
    for _ in range(20):
        scene.data.mocap_pos[0, 2] += 0.004
        scene.step(2)
    scene.step(20)
    assert scene.cloth.vertices(scene.data)[corner, 2] == pytest.approx(0.082, abs=0.01)
    assert scene.cloth.vertices(scene.data)[SHIRT.corner_vertices[-1], 2] < 0.01
    scene.cloth.release(scene.data, 0)
    scene.step(60)
    assert not scene.cloth.held(scene.data).any()
    assert scene.cloth.vertices(scene.data)[:, 2].max() < 0.04
    assert scene.cloth.speed(scene.data) < 0.03


def test_a_high_grip_leaves_what_is_below():
    scene = Scene(SHIRT)
    place = scene.cloth.vertices(scene.data)[SHIRT.corner_vertices[0]]
    assert scene.cloth.within(scene.data, place).size
    assert not scene.cloth.within(scene.data, place + np.array([0.0, 0.0, 0.02])).size


def test_layers_lie_on_each_other():
    scene = Scene(SHIRT)
    flat = scene.cloth.vertices(scene.data)
    folded = SHIRT.stages[1] - SHIRT.places
    lifted = np.where(SHIRT.folds[0].moves(SHIRT.places), 2.2 * RADIUS, 0.0)
    scene.cloth.wrinkle(scene.data, np.column_stack([folded, lifted]))
    scene.step(60)
    heights = scene.cloth.vertices(scene.data)[:, 2]
    moved = SHIRT.folds[0].moves(SHIRT.places)
    far = moved & (SHIRT.places[:, 1] > 0.07)
    assert heights[far].mean() > flat[:, 2].mean() + RADIUS
    assert np.isfinite(heights).all()


def test_front_inner_side_and_zones_have_their_colours():
    pixels = picture(SHIRT, RED)
    half = pixels.shape[1] // 2
    front, inner = pixels[:, :half].astype(int), pixels[:, half:].astype(int)
    assert (inner >= front).all()
    assert (inner - front).mean() > 40
    body, sleeve, hem = front[40, 24], front[4, 4], front[-4, 40]
    for one, other in ((body, sleeve), (body, hem), (sleeve, hem)):
        assert np.abs(one - other).max() > 60


def test_held_out_fabrics_have_other_hues():
    rng = np.random.default_rng(0)
    for held_out in (False, True):
        sixths = [6 * draw_fabric(rng, held_out).hue for _ in range(40)]
        assert all((sixth % 1.0 >= 0.5) == held_out for sixth in sixths)


def test_both_renderers_draw_the_cloth_alike():
    scene = Scene(SHIRT)
    scene.cloth.wrinkle(
        scene.data,
        np.column_stack(
            [
                SHIRT.stages[1] - SHIRT.places,
                np.where(SHIRT.folds[0].moves(SHIRT.places), 0.01, 0.0),
            ]
        ),
    )
    mujoco.mj_forward(scene.model, scene.data)
    images = []
    for backend in (BACKEND, 'ray'):
        renderer = make_renderer(scene.model, 64, 64, backend)
        images.append(renderer.render(scene.data, 'above').astype(int))
        renderer.close()
    differs = np.abs(images[0] - images[1]).max(axis=-1) > 24
    assert differs.mean() < 0.03, 'nothing but edges'
    reddest = images[1][..., 0] - images[1][..., 2]
    assert (reddest > 60).mean() > 0.03, 'the cloth is seen'
