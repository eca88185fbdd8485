"""The one door to Ray (https://docs.ray.io): a cluster found or started, a worker in an actor on each of its CPUs.

Ray pickles the calls of its actors and their results with cloudpickle. All of it is made by this run's own processes, and
Ray runs code from anyone who reaches its ports: a cluster is inside the trust boundary, as the user's own account is, and so
its ports belong on loopback or in a private network. Nothing that comes from elsewhere (files, replies, pages) is unpickled.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import socket
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from engine import loop
from engine.basics.addresses import is_this_machine
from engine.basics.data import JsonObject
from engine.basics.home import data_home
from engine.errors import ConfigurationError, RunError
from engine.lm.client import LM
from engine.parts import Needs
from engine.runs.backends import messages
from engine.runs.backends.training_host import gpu_trainer
from engine.runs.backends.worker import Worker, fingerprint
from engine.runs.backends.workers import LinkLostError, Workers
from engine.search.budget import Budget

if TYPE_CHECKING:
    from engine.search.backend import BackendChoice
    from engine.search.settings import Settings

_log = logging.getLogger(__name__)

CONNECT_SECONDS = 60.0
ANSWER_SECONDS = 3.0
"""Seconds: an address where nothing listens is refused after these, before Ray tries it for minutes."""

MOST_WORKERS = 256

NAMESPACE = "tuneboard"


class RayBackend:
    """A Ray cluster as an optional part."""

    name: ClassVar[str] = "ray"
    title: ClassVar[str] = "On a Ray cluster"
    about: ClassVar[str] = (
        "Rows run on the processors of a cluster, and small models are trained on its graphics cards."
    )
    phase: ClassVar[str] = "Starting workers on the Ray cluster"
    needs: ClassVar[Needs] = Needs("The backend 'ray' needs Ray, which is not installed", "ray", ("ray",))

    def opened(
        self, choice: BackendChoice, settings: Settings
    ) -> contextlib.AbstractAsyncContextManager[Workers]:
        """Return the cluster's workers: see `ray_workers`."""
        return ray_workers(choice, settings)


@contextlib.asynccontextmanager
async def ray_workers(
    choice: BackendChoice, settings: Settings, *, most: int = MOST_WORKERS
) -> AsyncIterator[Workers]:
    """Connect to a cluster and start a worker on each of its CPUs, `most` at most, as a backend for a run with these settings.

    Where the cluster has a GPU, models are trained on it.

    Raises ConfigurationError where Ray is not installed or a model cannot be asked by workers, and RunError for an
    address where no cluster answers, and for a cluster with another Ray, Python or Tuneboard.
    """
    ray = imported(choice.address)
    teachers = [part.teacher_lm for part in (settings, *settings.parts.values())]
    models = [lm for lm in (settings.lm, *teachers, *settings.own_models) if lm is not None]
    known = [lm for lm in models if isinstance(lm, LM)]
    for lm in models:
        messages.model_as_bytes(lm)  # type: ignore[arg-type]  # it refuses what is none
    try:
        await asyncio.wait_for(loop.in_thread(connect, ray, choice.address), CONNECT_SECONDS)
    except TimeoutError:
        raise RunError(_unanswered(choice.address)) from None
    try:
        cpus = int(ray.cluster_resources().get("CPU", 0))
        if cpus < 1:
            raise RunError(f"The Ray cluster at {choice.address!r} has no CPU. Start a node with one.")
        data = ray.cloudpickle.dumps(messages.SetUp(_shared(settings), str(data_home())))
        start = partial(_started, ray, ray.put(data))
        trainers = [gpu_trainer(ray)] if ray.cluster_resources().get("GPU", 0) >= 1 else []
        async with Workers(start, min(cpus, settings.concurrency, most), known, trainers) as workers:
            yield workers
    finally:
        await loop.in_thread(ray.shutdown)


