"""Several processes train as one does with all their pictures, and none waits for ever."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models.layers.batch_norm import BatchNorm1d, BatchNorm2d, batch_norm
from tests.train import ranks
from tests.train.tiny import read
from tests.train.trainings import Train
from train.fit import _several

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*in eval mode at the start of training"),
    pytest.mark.filterwarnings("ignore:You passed in a `val_dataloader` but have no"),
]


def environment() -> dict[str, str]:
    """One thread each, and nothing of a cluster that the tests may run in."""
    cluster = ("LOCAL_RANK", "NODE_RANK", "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    return {key: value for key, value in os.environ.items() if key not in cluster} | {"OMP_NUM_THREADS": "1"}


def finish(processes: list[subprocess.Popen[bytes]], seconds: float) -> None:
    """Wait until all end well. One that hangs, or fails and leaves the others hanging, fails the test."""
    errors = []
    try:
        for process in processes:
            _, output = process.communicate(timeout=seconds)
            errors.append(output.decode()[-3000:])
    except subprocess.TimeoutExpired:
        pytest.fail(f"still running after {seconds} s: {errors}")
    finally:
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # with what it has started
                process.communicate()
    assert [process.returncode for process in processes] == [0] * len(processes), "\n".join(errors)


def start(root: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-W", "ignore", *arguments]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=root, env=environment(), start_new_session=True, **quiet)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """What two processes left behind: see `tests.train.ranks`."""
    folder = ranks.prepare(tmp_path_factory.mktemp("two"))
    finish([start(root, "-m", "tests.train.ranks", str(rank), "2", str(folder)) for rank in (0, 1)], ranks.SECONDS)
    return folder


def left(folder: Path, case: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    first, second = (torch.load(folder / str(rank) / f"{case}.pt", weights_only=True) for rank in (0, 1))
    return first, second


@pytest.mark.parametrize("case", ranks.EQUAL)
def test_two_processes_are_one_with_the_doubled_batch(case: str, two: Path, tmp_path: Path) -> None:
    """Every tensor to 1e-4 of the distance that it has moved, beside what float32 can hold.

    Measured: 2e-5 for the feature encoder, which is also what another order of the batch does, and 1e-6 for the others.
    With gradients that are not summed, or batch statistics of one process, it is 0.1 and more.
    """
    make, _ = ranks.EQUAL[case]
    torch.manual_seed(1)
    before = make(ranks.model_file(two)).state_dict()
    alone, (together, _) = ranks.train_equal(case, two, tmp_path), left(two, case)
    assert alone.keys() == together.keys() == before.keys()
    assert int(alone["images_seen"]) == int(together["images_seen"]) == ranks.BATCH * ranks.STEPS
    clear = 0
    for name in alone:
        if not alone[name].is_floating_point():
            assert torch.equal(alone[name], together[name]), name
            continue
        moved, apart = (float((alone[name] - other[name]).norm()) for other in (before, together))
        noise = 1e-7 * float(alone[name].norm()) + 1e-8
        assert apart <= 1e-4 * moved + noise, f"{name} moved {moved:.2e} and is {apart:.2e} apart"
        clear += moved > 100 * noise
    learns = [name for name in alone if not torch.equal(alone[name], before[name])]
    assert clear >= 0.6 * len(learns) > 4  # not biases before a batch normalisation, whose gradient is rounding


def test_step_sizes_learn_only_where_told(two: Path) -> None:
    start = torch.full((24,), 0.02).log()
    assert float((left(two, "auxiliary_learnt")[0]["log_step_size"] - start).abs().max()) > 1e-6
    assert torch.equal(left(two, "auxiliary")[0]["log_step_size"], torch.full((24,), 2e-4).log())


@pytest.mark.parametrize("case", [*ranks.EQUAL, "gan", "uneven"])
def test_ranks_stay_alike(case: str, two: Path) -> None:
    first, second = left(two, case)
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def test_gan_trains_with_all_callbacks(two: Path) -> None:
    state, run = left(two, "gan")[0], two / "runs" / "gan"
    assert int(state["images_seen"]) == ranks.STEPS * 4 * 2
    assert all(bool(t.isfinite().all()) for t in state.values() if t.is_floating_point())
    saved = read(run / "last.ckpt")["state_dict"]
    assert all(torch.equal(saved[name], state[name]) for name in state)
    assert (run / "frechet_squeezenet_real.safetensors").is_file()
    assert len(list((run / "images").glob("samples_*.png"))) == ranks.STEPS


def test_uneven_shards_and_odd_validation_end(two: Path) -> None:
    state = left(two, "uneven")[0]
    assert int(state["steps"]) == 2 * ranks.STEPS
    assert bool(state["val_loss"].isfinite())


def test_batch_statistics_are_of_all_processes(two: Path) -> None:
    """Two and five pictures in two processes against seven in one, in float64. torch's own float32 is 6e-4 off here."""
    expected = ranks.normalise(nn.BatchNorm2d(3).double(), ranks.far_from_zero().double())
    first, second = left(two, "batch_norm")
    assert first.keys() == expected.keys()
    for name, value in expected.items():
        if name in ("y", "dx"):
            got = torch.cat([first[name], second[name]])
        else:  # DDP adds up the gradients of parameters
            got = first[name] + second[name] if name.startswith("d ") else first[name]
        assert float((got - value).double().norm()) <= 1e-3 * float(value.double().norm()), name
    assert torch.equal(first["running_var"], second["running_var"])


