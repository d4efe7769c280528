"""Before any work: how threads wait for each other, and starting together.

``accelerate launch`` leaves something undone on a machine without a GPU: with ``--num_processes 2`` it starts a single process
there (Accelerate 1.15 wants ``mpirun`` for more), and nothing tells it so but the address of a meeting point at which nobody
else will appear. Then this process starts the asked number itself, by torch's own launcher, and waits for them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence

from headstart import progress
from headstart.errors import ConfigError

# How often a thread that waits for others of its process looks again before it lets its core go. GNU OpenMP's own 300,000 are
# milliseconds: where another process has a core, both spin through their turns. Two fine-tunings on two cores took 51 to 98 s
# each with it, 26 s with 5,000 and 17 s with 0; one alone 5.8, 5.8 and 7.1 s (MobileNetV2, 64 pixels, 4 epochs of 30 photos).
SPINS = "5000"
HOW = "Start the processes with: torchrun --standalone --nproc_per_node 2 -m headstart ..."


def share_cores() -> None:
    """Let this command and others on the machine go on beside each other; to be called before torch is imported.

    Whoever has set ``GOMP_SPINCOUNT`` or ``OMP_WAIT_POLICY`` has chosen, and nothing changes.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


def left_alone() -> bool:
    """Whether Accelerate was asked for several processes and started this one only."""
    asked = {"ACCELERATE_MIXED_PRECISION", "MASTER_ADDR"} <= set(os.environ)  # the second is set for several only
    return asked and progress.num_processes() == 1 and "RANK" not in os.environ


def launch_all() -> int:
    """Start the number of processes that was asked for and wait for them; their exit status.

    Raises:
        ConfigError: the number cannot be known.
    """
    count = asked_for(_command_of_parent())
    if count is None:
        raise ConfigError("accelerate launch was asked for several processes and started one; how many was not on its command "
                          f"line. {HOW}")  # fmt: skip
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
    environment = {name: value for name, value in os.environ.items() if name not in ("MASTER_ADDR", "MASTER_PORT")}
    with subprocess.Popen([*launcher, "-m", "headstart", *sys.argv[1:]], env=environment) as started:
        while True:
            try:
                return started.wait()
            except KeyboardInterrupt:  # the terminal sent it to all of them; they end by themselves
                continue


def asked_for(command: Sequence[str]) -> int | None:
    """The number behind ``--num_processes`` in a command line of ``accelerate launch``."""
    found = re.search(r"\0--num[-_]processes[=\0](\d+)\0", "\0".join(["", *command, ""]))
    return int(found.group(1)) if found else None


def _command_of_parent() -> list[str]:
    try:
        import psutil  # comes with Accelerate
    except ImportError:
        return []
    parent = psutil.Process().parent()
    try:
        return parent.cmdline() if parent else []
    except psutil.Error:
        return []
