# SPDX-License-Identifier: Apache-2.0
import shutil
import struct

import numpy as np
import pytest

from tests.shared_data import shared_data
from vvf_models.data.bridge import BridgeEpisodes
from vvf_models.data.open import open_episodes
from vvf_models.data.tfrecord import crc32c, masked_crc32c, parse_example
from vvf_models.errors import UserError


@pytest.fixture(scope='module')
def bridge():
    return shared_data('widowx_bridge')


@pytest.fixture
def copied(bridge, tmp_path):
    (source,) = bridge.glob('*.tfrecord*')
    path = tmp_path / source.name
    shutil.copyfile(source, path)
    path.chmod(0o644)
    return path


def test_crc32c_check_value():
    assert crc32c(b'123456789') == 0xE3069283  # RFC 3720, appendix B.4 and the CRC catalogue
    assert crc32c(bytes(32)) == 0x8A9136AA


def test_reads_every_episode(bridge):
    episodes = open_episodes(bridge)
    assert isinstance(episodes, BridgeEpisodes)
    assert len(episodes) == 25
    assert len({episode.episode_id for episode in episodes}) == 25
    for episode in episodes:
        assert len(episode) == 10
        assert episode.state.shape == (10, 7)
        assert episode.actions.shape == (10, 7)
        assert episode.success is None
        assert episode.images['image_0'].shape == (10, 64, 64, 3)


def test_a_camera_that_the_rig_lacked_is_left_out(bridge):
    for episode in open_episodes(bridge)[:5]:
        assert set(episode.images) == {'image_0', 'image_1', 'image_2'}
        assert all(frames.std() > 5 for frames in episode.images.values())


def test_states_and_instruction_are_those_of_the_robot(bridge):
    episode = open_episodes(bridge)[0]
    assert episode.instruction == 'put cup from counter or drying rack into sink'
    assert 0.1 < episode.state[0, 0] < 0.5  # x, metres in front of the base
    np.testing.assert_allclose(episode.stamps, np.arange(10) / 5)
    # Only a demonstration's last step is rewarded, and these are first steps.
    np.testing.assert_array_equal(episode.rewards, np.zeros(10))


def test_a_flipped_byte_is_one_clear_sentence(copied):
    data = bytearray(copied.read_bytes())
    data[5000] ^= 0xFF
    copied.write_bytes(data)
    episodes = open_episodes(copied)
    with pytest.raises(UserError, match='is damaged at byte 12; copy or download it again'):
        episodes[0]
    assert len(episodes[1]) == 10


def test_a_cut_off_file_gives_what_is_whole_and_then_one_clear_sentence(copied):
    copied.write_bytes(copied.read_bytes()[:-100])
    episodes = open_episodes(copied)
    assert len(episodes) == 25
    assert len(episodes[23]) == 10
    with pytest.raises(UserError, match=f'{copied.name} is damaged'):
        episodes[24]


def test_a_record_of_something_else_is_refused(tmp_path):
    path = tmp_path / 'other.tfrecord'
    data = b'\x0a\x00'
    length = struct.pack('<Q', len(data))
    checks = [struct.pack('<I', masked_crc32c(part)) for part in (length, data)]
    path.write_bytes(length + checks[0] + data + checks[1])
    with pytest.raises(UserError, match='not a BridgeData episode'):
        open_episodes(path)[0]


def test_wire_format_of_numbers():
    # Features { feature { key: "n" value { int64_list { value: [1, -1] } } } }, packed varints.
    packed = b'\x01' + b'\xff' * 9 + b'\x01'
    value = b'\x1a' + bytes([len(packed) + 2]) + b'\x0a' + bytes([len(packed)]) + packed
    entry = b'\x0a\x01n\x12' + bytes([len(value)]) + value
    features = b'\x0a' + bytes([len(entry)]) + entry
    parsed = parse_example(b'\x0a' + bytes([len(features)]) + features)
    np.testing.assert_array_equal(parsed['n'], [1, -1])
    with pytest.raises(ValueError, match='cut off'):
        parse_example(b'\x0a\x7f\x00')
