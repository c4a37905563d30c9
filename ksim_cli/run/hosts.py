"""Several processes, on one machine or many, that train one run together.

The first of them, the leader, writes the run folder and speaks; the others compute alongside.
Everything that depends on a clock or a signal is decided by the leader and told to all, since all
must run the same programs in the same order.
"""

import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from ksim_cli.errors import UserError

_SLURM_STEP = (
    *("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID"),
)
_LONGEST_TEXT = 8192
_FOUND = "found: "


def join() -> None:
    """Joins the other processes of a SLURM step (`srun --ntasks=4 ksim train ...`), if any.

    Called before JAX computes anything. A shell inside an allocation is no step, and a step of one
    task has nobody to join.
    """
    if jax.distributed.is_initialized():
        return  # an earlier job of a sweep did
    if all(name in os.environ for name in _SLURM_STEP) and int(os.environ["SLURM_NTASKS"]) > 1:
        jax.distributed.initialize(cluster_detection_method="slurm")


def leads() -> bool:
    """Whether this process is the leader; the only one is."""
    return jax.process_index() == 0


def agree(*values: int) -> list[int]:
    """The leader's numbers, on every process."""
    if jax.process_count() == 1:
        return list(values)
    return _broadcast(np.asarray(values, np.int64)).tolist()


def told(find: Callable[[], str]) -> str:
    """What the leader finds, on every process; the others do not look.

    Raises:
        UserError: on every process, if the leader's `find` does.
    """
    if jax.process_count() == 1:
        return find()
    said = ""
    if leads():
        try:
            said = f"{_FOUND}{find()}"
        except UserError as error:
            said = str(error)
    padded = np.zeros(_LONGEST_TEXT, np.uint8)
    text = said.encode()[:_LONGEST_TEXT]
    padded[: len(text)] = np.frombuffer(text, np.uint8)
    said = bytes(_broadcast(padded)).rstrip(b"\0").decode(errors="ignore")
    if not said.startswith(_FOUND):
        raise UserError(said)
    return said.removeprefix(_FOUND)


def whole(tree: Any) -> Any:
    """Arrays that are spread over several processes, whole on this one; every process calls it."""
    if all(x.is_fully_addressable for x in jax.tree.leaves(tree) if isinstance(x, jax.Array)):
        return tree
    everywhere = jax.tree.map(lambda x: NamedSharding(x.sharding.mesh, PartitionSpec()), tree)
    copies = jax.jit(lambda tree: tree, out_shardings=everywhere)(tree)
    return jax.tree.map(lambda x: x.addressable_data(0), copies)


def _broadcast(values: np.ndarray) -> np.ndarray:
    from jax.experimental import multihost_utils

    # Bytes, since JAX would make 32 bits of 64.
    told = multihost_utils.broadcast_one_to_all(np.frombuffer(values.tobytes(), np.uint8))
    return np.frombuffer(np.asarray(told, np.uint8).tobytes(), values.dtype)
