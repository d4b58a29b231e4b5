# SPDX-License-Identifier: Apache-2.0
import colorsys
import threading

import numpy as np
import pytest
import torch

from vvf_models.data.augment import Augmentation, augment, crop_images, shift_images, to_float

ALL = Augmentation(
    shift=2, crop_scale=(0.5, 1.0), brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1
)
EACH = {
    'shift': Augmentation(shift=2),
    'crop': Augmentation(crop_scale=(0.3, 0.6)),
    'brightness': Augmentation(brightness=0.3),
    'contrast': Augmentation(contrast=0.5),
    'saturation': Augmentation(saturation=0.5),
    'hue': Augmentation(hue=0.2),
    'all': ALL,
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def random_images(count=8, size=12):
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=seeded(1))


def alike(count=8, size=12):
    return random_images(1, size).repeat(count, 1, 1, 1)


def different(images):
    return len({image.numpy().tobytes() for image in images})


def test_off_is_the_plain_image():
    images = random_images()
    torch.testing.assert_close(augment(images, Augmentation(), seeded()), to_float(images))


@pytest.mark.parametrize('name', EACH)
def test_each_disturbance_is_one_draw_per_image_from_the_generator_alone(name):
    images = alike()
    torch.manual_seed(0)
    first = augment(images, EACH[name], seeded(3))
    torch.manual_seed(1)
    again = augment(images, EACH[name], seeded(3))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert different(first) > 4
    assert different(augment(images, EACH[name], seeded(4))) > 4
    assert not torch.equal(first, augment(images, EACH[name], seeded(4)))
    assert first.shape == images.shape
    assert first.dtype == torch.float32
    assert float(first.abs().max()) <= 1


@pytest.mark.parametrize('name', EACH)
def test_frames_of_a_group_are_disturbed_alike_and_groups_apart(name):
    groups = torch.tensor([7, 3, 7, 3, 9, 9, 7, 11])
    result = augment(alike(), EACH[name], seeded(5), groups)
    by_group = {
        number: {image.numpy().tobytes() for image in result[groups == number]}
        for number in (3, 7, 9, 11)
    }
    assert all(len(found) == 1 for found in by_group.values())
    assert len(set.union(*by_group.values())) >= 3


def test_large_batches_are_disturbed_as_a_whole():
    groups = torch.arange(100) % 50
    result = augment(alike(100), ALL, seeded(5), groups)
    torch.testing.assert_close(result[:50], result[50:], rtol=0, atol=1e-6)
    assert different(result[:50]) == 50


def test_the_generator_goes_on_so_that_the_next_batch_differs():
    generator = seeded()
    one, two = (augment(alike(), ALL, generator) for _ in range(2))
    assert not torch.equal(one, two)


def test_a_thread_draws_the_same():
    found = []
    thread = threading.Thread(target=lambda: found.append(augment(alike(), ALL, seeded(2))))
    thread.start()
    thread.join()
    torch.testing.assert_close(found[0], augment(alike(), ALL, seeded(2)), rtol=0, atol=0)


def test_shifts_cover_every_window_of_the_image_with_its_border_repeated():
    images = torch.arange(6 * 6, dtype=torch.uint8).view(1, 1, 6, 6).repeat(400, 3, 1, 1)
    shifted = augment(images, Augmentation(shift=2), seeded())
    padded = torch.nn.functional.pad(images[:1].float(), (2,) * 4, mode='replicate').byte()
    windows = {
        to_float(padded[0, 0, y : y + 6, x : x + 6]).numpy().tobytes()
        for y in range(5)
        for x in range(5)
    }
    assert {image[0].contiguous().numpy().tobytes() for image in shifted} == windows
    assert (shifted[:, 0] == shifted[:, 2]).all()


def test_offsets_move_the_view_down_and_to_the_right():
    image = torch.zeros(1, 1, 5, 5)
    image[0, 0, 3, 2] = 1
    moved = shift_images(image, torch.tensor([[1, 2]]))
    assert moved[0, 0, 2, 0] == 1
    assert moved.sum() == 1


def test_a_crop_is_the_named_rectangle():
    size = 64
    ramp = torch.arange(size).float()
    images = torch.stack([ramp.expand(size, size), ramp[:, None].expand(size, size)])[None]
    share = lambda value: torch.tensor([value])  # noqa: E731
    cropped = crop_images(images, share(0.25), share(1.0), share(0.5), share(0.0))[0]
    half = (size - 1) / 2
    torch.testing.assert_close(cropped[0, 0], torch.linspace(half / 2, 1.5 * half, size))
    torch.testing.assert_close(cropped[1, :, 0], torch.linspace(0, half, size))
    wide = crop_images(images, share(1.0), share(1.1), share(0.0), share(1.0))[0]
    assert wide[0].min() == 0
    assert wide[0].max() == pytest.approx(size - 1, abs=1e-3)
    assert wide[1].max() == pytest.approx(size - 1, abs=1e-3)