@pytest.mark.parametrize(("ours", "torchs"), [(BatchNorm1d, nn.BatchNorm1d), (BatchNorm2d, nn.BatchNorm2d)])
@pytest.mark.parametrize("training", [True, False])
def test_one_process_computes_as_torch(ours: type[nn.Module], torchs: type[nn.Module], training: bool) -> None:
    x = torch.randn(5, 3, 4, 4) if ours is BatchNorm2d else torch.randn(5, 3)
    results = [ranks.normalise(norm(3).train(training), x) for norm in (ours, torchs)]
    assert results[0].keys() == results[1].keys()
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])
    means, variances = torch.zeros(2, 3), torch.ones(2, 3)
    settings = {"training": training, "momentum": 0.1, "eps": 2e-5}
    first = batch_norm(x, means[0], variances[0], **settings)
    assert torch.equal(first, nn.functional.batch_norm(x, means[1], variances[1], **settings))
    assert torch.equal(means[0], means[1])
    assert torch.equal(variances[0], variances[1])


def test_command_starts_its_processes(tmp_path: Path, root: Path) -> None:
    """`configs/train/ddp.yaml` through the real command, over a port that Lightning finds."""
    ranks.prepare(tmp_path)
    arguments = {
        "data": "data.module.ImageDataModule",
        "data.root": tmp_path / "uneven",
        "data.resolution": 32,
        "data.batch_size": 2,
        "data.num_workers": 0,
        "model": "train.projection.auxiliary.AuxiliaryTraining",
        "model.generator": ranks.model_file(tmp_path),
        "model.zeta_dim": 24,
        "trainer.accelerator": "cpu",
        "trainer.devices": 2,
        "trainer.logger": "false",
        "trainer.enable_checkpointing": "false",
        "trainer.max_steps": 3,
        "trainer.default_root_dir": tmp_path / "run",
        "trainer.callbacks": "train.callbacks.TimedCheckpoint",
    }
    options = [f"--{name}={value}" for name, value in arguments.items()]
    finish([start(root, "train.py", "fit", *options, "-c", "configs/train/ddp.yaml", "--trainer.devices=2")], 120)
    state = read(tmp_path / "run" / "last.ckpt")["state_dict"]
    assert (int(state["steps"]), int(state["images_seen"])) == (3, 3 * 2 * 2)


def free_port() -> int:
    """A port of the loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_two_machines(tmp_path: Path, root: Path) -> None:
    """`torchrun` as docs/training.md says it, twice: two nodes with a process each that meet on the loopback."""
    ranks.prepare(tmp_path)
    port, steps = free_port(), 6
    nodes = []
    for node in (0, 1):
        arguments = {
            "data": "data.module.ImageDataModule",
            "data.root": tmp_path / "data",  # 24 pictures
            "data.resolution": 32,
            "data.batch_size": 2,
            "data.balance": 0,
            "data.flip": "false",
            "data.num_workers": 0,
            "model": "train.projection.auxiliary.AuxiliaryTraining",
            "model.generator": ranks.model_file(tmp_path),
            "model.zeta_dim": 24,
            "trainer.accelerator": "cpu",
            "trainer.logger": "train.loggers.CSVLog",
            "trainer.logger.save_dir": tmp_path / f"node_{node}",
            "trainer.logger.name": "run",
            "trainer.log_every_n_steps": 1,
            "trainer.enable_checkpointing": "false",
            "trainer.max_steps": steps,
            "trainer.default_root_dir": tmp_path / f"node_{node}" / "run",
            "trainer.callbacks": "train.callbacks.TimedCheckpoint",
            "trainer.callbacks+": "tests.train.nodes.Noted",
            "trainer.callbacks.folder": tmp_path,
        }
        run = ["-m", "torch.distributed.run", "--nnodes=2", f"--node-rank={node}", "--nproc-per-node=1"]
        run += ["--master-addr=127.0.0.1", f"--master-port={port}", "train.py", "fit"]
        options = [f"--{name}={value}" for name, value in arguments.items()]
        last = ["-c", "configs/train/ddp.yaml", "--trainer.num_nodes=2", "--trainer.devices=1"]
        nodes.append(start(root, *run, *options, *last))
    finish(nodes, 180)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert first["ranks"] == second["ranks"] == 2
    seen = [[name for batch in noted["pictures"] for name in batch] for noted in (first, second)]
    assert [len(names) for names in seen] == [2 * steps, 2 * steps]
    assert len(set(seen[0]) | set(seen[1])) == 24  # all of them, none twice
    assert all(torch.equal(value, second["weights"][name]) for name, value in first["weights"].items())
    saved = read(tmp_path / "node_0" / "run" / "last.ckpt")["state_dict"]
    assert all(torch.equal(value, first["weights"][name]) for name, value in saved.items())
    assert int(saved["images_seen"]) == 2 * 2 * steps
    written = {p.name for p in (tmp_path / "node_0").rglob("*") if p.is_file()}
    assert {"last.ckpt", "metrics.csv"} <= written
    assert [p for p in (tmp_path / "node_1").rglob("*") if p.is_file()] == []  # rank 0 alone writes


@pytest.mark.parametrize(
    ("devices", "expected"),
    [(2, True), ("2", True), ([0, 1], True), ("0,1", True), (1, False), ("1", False), ([3], False), ("auto", False)],
)
def test_several_devices_are_seen(devices: object, expected: bool) -> None:
    assert _several(devices, on_cpu=True) is expected


def test_a_gan_on_two_devices_needs_no_other_config(train: Train, root: Path) -> None:
    config = str(train.folder / "tiny.yaml")
    options = ["--trainer.devices=2", "--trainer.max_steps=4"]
    finish([start(root, "train.py", "fit", "-c", config, *options)], 120)
    assert int(read(train.base / "last.ckpt")["state_dict"]["images_seen"]) == 2 * 2 * 4
