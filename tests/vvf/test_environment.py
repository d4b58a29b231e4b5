# SPDX-License-Identifier: Apache-2.0
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from vvf import environment
from vvf.environment import ensure, ros_environment
from vvf.paths import config_path

PROFILES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')
BARE = {'HOME': '/tmp', 'PATH': '/usr/bin:/bin'}

only_wheels = pytest.mark.skipif(
    not environment.uses_wheels(), reason='this environment uses a ROS 2 that was sourced'
)


def in_python(code: str, env: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, '-c', code], env=env, cwd='/', capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def fake_ros(folder: Path) -> dict[str, str]:
    """The environment of a shell in which a ROS 2, and a workspace on top of it, are sourced."""
    ros, workspace = folder / 'ros', folder / 'workspace' / 'install' / 'pkg'
    (ros / 'share' / 'rclpy').mkdir(parents=True)
    workspace.mkdir(parents=True)
    return {
        **BARE,
        'ROS_DISTRO': 'humble',
        'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp',
        'AMENT_PREFIX_PATH': f'{workspace}:{ros}',
        'LD_LIBRARY_PATH': f'{workspace}/lib:{ros}/lib:/opt/other/lib',
        'PYTHONPATH': f'{ros}/lib/python3.10/site-packages:/home/me/code',
    }


@only_wheels
def test_a_child_imports_ros_and_our_messages_from_a_bare_environment() -> None:
    code = 'import rclpy, vvf_msgs.msg, vvf_msgs.srv, vvf_msgs.action; print("good")'
    assert in_python(code, ros_environment(BARE)) == 'good'


@only_wheels
def test_ensure_mends_a_process_that_lacks_the_library_path() -> None:
    # The wheels' own hook believes this variable and leaves the library path empty.
    env = {**BARE, '_ROS_WHEELS_BOOTSTRAP_COMPLETE': '1'}
    code = (
        'from vvf import environment; environment.ensure(); import os, rclpy, vvf_msgs.msg; '
        'print("VVF_RESTARTED_PROCESS" in os.environ, os.environ["RMW_IMPLEMENTATION"])'
    )
    assert in_python(code, env) == 'False rmw_fastrtps_cpp'


def test_ensure_changes_nothing_where_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    def restart(*_: object) -> None:
        raise AssertionError('the process would have been restarted')

    for name, value in ros_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, 'execve', restart)
    before = dict(os.environ)
    ensure()
    assert dict(os.environ) == before


@only_wheels
def test_messages_of_robot_makers_are_seen_by_tests_and_not_by_users() -> None:
    code = (
        'from vvf import environment; environment.ensure(); import importlib.util as util; '
        'print(util.find_spec("interbotix_xs_msgs") is not None)'
    )
    assert in_python(code, BARE) == 'False'
    assert in_python(code, dict(os.environ)) == 'True'

    from interbotix_xs_msgs.msg import JointGroupCommand
    from rclpy.serialization import deserialize_message, serialize_message

    message = JointGroupCommand(name='arm', cmd=[0.5, -0.5])
    assert deserialize_message(serialize_message(message), JointGroupCommand) == message


def test_it_is_the_same_when_done_twice() -> None:
    once = ros_environment(BARE, [Path('/further')])
    assert ros_environment(once, [Path('/further')]) == once
    assert ros_environment(once) == once