def test_crop_areas_span_the_scale():
    size = 32
    ramp = torch.arange(size, dtype=torch.uint8) * 8
    images = torch.stack([ramp.expand(size, size), ramp[:, None].expand(size, size)] * 2)[:3][None]
    result = augment(images.repeat(300, 1, 1, 1), Augmentation(crop_scale=(0.2, 0.6)), seeded())
    spans = [result[:, axis].amax((1, 2)) - result[:, axis].amin((1, 2)) for axis in (0, 1)]
    whole = 2 * 8 * (size - 1) / 255
    area, ratio = spans[0] * spans[1] / whole**2, spans[0] / spans[1]
    assert 0.19 < area.min() < 0.22
    assert 0.58 < area.max() < 0.61
    assert 0.89 < ratio.min() < 0.92
    assert 1.08 < ratio.max() < 1.11


def test_crops_have_the_ratios_that_are_asked_for():
    size = 32
    ramp = torch.arange(size, dtype=torch.uint8) * 8
    images = torch.stack([ramp.expand(size, size), ramp[:, None].expand(size, size)] * 2)[:3][None]
    how = Augmentation(crop_scale=(0.2, 0.6), crop_ratio=(3 / 4, 4 / 3))
    result = augment(images.repeat(300, 1, 1, 1), how, seeded())
    spans = [result[:, axis].amax((1, 2)) - result[:, axis].amin((1, 2)) for axis in (0, 1)]
    ratio = spans[0] / spans[1]
    assert 0.74 < ratio.min() < 0.78
    assert 1.29 < ratio.max() < 1.35


def test_jitter_is_what_its_words_say():
    grey = torch.full((200, 3, 4, 4), 128, dtype=torch.uint8)
    levels = (augment(grey, Augmentation(brightness=0.2), seeded())[:, 0, 0, 0] + 1) / 2
    assert levels.min() == pytest.approx(0.302, abs=0.01)
    assert levels.max() == pytest.approx(0.702, abs=0.01)
    for how in (Augmentation(contrast=0.5), Augmentation(saturation=0.5), Augmentation(hue=0.5)):
        torch.testing.assert_close(augment(grey, how, seeded()), to_float(grey))

    bars = torch.full((200, 3, 4, 4), 96, dtype=torch.uint8)
    bars[..., 2:] = 160
    factors = augment(bars, Augmentation(contrast=0.5), seeded())
    factors = (factors[:, 0, 0, 3] - factors[:, 0, 0, 0]) / (2 * 64 / 255)
    assert factors.min() == pytest.approx(0.5, abs=0.02)
    assert factors.max() == pytest.approx(1.5, abs=0.02)

    colour = torch.tensor([180, 90, 60], dtype=torch.uint8).view(1, 3, 1, 1).expand(200, 3, 4, 4)
    hue, saturation, value = colorsys.rgb_to_hsv(*(colour[0, :, 0, 0] / 255).tolist())
    both = augment(colour, Augmentation(saturation=0.25, hue=0.1), seeded())
    found = np.array(
        [colorsys.rgb_to_hsv(*((pixel + 1) / 2).tolist()) for pixel in both[:, :, 0, 0]]
    )
    turns = (found[:, 0] - hue + 0.5) % 1 - 0.5
    np.testing.assert_allclose([turns.min(), turns.max()], [-0.1, 0.1], atol=0.005)
    np.testing.assert_allclose(found[:, 1].min() / saturation, 0.75, atol=0.02)
    np.testing.assert_allclose(found[:, 1].max() / saturation, 1.25, atol=0.02)
    np.testing.assert_allclose(found[:, 2], value, atol=1e-4)


def test_the_jitter_leaves_the_share_alone_that_it_is_told_to():
    images = alike(1000, 4)
    how = Augmentation(brightness=0.3, saturation=0.3, hue=0.1, jitter_probability=0.8)
    untouched = (augment(images, how, seeded()) - to_float(images)).abs().amax((1, 2, 3)) < 1e-5
    assert 0.16 < float(untouched.float().mean()) < 0.24
    never = Augmentation(brightness=0.3, jitter_probability=0.0)
    torch.testing.assert_close(augment(images, never, seeded()), to_float(images))
