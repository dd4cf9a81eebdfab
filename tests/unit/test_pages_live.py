"""The hub: who hears what, and how often."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from engine_app.pubsub import EVERYTHING, Hub, Look, execution_topic, owner_topic, workflow_topic


def _run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def test_a_ring_wakes_its_topic_and_no_other() -> None:
    async def scene() -> None:
        hub = Hub()
        with hub.subscribe("a") as mine, hub.subscribe("b") as other:
            hub.ring("a")
            assert await mine.wait(1)
            assert not await other.wait(0.01)

    _run(scene())


def test_many_rings_are_one_reading() -> None:
    async def scene() -> None:
        hub = Hub()
        with hub.subscribe("a") as bell:
            for _ in range(1000):
                hub.ring("a")
            assert await bell.wait(1)
            assert not await bell.wait(0.01)

    _run(scene())


def test_a_ring_during_the_reading_is_not_lost() -> None:
    async def scene() -> None:
        hub = Hub()
        with hub.subscribe("a") as bell:
            hub.ring("a")
            assert await bell.wait(1)
            hub.ring("a")
            assert await bell.wait(1)

    _run(scene())


def test_a_bell_that_keeps_ringing_is_heard_at_most_every_tenth_of_a_second() -> None:
    async def scene() -> None:
        hub, loop = Hub(), asyncio.get_running_loop()
        with hub.subscribe("a") as bell:
            start = loop.time()
            for _ in range(3):
                hub.ring("a")
                assert await bell.wait(1)
            assert loop.time() - start >= 0.19

    _run(scene())


def test_leaving_forgets_the_bell() -> None:
    async def scene() -> None:
        hub = Hub()
        with hub.subscribe("a"):
            pass
        hub.ring("a")
        assert not hub._bells

    _run(scene())


def test_a_workflow_shared_by_all_rings_only_for_the_one_whose_execution_it_is() -> None:
    assert Look(execution="e", owner="ada", workflow="w").topics() == (
        execution_topic("e"),
        owner_topic("ada"),
        workflow_topic("ada", "w"),
        EVERYTHING,
    )


def test_a_word_that_means_nothing_is_passed_over() -> None:
    async def scene() -> None:
        hub = Hub()
        with hub.subscribe(execution_topic("e")) as bell:
            hub._hear(b"not json")
            hub._hear(b'{"execution": 3}')
            hub._hear(b'{"execution": "e", "owner": "o", "workflow": "w"}')
            assert await bell.wait(1)

    _run(scene())