@pytest.mark.parametrize(
    ('reach', 'file'),
    [
        ({'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}, 'fastdds_loopback.xml'),
        ({'ROS_LOCALHOST_ONLY': '1'}, 'fastdds_loopback.xml'),
        ({'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SUBNET'}, 'fastdds.xml'),
        (
            {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST', 'ROS_STATIC_PEERS': '192.0.2.7'},
            'fastdds.xml',
        ),
    ],
)
def test_the_profile_is_named_and_says_what_images_need(reach: dict[str, str], file: str) -> None:
    env = ros_environment({**BARE, **reach})
    assert {env[name] for name in PROFILES} == {str(config_path(file))}
    root = ET.parse(env[PROFILES[0]]).getroot()
    text = {element.tag.rpartition('}')[2]: element.text for element in root.iter()}
    assert int(text['segment_size'] or 0) == 32 * 2**20
    assert int(text['maxMessageSize'] or 0) == 8 * 2**20
    assert text['useBuiltinTransports'] == 'false'


@pytest.mark.parametrize('name', PROFILES)
def test_the_users_profile_stays(name: str) -> None:
    env = ros_environment({**BARE, name: '/etc/mine.xml'})
    assert [env.get(profile) for profile in PROFILES if profile in env] == ['/etc/mine.xml']


@only_wheels
def test_nodes_are_found_on_this_computer_only_unless_the_user_says_otherwise() -> None:
    name = 'ROS_AUTOMATIC_DISCOVERY_RANGE'
    assert ros_environment(BARE)[name] == 'LOCALHOST'
    assert ros_environment({**BARE, name: 'SUBNET'})[name] == 'SUBNET'
    assert name not in ros_environment({**BARE, 'ROS_LOCALHOST_ONLY': '0'})


@only_wheels
def test_nodes_of_this_computer_listen_on_loopback_alone() -> None:
    code = (
        'import psutil, rclpy\n'
        'rclpy.init()\n'
        "node = rclpy.create_node('listener')\n"
        "for socket in psutil.Process().net_connections('udp'):\n"
        '    print(socket.laddr.ip, socket.laddr.port)\n'
    )
    env = {**ros_environment(BARE), 'ROS_DOMAIN_ID': '93'}
    done = subprocess.run(
        [sys.executable, '-c', code], env=env, capture_output=True, text=True, check=True
    )
    sockets = [line.split() for line in done.stdout.splitlines()]
    # Ports of the domain are listened on; others are of sockets that only send.
    listening = [ip for ip, port in sockets if 7400 <= int(port) - 93 * 250 < 7650]
    assert listening
    assert set(listening) == {'127.0.0.1'}


@only_wheels
def test_another_ros_that_is_sourced_is_kept_out_of_the_wheels(tmp_path: Path) -> None:
    env = ros_environment(fake_ros(tmp_path))
    assert str(tmp_path) not in ' '.join(env.values())
    assert env['PYTHONPATH'] == '/home/me/code'
    assert env['LD_LIBRARY_PATH'].endswith('/opt/other/lib')
    assert env['RMW_IMPLEMENTATION'] == 'rmw_fastrtps_cpp'
    assert 'ROS_DISTRO' not in env


def test_a_sourced_ros_is_left_alone_without_wheels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, 'prefix', str(tmp_path / 'venv'))
    sourced = fake_ros(tmp_path)
    env = ros_environment(sourced)
    assert {name: env[name] for name in sourced} == sourced
    assert 'ROS_AUTOMATIC_DISCOVERY_RANGE' not in env
    assert env[PROFILES[0]] == str(config_path('fastdds.xml'))


def test_a_sourced_ros_gets_our_messages_where_its_workspace_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv = tmp_path / 'venv'
    (venv / 'share' / 'vvf_msgs').mkdir(parents=True)
    (venv / 'share' / 'vvf_msgs' / 'package.xml').touch()
    monkeypatch.setattr(sys, 'prefix', str(venv))
    sourced = fake_ros(tmp_path)
    env = ros_environment(sourced)
    assert env['LD_LIBRARY_PATH'] == f'{venv}/lib:{sourced["LD_LIBRARY_PATH"]}'
    assert env['AMENT_PREFIX_PATH'] == f'{venv}:{sourced["AMENT_PREFIX_PATH"]}'

    own = tmp_path / 'workspace' / 'install' / 'pkg' / 'share' / 'vvf_msgs'
    own.mkdir(parents=True)
    (own / 'package.xml').touch()
    assert ros_environment(sourced)['LD_LIBRARY_PATH'] == sourced['LD_LIBRARY_PATH']
