"""Large values: what stands in a column, what lies in a store, what is said when it does not."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from engine.codec import encode
from engine.errors import EngineError, PayloadLost, StepError, Unavailable
from engine.io.payloads import HEAD, Payloads, Reference, place, reference, same, shown

BIG = encode("é" * 2_000)


def folder(path: Path, **limits: int) -> Payloads:
    return Payloads(str(path / "payloads"), **{"inline": 1_000, "limit": 100_000, **limits})


def key(kind: str = "output", *, epoch: int = 1, item: int = -1) -> str:
    return place("0" * 13, 3, item, epoch=epoch, attempt=1, kind=kind)


def files(path: Path) -> list[Path]:
    return [found for found in path.rglob("*") if found.is_file()]


def test_a_small_value_stays_in_its_column(tmp_path: Path) -> None:
    payloads = folder(tmp_path)
    assert payloads.keep('{"a":1}', key(), "it") == '{"a":1}'
    assert payloads.read('{"a":1}', "it") == '{"a":1}'
    assert files(tmp_path) == []


def test_the_inline_limit_counts_bytes_not_characters(tmp_path: Path) -> None:
    payloads = folder(tmp_path)
    for text, inline in ((encode("é" * 499), True), (encode("é" * 500), False)):
        assert (payloads.keep(text, key(), "it") == text) is inline


def test_a_large_value_leaves_a_reference_that_no_json_can_be(tmp_path: Path) -> None:
    payloads = folder(tmp_path)
    kept = payloads.keep(BIG, key(), "it")
    found = reference(kept)
    assert found is not None
    assert (found.size, found.head) == (len(BIG.encode()), BIG[:HEAD])
    assert kept[0] not in '{["-0123456789tfn \t\r\n'
    assert payloads.read(kept, "it") == BIG


def test_a_store_by_url_keeps_values_too() -> None:
    payloads = Payloads(f"memory://{uuid.uuid4().hex}/deep", inline=1_000, limit=100_000)
    kept = payloads.keep(BIG, key(), "it")
    assert reference(kept) is not None
    assert payloads.read(kept, "it") == BIG
    payloads.remove("0" * 13)
    with pytest.raises(PayloadLost):
        payloads.read(kept, "it")


def test_an_attempt_that_lost_its_claim_overwrites_nothing(tmp_path: Path) -> None:
    payloads = folder(tmp_path)
    kept = payloads.keep(BIG, key(epoch=2), "it")
    payloads.keep(BIG[:-2] + 'x"', key(epoch=2), "it")
    payloads.keep(encode("x" * 9_000), key(epoch=1), "it")
    assert payloads.read(kept, "it") == BIG


def test_nothing_half_written_is_left_behind(tmp_path: Path) -> None:
    payloads = folder(tmp_path)
    kept = reference(payloads.keep(BIG, key(), "it"))
    assert kept is not None
    [file] = files(tmp_path)
    assert file == tmp_path / "payloads" / kept.key
    assert file.stat().st_mode & 0o077 == 0


def test_an_object_that_is_gone_is_told_with_what_and_where(tmp_path: Path) -> None:
    payloads = folder(tmp_path)
    kept = payloads.keep(BIG, key(), "it")
    files(tmp_path)[0].unlink()
    with pytest.raises(PayloadLost, match=r"steps\.load: the result") as caught:
        payloads.read(kept, "steps.load: the result")
    assert (caught.value.reason, caught.value.retryable) == ("payload_lost", False)
    assert str(tmp_path / "payloads") in caught.value.message


@pytest.mark.parametrize("spoiled", [BIG.encode()[:-1], BIG.encode()[:-2] + b'x"'])
def test_an_object_that_was_changed_is_not_taken_for_the_value(
    tmp_path: Path, spoiled: bytes
) -> None:
    payloads = folder(tmp_path)
    kept = payloads.keep(BIG, key(), "it")
    files(tmp_path)[0].write_bytes(spoiled)
    with pytest.raises(PayloadLost, match="is not what was written"):
        payloads.read(kept, "it")


def test_a_value_over_the_limit_is_refused_with_its_size(tmp_path: Path) -> None:
    payloads = folder(tmp_path, limit=2_000)
    with pytest.raises(StepError, match=r"steps\.load: the result has 4,002 bytes") as caught:
        payloads.keep(BIG, key(), "steps.load: the result")
    assert (caught.value.reason, caught.value.retryable) == ("too_large", False)
    assert files(tmp_path) == []


def test_a_store_that_cannot_be_written_is_unavailable_not_lost(tmp_path: Path) -> None:
    (tmp_path / "payloads").write_text("a file where the folder should be")
    payloads = folder(tmp_path)
    with pytest.raises(Unavailable, match="cannot write"):
        payloads.keep(BIG, key(), "it")
    with pytest.raises(Unavailable, match="cannot write"):
        payloads.probe()


def test_a_store_without_its_driver_says_what_to_install() -> None:
    with pytest.raises(Unavailable, match="s3"):
        Payloads("s3://bucket", inline=1_000).keep(BIG, key(), "it")


def test_a_process_without_a_store_keeps_all_inline_and_reads_no_reference(tmp_path: Path) -> None:
    kept = folder(tmp_path).keep(BIG, key(), "it")
    nowhere = Payloads(None)
    assert nowhere.keep(BIG, key(), "it") == BIG
    with pytest.raises(Unavailable, match="none is configured"):
        nowhere.read(kept, "it")


@pytest.mark.parametrize("bad", ["../../etc/passwd", "/etc/passwd", "a/../../b", "a", "a/b c"])
def test_a_key_that_leads_elsewhere_is_not_followed(tmp_path: Path, bad: str) -> None:
    with pytest.raises(EngineError, match="is no key"):
        folder(tmp_path).read_bytes(Reference(bad, 1, "0" * 64), "it")


def test_the_same_value_is_known_wherever_it_lies(tmp_path: Path) -> None:
    payloads = folder(tmp_path)
    one, other = (payloads.keep(BIG, key(epoch=number), "it") for number in (1, 2))
    assert one != other
    assert same(one, other)
    assert same("1", "1")
    assert not same(one, payloads.keep(encode("x" * 9_000), key(), "it"))
    assert not same(one, "1")
    assert not same(None, "1")


def test_removing_an_execution_removes_all_it_wrote_and_nothing_else(tmp_path: Path) -> None:
    payloads = folder(tmp_path)
    payloads.keep(BIG, key(), "it")
    payloads.keep(BIG, key(epoch=7, item=3), "it")
    other = payloads.keep(BIG, place("1" * 13, 0, -1, epoch=1, attempt=1, kind="output"), "it")
    payloads.remove("0" * 13)
    payloads.remove("0" * 13)
    assert len(files(tmp_path)) == 1
    assert payloads.read(other, "it") == BIG


def test_a_store_that_was_never_written_names_no_executions(tmp_path: Path) -> None:
    assert folder(tmp_path).executions() == []


def test_the_check_leaves_nothing_in_the_store(tmp_path: Path) -> None:
    folder(tmp_path).probe()
    assert files(tmp_path) == []


def test_a_password_in_the_url_is_not_shown() -> None:
    assert shown("sftp://me:secret@host/folder?token=secret") == "sftp://host/folder"
