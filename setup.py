# SPDX-License-Identifier: Apache-2.0
"""The ROS package `vvf`, and the Python packages in it."""

from pathlib import Path

from setuptools import find_packages, setup

NODES = ('arm', 'camera', 'episode', 'moveit', 'plot', 'policy', 'replay', 'teleop', 'value')
SHARED_FOLDERS = ('calibration', 'checkpoints', 'config', 'launch')


def shared_files() -> list[tuple[str, list[str]]]:
    """Every file of the shared folders, to be installed below `share/vvf` in the same places."""
    files = [
        (f'share/vvf/{folder.as_posix()}', sorted(str(f) for f in folder.iterdir() if f.is_file()))
        for name in SHARED_FOLDERS
        for folder in sorted([Path(name), *(p for p in Path(name).rglob('*') if p.is_dir())])
        if folder.is_dir() and folder.name != '__pycache__'
    ]
    return [(target, sources) for target, sources in files if sources]


setup(
    name='vvf',
    version='0.1.0',
    description='Video value functions for robots',
    license='Apache-2.0',
    maintainer='vvf maintainers',
    maintainer_email='maintainers@vvf.dev',
    python_requires='>=3.11,<3.13',
    packages=find_packages(include=['vvf', 'vvf.*', 'vvf_models*', 'vvf_sim*']),
    package_data={'': ['py.typed', '*.html']},
    data_files=[
        ('share/ament_index/resource_index/packages', ['resource/vvf']),
        ('share/vvf', ['package.xml']),
        *shared_files(),
    ],
    zip_safe=False,
    entry_points={
        'console_scripts': [
            'vvf = vvf.cli.main:main',
            *(f'{node} = vvf.nodes.{node}:main' for node in NODES),
        ],
    },
)
