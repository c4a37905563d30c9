"""Several processes, on one machine or many, that train one run together.

The first of them, the leader, writes the run folder and speaks; the others compute alongside.
Everything that depends on a clock or a signal is decided by the leader and broadcast, since all
must run the same programs in the same order.
"""

import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from ksim_cli.errors import UserError

_SLURM_STEP = {f"SLURM_{name}" for name in ("JOB_ID", "STEP_NODELIST", "PROCID", "LOCALID")}
_LONGEST_TEXT = 8192
_RESULT = "result: "


def join() -> None:
    """Join the other processes of a SLURM step (`srun --ntasks=4 ksim train ...`), if any.

    Called before JAX computes anything. A shell inside an allocation is no step, and a step of one
    task has nobody to join.
    """
    if jax.distributed.is_initialized():
        return  # an earlier job of a sweep did
    if os.environ.keys() >= _SLURM_STEP and int(os.environ.get("SLURM_NTASKS", 1)) > 1:
        jax.distributed.initialize(cluster_detection_method="slurm")


def is_leader() -> bool:
    """True on one process, the leader."""
    return jax.process_index() == 0


def broadcast(*values: int) -> list[int]:
    """The leader's numbers, on every process."""
    if jax.process_count() == 1:
        return list(values)
    return _broadcast_array(np.asarray(values, np.int64)).tolist()


def broadcast_text(find: Callable[[], str]) -> str:
    """Run `find` on the leader only and broadcast its result, or its UserError.

    Raises:
        UserError: on every process, if the leader's `find` does.
    """
    if jax.process_count() == 1:
        return find()
    text = ""
    if is_leader():
        try:
            text = f"{_RESULT}{find()}"
        except UserError as error:
            text = str(error)
    data = np.frombuffer(text.encode()[:_LONGEST_TEXT].ljust(_LONGEST_TEXT, b"\0"), np.uint8)
    text = bytes(_broadcast_array(data)).rstrip(b"\0").decode(errors="ignore")
    if not text.startswith(_RESULT):
        raise UserError(text)
    return text.removeprefix(_RESULT)


def gather(tree: Any) -> Any:
    """Arrays that are sharded over several processes, whole on this one; a collective call."""
    if all(x.is_fully_addressable for x in jax.tree.leaves(tree) if isinstance(x, jax.Array)):
        return tree
    everywhere = jax.tree.map(lambda x: NamedSharding(x.sharding.mesh, PartitionSpec()), tree)
    copies = jax.jit(lambda tree: tree, out_shardings=everywhere)(tree)
    return jax.tree.map(lambda x: x.addressable_data(0), copies)


def _broadcast_array(values: np.ndarray) -> np.ndarray:
    from jax.experimental import multihost_utils

    # Bytes, since JAX would make 32 bits of 64.
    sent = multihost_utils.broadcast_one_to_all(np.frombuffer(values.tobytes(), np.uint8))
    return np.frombuffer(np.asarray(sent, np.uint8).tobytes(), values.dtype)
