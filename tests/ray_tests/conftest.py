"""A cluster of two nodes with one CPU each, all on loopback, for all tests of this folder; the second counts a GPU."""

import os
from pathlib import Path

from support.training import training_child

os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = (
    "0"  # read by Ray at its import: its nodes stay on 127.0.0.1
)
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
# Of the nodes: the stand-in for a process that trains is found there.
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(Path(training_child.__file__).parent), os.environ.get("PYTHONPATH")])
)

import pytest
from ray.cluster_utils import Cluster

NODE = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}


@pytest.fixture(scope="session")
def cluster():
    made = Cluster(initialize_head=True, head_node_args={**NODE, "node_ip_address": "127.0.0.1"})
    made.add_node(node_ip_address="127.0.0.1", num_gpus=1, **NODE)
    yield made
    made.shutdown()


def worker_pids(cluster):
    """The processes of rows' workers on the cluster's nodes."""
    return actor_pids(cluster, "RayWorker")


def host_pids(cluster):
    """The processes on the cluster's nodes that have started a training."""
    return actor_pids(cluster, "TrainingHost")


def actor_pids(cluster, kind):
    """The processes of the actors of a class on the cluster's nodes."""
    nodes = [cluster.head_node, *cluster.worker_nodes]
    raylets = {str(node.all_processes["raylet"][0].process.pid) for node in nodes}
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            name = (folder / "cmdline").read_text()
        except OSError:  # it has ended
            continue
        if parent in raylets and name.startswith(f"ray::{kind}"):
            found.append(int(folder.name))
    return found