def imported(address: str) -> Any:
    """Return the library, set so that it reports nothing to its makers. Raises ConfigurationError where it is missing."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Its own handler would end this process three seconds after a SIGTERM, which asks a run to stop and test its best.
    os.environ["RAY_DISABLE_FAILURE_SIGNAL_HANDLER"] = "1"
    if on_this_machine(address):
        # Ray reads it when it is imported: otherwise it turns 127.0.0.1 into the machine's address in the network.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    try:
        import ray
    except ImportError:
        raise ConfigurationError(RayBackend.needs.missing()) from None
    logging.getLogger("ray").setLevel(logging.ERROR)  # its notes would go to the terminal
    return ray


def connect(ray: Any, address: str) -> None:
    """Connect this process to a cluster, or start one for it on this machine. Raises RunError."""
    options: JsonObject = {
        "namespace": NAMESPACE,
        "log_to_driver": False,
        "configure_logging": False,
        "logging_level": logging.ERROR,
    }
    if address == "local":
        options |= {"address": "local", "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    else:
        options["address"] = _listening(address)
    try:
        ray.init(**options)
    except RuntimeError as error:
        ray.shutdown()  # it may be half connected
        if "ersion mismatch" in str(error):
            versions = re.findall(r"(?:Ray|Python): *\S+", str(error))
            raise RunError(
                f"The Ray cluster at {address!r} has another Ray or Python than this one ({', '.join(versions)}). "
                "Install the same ones on all its machines."
            ) from error
        raise RunError(f"Ray could not connect to {address!r}: {error}") from error
    except (ConnectionError, TimeoutError, ValueError, OSError) as error:
        raise RunError(_unanswered(address)) from error


def on_this_machine(address: str) -> bool:
    """Return whether a cluster is reached over loopback."""
    host = (running() if address == "auto" else address).rpartition(":")[0] or address
    return address == "local" or is_this_machine(host)


def running() -> str:
    """Return the address of the cluster that runs on this machine, or ""."""
    if found := os.environ.get("RAY_ADDRESS", ""):
        return found
    # Where Ray itself notes it and looks for "auto"; read here so that its absence is noticed before Ray starts a cluster.
    note = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()) / "ray" / "ray_current_cluster"
    try:
        return note.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _listening(address: str) -> str:
    """Return a cluster's host:port. Raises RunError where nothing listens, ConfigurationError where it is no address."""
    cluster = running() if address == "auto" else address
    if not cluster:
        raise RunError(
            "No Ray cluster runs on this machine. Start one (`ray start --head`), give the address of another one, or "
            "use --address local, which starts one for the run."
        )
    host, _, port = cluster.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise ConfigurationError(
            f"{cluster!r} is no address of a Ray cluster: write host:port, auto or local."
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS).close()
    except (OSError, OverflowError):
        raise RunError(_unanswered(cluster)) from None
    return cluster


def _unanswered(address: str) -> str:
    return f"No Ray cluster answers at {address!r}. Look whether it is running, and whether this machine reaches it."


def _shared(settings: Settings) -> Settings:
    """Return the settings without what only the driver needs."""
    parts = {name: _shared(part) for name, part in settings.parts.items()}
    bare = replace(settings, trainers=(), frozen=(), prompt_lm=None, payer=None, feedback={})
    return replace(bare, budget=Budget(), parts=parts)


async def _started(ray: Any, set_up: Any) -> RayLink:
    """Start a worker. Raises RunError where it has no Tuneboard, or another one."""
    # Concurrently: `take`, `give` and what Ray itself asks.
    actor_class = ray.remote(num_cpus=1, max_concurrency=4, max_restarts=0)(RayWorker)
    link = RayLink(ray, actor_class.options(scheduling_strategy="SPREAD").remote())
    try:
        theirs = await link.result(link.actor.hello.remote())
        if theirs != fingerprint():
            raise RunError(
                f"The Ray cluster has another Tuneboard ({theirs}) than this machine ({fingerprint()}). Install the same "
                "one on all its machines, and start its nodes again."
            )
        await link.result(link.actor.set_up.remote(set_up))
    except LinkLostError as error:
        link.close()
        if "ModuleNotFoundError" in str(error) or "ImportError" in str(error):
            raise RunError(
                "The Ray cluster has no Tuneboard like this machine's. Install the same one in the Python of all its "
                f"machines. ({_last_line(error)})"
            ) from error
        raise
    except BaseException:
        link.close()
        raise
    return link


def _last_line(error: Exception) -> str:
    return next((line.strip() for line in reversed(str(error).splitlines()) if "Error" in line), "")[:300]


class RayWorker:
    """A worker in an actor. It is no subclass: Ray would run the methods of a class with async ones on one loop, in turn."""

    def __init__(self) -> None:
        self._worker = Worker()

    def hello(self) -> str:
        """Return what must be the same here and at the driver."""
        return fingerprint()

    def set_up(self, data: Any) -> None:
        """Take the run's program, metric and rows, from Ray's object store."""
        from ray import cloudpickle

        self._worker.set_up(cloudpickle.loads(data))

    def take(self, data: bytes) -> None:
        """Do what messages ask, soon."""
        self._worker.take(data)

    def give(self) -> bytes:
        """Return what there is to report."""
        return self._worker.give()


class RayLink:
    """The way to a worker in an actor."""

    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray, self.actor = ray, actor

    async def send(self, data: bytes) -> None:
        """Have the worker take messages."""
        await self.result(self.actor.take.remote(data))

    async def receive(self) -> bytes:
        """Return what the worker reports."""
        found: bytes = await self.result(self.actor.give.remote())
        return found

    async def result(self, reference: Any) -> Any:
        """Return what an actor's call comes to. Raises LinkLostError."""
        try:
            return await asyncio.wrap_future(reference.future())
        except self._ray.exceptions.RayError as error:
            raise LinkLostError(str(error)) from error

    def close(self) -> None:
        """End the worker's process."""
        with contextlib.suppress(Exception):  # it may be gone, and so may the cluster
            self._ray.kill(self.actor)
