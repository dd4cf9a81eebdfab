"""What a worker and the process of an isolated step say to one another."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from engine.worker.process.ipc import Channel, Garbled, line_of, message_of


class Pipes:
    """A channel, and the other side's descriptors of it."""

    def __init__(self) -> None:
        self.hears, control = os.pipe()
        report, self.says = os.pipe()
        self.channel = Channel(report, control, limit=1000)
        self.open = {self.hears, self.says, control, report}

    def hang_up(self, descriptor: int) -> None:
        """Close one end, as a death does."""
        os.close(descriptor)
        self.open.remove(descriptor)


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    made = Pipes()
    yield made
    for descriptor in made.open:
        os.close(descriptor)


def test_a_message_with_bytes_and_any_text_comes_back_as_it_was() -> None:
    message = {"call": "artifact", "args": ["näme\n", b"\x00\xff\n"], "named": {"a": {"b": [1.5]}}}
    assert line_of(message).count(b"\n") == 1
    assert message_of(line_of(message)) == message


def test_a_message_in_pieces_is_put_together(pipes: Pipes) -> None:
    line = line_of({"line": ["info", "hello"]})
    os.write(pipes.says, line[:7])
    assert list(pipes.channel.turn(0)) == []
    os.write(pipes.says, line[7:] + line)
    assert list(pipes.channel.turn(0)) == [{"line": ["info", "hello"]}] * 2


@pytest.mark.parametrize("said", [b"not json\n", b"[1]\n", b"x" * 1001])
def test_what_is_no_message_is_refused(pipes: Pipes, said: bytes) -> None:
    os.write(pipes.says, said)
    with pytest.raises(Garbled):
        list(pipes.channel.turn(0))


def test_a_message_larger_than_the_pipe_goes_out_as_it_is_read(pipes: Pipes) -> None:
    message = {"params": "x" * 300_000}
    pipes.channel.send(message)
    heard = b""
    while not heard.endswith(b"\n"):
        heard += os.read(pipes.hears, 2**16)
        list(pipes.channel.turn(0))
    assert message_of(heard) == message


def test_the_death_of_the_other_side_blocks_and_raises_nothing(pipes: Pipes) -> None:
    os.write(pipes.says, line_of({"last": "words"}))
    pipes.hang_up(pipes.hears)
    pipes.hang_up(pipes.says)
    pipes.channel.send({"params": "x" * 300_000})
    assert list(pipes.channel.rest()) == [{"last": "words"}]
    assert list(pipes.channel.turn(0)) == []
