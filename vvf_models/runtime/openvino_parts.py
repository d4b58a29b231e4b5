# SPDX-License-Identifier: Apache-2.0
"""Parts of a model on OpenVINO, for CPUs: float32, bfloat16 or int8, batches of any size.

Converting takes a second or two, so what comes out is kept in `~/.cache/vvf` (or below
`$XDG_CACHE_HOME`), under a name made of the weights, of the source of the layers and of OpenVINO's
version: a change of any of them makes a new one.

Nothing is sent anywhere: OpenVINO's and NNCF's reports to their makers come with a package of its
own, which both do without if it cannot be imported, and here it cannot.
"""

import contextlib
import hashlib
import inspect
import io
import logging
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vvf_models.errors import UserError
from vvf_models.runtime.parts import Part, Plain, Replacement, parts_of
from vvf_models.values.base import ValueModel

# At once: on one core, ResNet-v2-26 at 128 px takes 5.5 ms per image of 16, and 7.8 ms of 32, whose
# feature maps no longer fit into its cache.
_AT_ONCE = 16
_KEPT = 32  # converted parts in the cache; the ones used longest ago go first
_MODEL = 'model.xml'

Calibration = Sequence[NDArray[np.float32]]


class NotConvertibleError(UserError):
    """A model that cannot go to OpenVINO."""


