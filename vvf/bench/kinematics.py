# SPDX-License-Identifier: Apache-2.0
"""Inverse kinematics of random reachable poses: how many are solved, how exactly, how fast.

Each pose is that of a random posture within the limits, solved from the home posture and from a
random guess. A pose counts as solved within 1 mm, 0.5 degrees and all joint limits. Beside it, on
the same poses: the damped steps that follow a near pose in the graph (without the starts in closed
form), scipy's bounded least squares, and plain pseudo-inverse steps.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from vvf.cli.output import add_json_option, progress_bar, write_json
from vvf.errors import UserError
from vvf_sim.robots.arm import ARMS, arm_model
from vvf_sim.robots.kinematics import Kinematics
from vvf_sim.rotations import rotation_log

Array = npt.NDArray[np.float64]
Solver = Callable[[Kinematics, Array, Array], Array]

POSITION_M = 1e-3
ROTATION_RAD = np.deg2rad(0.5)
_PLAIN_STEPS = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `vvf bench kinematics`."""
    parser.add_argument('--arms', nargs='+', choices=ARMS, default=tuple(ARMS), help='[all]')
    parser.add_argument('--poses', type=int, default=200, help='for each arm [200]')
    parser.add_argument('--seed', type=int, default=0, help='of poses and guesses [0]')
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run `vvf bench kinematics`."""
    if args.poses < 1:
        raise UserError('--poses must be at least 1.')
    rows = []
    with progress_bar('poses') as bar:
        total = 2 * len(args.arms) * len(SOLVERS) * args.poses
        shown = bar.add_task('kinematics', total=total)
        for arm in args.arms:
            for guess in ('home', 'random'):
                for name in SOLVERS:
                    rows.append(measure(arm, name, guess, args.poses, args.seed))
                    bar.update(shown, advance=args.poses)
    for row in rows:
        own = next(r for r in rows if r['method'] == 'vvf' and _same(r, row))
        row['times_slower'] = round(row['median_ms'] / own['median_ms'], 2)
    print(markdown(rows))
    write_json(args.json, {'poses': args.poses, 'seed': args.seed, 'rows': rows})
    return 0


def measure(arm: str, method: str, guess: str, poses: int, seed: int) -> dict[str, Any]:
    """Solve random poses of an arm by one method.

    Args:
        arm: as in `vvf_sim.robots.arm.ARMS`.
        method: a key of `SOLVERS`.
        guess: 'home', or 'random' for another random posture.
        poses: how many.
        seed: poses and guesses of a seed are the same for all methods.

    Returns:
        Counts `solved` and `within_limits`, times in ms, worst errors in mm and degrees.
    """
    model = arm_model(arm)
    kinematics = model.kinematics()
    rng = np.random.default_rng(seed)
    spent, errors, inside = [], [], []
    for _ in range(poses):
        pose = kinematics.forward(rng.uniform(model.lower, model.upper))
        other = rng.uniform(model.lower, model.upper)
        start = model.home if guess == 'home' else other
        began = time.perf_counter()
        q = SOLVERS[method](kinematics, pose, start)
        spent.append(1e3 * (time.perf_counter() - began))
        errors.append(_error_norms(kinematics, pose, q))
        inside.append(bool(((q >= model.lower) & (q <= model.upper)).all()))
    position, rotation = np.array(errors).T
    solved = (position <= POSITION_M) & (rotation <= ROTATION_RAD) & np.array(inside)
    p50, p99 = np.percentile(spent, [50, 99])
    return {
        'arm': arm,
        'method': method,
        'guess': guess,
        'solved': int(solved.sum()),
        'success': float(solved.mean()),
        'within_limits': sum(inside),
        'median_ms': float(p50),
        'p99_ms': float(p99),
        'worst_position_mm': float(1e3 * position.max()),
        'worst_rotation_deg': float(np.rad2deg(rotation.max())),
    }


def markdown(rows: list[dict[str, Any]]) -> str:
    """The rows as a table for a page."""
    lines = [
        '| arm | guess | method | solved | median ms | p99 ms | worst mm | worst deg | slower |',
        '|---|---|---|---:|---:|---:|---:|---:|---:|',
    ]
    lines += [
        f'| {r["arm"]} | {r["guess"]} | {r["method"]} | {100 * r["success"]:.1f} % '
        f'| {r["median_ms"]:.2f} | {r["p99_ms"]:.2f} | {r["worst_position_mm"]:.2g} '
        f'| {r["worst_rotation_deg"]:.2g} | {r["times_slower"]:.1f} |'
        for r in rows
    ]
    return '\n'.join(lines)


def _same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return (a['arm'], a['guess']) == (b['arm'], b['guess'])


def _errors(kinematics: Kinematics, pose: Array, q: Array) -> Array:
    now = kinematics.forward(q)
    turn = rotation_log(pose[:3, :3] @ now[:3, :3].T)
    return np.concatenate([pose[:3, 3] - now[:3, 3], turn])


def _error_norms(kinematics: Kinematics, pose: Array, q: Array) -> tuple[float, float]:
    error = _errors(kinematics, pose, q)
    return float(np.linalg.norm(error[:3])), float(np.linalg.norm(error[3:]))


def _reach(kinematics: Kinematics, pose: Array, guess: Array) -> Array:
    return kinematics.reach(pose, guess).q


def _damped(kinematics: Kinematics, pose: Array, guess: Array) -> Array:
    return kinematics.inverse(pose, guess).q


def _least_squares(kinematics: Kinematics, pose: Array, guess: Array) -> Array:
    from scipy.optimize import least_squares

    found = least_squares(
        lambda q: _errors(kinematics, pose, q),
        guess,
        jac=lambda q: -kinematics.jacobian(q),
        bounds=(kinematics.lower, kinematics.upper),
    )
    return np.asarray(found.x)


def _pseudo_inverse(kinematics: Kinematics, pose: Array, guess: Array) -> Array:
    q = guess.copy()
    for _ in range(_PLAIN_STEPS):
        error = _errors(kinematics, pose, q)
        if np.linalg.norm(error[:3]) < 1e-6 and np.linalg.norm(error[3:]) < 1e-5:
            break
        q = q + np.linalg.pinv(kinematics.jacobian(q)) @ error
    return np.asarray(np.clip(np.arctan2(np.sin(q), np.cos(q)), kinematics.lower, kinematics.upper))


#: Name -> solver of (kinematics, pose (4, 4), guess (n,)) -> (n,) rad.
SOLVERS: dict[str, Solver] = {
    'vvf': _reach,
    'damped steps': _damped,
    'scipy least_squares': _least_squares,
    'pseudo-inverse': _pseudo_inverse,
}
