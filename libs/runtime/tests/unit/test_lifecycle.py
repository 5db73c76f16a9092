"""A process drains in order when asked to stop, and stops when one of its parts dies."""

import asyncio
import os
import signal

import pytest
from threadline_runtime.errors import ConfigurationError
from threadline_runtime.lifecycle import Lifecycle, Stage, TaskDied


class _Part:
    def __init__(self, name: str, log: list[str]) -> None:
        self._name, self._log = name, log
        self.running = asyncio.Event()

    async def run(self) -> None:
        self.running.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self._log.append(self._name)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, None])
async def test_a_signal_stops_sources_first_then_workers_then_what_they_lean_on(number: signal.Signals | None) -> None:
    log: list[str] = []
    life = Lifecycle(on_stop=lambda: log.append("not ready"))
    parts = {name: _Part(name, log) for name in ("beat", "worker", "source")}
    life.add("beat", parts["beat"].run, stage=Stage.SUPPORT)
    life.add("worker", parts["worker"].run)
    life.add("source", parts["source"].run, stage=Stage.INTAKE)
    running = asyncio.create_task(life.run())
    for part in parts.values():
        await part.running.wait()
    assert life.liveness() is None
    if number is None:
        life.stop()
    else:
        os.kill(os.getpid(), number)
    await running
    assert log == ["not ready", "source", "worker", "beat"]


async def test_a_part_that_dies_ends_the_process_with_one_clear_line_after_draining_the_rest() -> None:
    log: list[str] = []
    life, other = Lifecycle(), _Part("other", log)

    async def die() -> None:
        await other.running.wait()
        raise RuntimeError("ann@customer.example")

    life.add("other", other.run)
    life.add("router.pipeline", die)
    with pytest.raises(TaskDied, match=r"router\.pipeline died of RuntimeError") as caught:
        await life.run()
    assert "ann@" not in str(caught.value)
    assert log == ["other"]


async def test_a_configuration_error_is_passed_on_as_it_is() -> None:
    async def wrong() -> None:
        raise ConfigurationError("port 8080 is taken: use --port")

    life = Lifecycle()
    life.add("http", wrong, restart=True)
    with pytest.raises(ConfigurationError, match="port 8080"):
        await life.run()


async def test_what_a_task_group_wraps_is_told_as_it_is() -> None:
    """One clear line for the operator: services run their parts in groups, and a group hides what happened in one of them."""

    async def wrong() -> None:
        raise ExceptionGroup("unhandled", [ExceptionGroup("unhandled", [ConfigurationError("threadline.db is damaged: put back a copy")])])

    async def broken() -> None:
        raise ExceptionGroup("unhandled", [LookupError("x")])

    life = Lifecycle()
    life.add("notifier", wrong, restart=True)
    with pytest.raises(ConfigurationError, match="is damaged"):
        await asyncio.wait_for(life.run(), 5)
    life = Lifecycle()
    life.add("router", broken)
    with pytest.raises(TaskDied, match="router died of LookupError"):
        await asyncio.wait_for(life.run(), 5)


async def test_returning_is_dying() -> None:
    async def brief() -> None:
        return None

    life = Lifecycle()
    life.add("consumer", brief)
    with pytest.raises(TaskDied, match="consumer ended unexpectedly"):
        await life.run()


async def test_a_restartable_part_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threadline_runtime.lifecycle._RESTART_FIRST", 0.001)
    life, runs = Lifecycle(), 0

    async def flaky() -> None:
        nonlocal runs
        runs += 1
        if runs == 3:
            life.stop()
            await asyncio.Event().wait()
        raise RuntimeError

    life.add("poller", flaky, restart=True)
    await life.run()
    assert runs == 3


async def test_what_does_not_drain_in_time_is_broken_off() -> None:
    life = Lifecycle(grace=0.01)
    entered, broken = asyncio.Event(), []

    async def stubborn() -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            try:
                await asyncio.Event().wait()
            finally:
                broken.append(True)

    life.add("stubborn", stubborn)
    running = asyncio.create_task(life.run())
    await entered.wait()
    life.stop()
    await running
    assert broken == [True]


async def test_what_is_prepared_holds_back_the_parts_that_need_it_and_no_other() -> None:
    """Issue 5: who asks a process that waits for its database gets an answer."""
    log: list[str] = []
    life, there = Lifecycle(), asyncio.Event()
    ops, worker = _Part("ops", log), _Part("worker", log)
    life.add("ops", ops.run, stage=Stage.SUPPORT)

    async def prepare() -> None:
        await there.wait()
        life.add("worker", worker.run)

    running = asyncio.create_task(life.run(prepare))
    await ops.running.wait()
    assert not worker.running.is_set()
    there.set()
    await worker.running.wait()
    life.stop()
    await running
    assert log == ["worker", "ops"]


async def test_a_stop_while_it_prepares_is_a_stop() -> None:
    log: list[str] = []
    life, ops = Lifecycle(), _Part("ops", log)
    life.add("ops", ops.run, stage=Stage.SUPPORT)
    running = asyncio.create_task(life.run(asyncio.Event().wait))
    await ops.running.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(running, 5)
    assert log == ["ops"]


async def test_a_part_that_dies_while_it_prepares_ends_the_process() -> None:
    life = Lifecycle()

    async def die() -> None:
        raise KeyError

    life.add("ops", die, stage=Stage.SUPPORT)
    with pytest.raises(TaskDied, match="ops died of KeyError"):
        await asyncio.wait_for(life.run(asyncio.Event().wait), 5)


async def test_what_cannot_be_prepared_ends_the_process_with_its_line() -> None:
    life, ops = Lifecycle(), _Part("ops", [])
    life.add("ops", ops.run, stage=Stage.SUPPORT)

    async def prepare() -> None:
        raise ConfigurationError("no room for the tables")

    with pytest.raises(ConfigurationError, match="no room"):
        await asyncio.wait_for(life.run(prepare), 5)