class OpenvinoPart(Replacement):
    """A compiled part. Not safe for use from several threads at once."""

    def __init__(self, part: Part, compiled: Any) -> None:
        """Takes a compiled model of OpenVINO."""
        super().__init__(part)
        self._request = compiled.create_infer_request()

    def run(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """The answer to a batch."""
        answers = []
        for start in range(0, max(1, len(inputs[0])), _AT_ONCE):
            given = [each[start : start + _AT_ONCE].float().numpy() for each in inputs]
            # Inputs that are sometimes shared and sometimes copied are refused; outputs are copied.
            answers.append(self._request.infer(given, share_inputs=True)[0])
        return torch.from_numpy(np.concatenate(answers))


def convertible_parts(model: ValueModel) -> list[Part]:
    """The parts of a model that can go to OpenVINO.

    Raises:
        NotConvertibleError: There are none.
    """
    parts = parts_of(model)
    if not parts:
        raise NotConvertibleError(
            'OpenVINO is only for models with an image encoder of vvf and for ViVa; use the '
            'engine "torch".'
        )
    return parts


def openvino_parts(
    model: ValueModel,
    parts: Sequence[Part],
    threads: int,
    calibration: Callable[[Part], Calibration] | None = None,
) -> tuple[dict[str, nn.Module], str]:
    """Parts of a model, compiled.

    Args:
        model: On the CPU, in evaluation mode.
        parts: Of this model.
        threads: CPU threads of each part.
        calibration: What a part is given by frames of the user's, one array for each, to make it
            int8 by; None for floats.

    Returns:
        The parts by their path, and the coarsest number format: 'float32', 'bfloat16' or 'int8'.

    Raises:
        NotConvertibleError: OpenVINO cannot be imported, or a part holds what it does not know.
    """
    openvino = _import('openvino')
    core = openvino.Core()
    fast = 'BF16' in core.get_property('CPU', 'OPTIMIZATION_CAPABILITIES')
    compiled: dict[str, nn.Module] = {}
    formats = set()
    for part in parts:
        module = model.get_submodule(part.path)
        frames = None if calibration is None else calibration(part)
        half = fast and not part.precise
        settings = {
            'INFERENCE_PRECISION_HINT': 'bf16' if half else 'f32',
            'INFERENCE_NUM_THREADS': threads,
            'NUM_STREAMS': 1,
            # Several processes would otherwise all be bound to the first cores.
            'ENABLE_CPU_PINNING': False,
        }
        try:
            converted = _converted(core, openvino, module, part, frames)
            compiled[part.path] = OpenvinoPart(part, core.compile_model(converted, 'CPU', settings))
        except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise NotConvertibleError(
                f'OpenVINO cannot run the {part.path} of this model ({reason[-1][:200]}); use the '
                'engine "torch".'
            ) from error
        formats.add('int8' if frames is not None else 'bfloat16' if half else 'float32')
    return compiled, min(formats, key=('int8', 'bfloat16', 'float32').index)


def _import(name: str) -> Any:
    """OpenVINO or NNCF, neither of which then reports to its maker.

    Raises:
        NotConvertibleError: It is not installed.
    """
    sys.modules.setdefault('openvino_telemetry', None)  # type: ignore[arg-type]
    try:
        return __import__(name)
    except ImportError as error:
        raise NotConvertibleError(
            f'This engine needs the package {name} ({error}); install it with `pip install '
            f'{name}`, or use the engine "torch".'
        ) from error


def _converted(
    core: Any, openvino: Any, module: nn.Module, part: Part, frames: Calibration | None
) -> Any:
    """A part as OpenVINO's model, from the cache where it is there."""
    place = cache_folder() / _name(openvino.get_version(), module, part, frames)
    if (place / _MODEL).is_file():
        with contextlib.suppress(OSError):
            os.utime(place)
        with contextlib.suppress(RuntimeError):  # a damaged one is made again
            return core.read_model(place / _MODEL)
    shapes = [openvino.PartialShape([-1, *each.shape[1:]]) for each in part.example]
    with warnings.catch_warnings(), _logging_kept():
        warnings.simplefilter('ignore')  # torch's tracing is deprecated, and nothing else is taken
        result = openvino.convert_model(
            Plain(module, part).eval(), example_input=part.example, input=shapes
        )
    if frames is not None:
        result = _quantised(result, frames)
    with contextlib.suppress(OSError):  # a full or read-only disk costs the next start a second
        _keep(openvino, result, place)
    return result


@contextlib.contextmanager
def _logging_kept() -> Iterator[None]:
    """Undoes what converting leaves behind: handlers that let nothing but errors through."""
    root = logging.getLogger()
    filters, handlers = root.filters[:], root.handlers[:]
    talking: list[Any] = [root, *handlers]
    levels = [each.level for each in talking]
    try:
        yield
    finally:
        root.filters, root.handlers = filters, handlers
        for each, level in zip(talking, levels, strict=True):
            each.setLevel(level)


def _quantised(model: Any, frames: Calibration) -> Any:
    """Post-training quantisation: ranges of every feature map on these frames."""
    nncf = _import('nncf')
    with _logging_kept(), contextlib.redirect_stdout(io.StringIO()):  # its progress bars
        nncf.set_log_level('ERROR')
        return nncf.quantize(
            model,
            nncf.Dataset([frame[None] for frame in frames]),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(frames),
        )


def cache_folder() -> Path:
    """Where converted parts are kept."""
    base = os.environ.get('XDG_CACHE_HOME')
    return (Path(base) if base else Path.home() / '.cache') / 'vvf' / 'openvino'


def _name(version: str, module: nn.Module, part: Part, frames: Calibration | None) -> str:
    digest = hashlib.sha256(f'{version} {module} {part.names}'.encode())
    for example in part.example:
        digest.update(str(tuple(example.shape)).encode())
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f'{name} {tensor.dtype} {tuple(tensor.shape)}'.encode())
        digest.update(tensor.detach().contiguous().view(-1).view(torch.uint8).numpy())
    kinds = {type(each) for each in module.modules()}
    sources = {inspect.getfile(kind) for kind in kinds if not kind.__module__.startswith('torch.')}
    for source in sorted(sources):
        digest.update(Path(source).read_bytes())
    for frame in () if frames is None else frames:
        digest.update(frame.tobytes())
    return digest.hexdigest()[:32]


def _keep(openvino: Any, model: Any, place: Path) -> None:
    """Writes a converted part, complete or not at all, and deletes the oldest of too many."""
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix='.', dir=place.parent))
    try:
        try:
            openvino.save_model(model, draft / _MODEL, compress_to_fp16=False)
        except RuntimeError as error:
            raise OSError(str(error)) from error
        shutil.rmtree(place, ignore_errors=True)
        draft.rename(place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    used = sorted(place.parent.iterdir(), key=lambda each: each.stat().st_mtime, reverse=True)
    for old in used[_KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
