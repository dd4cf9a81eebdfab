"""Which tab is whose, and how many are kept that have no socket."""

from __future__ import annotations

from engine_app.tabs import AWAY, AWAY_OF_A_SESSION, Tabs


def test_a_tab_that_comes_back_is_the_same() -> None:
    tabs = Tabs()
    first = tabs.arrive("s", "t", "1")
    assert tabs.arrive("s", "t", "1") is first
    tabs.leave(first.ident)
    assert tabs.arrive("s", "t", "2") is first
    assert first.sid == "2"


def test_the_same_token_of_another_session_is_another_tab() -> None:
    tabs = Tabs()
    one, other = tabs.arrive("s", "t", "1"), tabs.arrive("z", "t", "2")
    assert one.ident != other.ident
    assert (tabs.find(one.ident), tabs.find(other.ident)) == (one, other)


def test_what_a_tab_is_kept_under_is_no_token_of_anybody() -> None:
    tabs = Tabs()
    tab = tabs.arrive("s", "t", "1")
    assert tabs.arrive("s", tab.ident, "2").ident != tab.ident


def test_a_copy_of_an_open_tab_gets_a_token_of_its_own_and_keeps_it() -> None:
    tabs = Tabs()
    tab = tabs.arrive("s", "t", "1")
    copy = tabs.arrive("s", "t", "2")
    assert copy.token != "t"
    assert tab.sid == "1"
    tabs.leave(copy.ident)
    assert tabs.arrive("s", copy.token, "3") is copy


def test_the_end_of_a_session_drops_all_of_its_tabs_and_no_other() -> None:
    tabs = Tabs()
    here, away, other = (
        tabs.arrive(session, token, token)
        for session, token in (("s", "a"), ("s", "b"), ("z", "a"))
    )
    tabs.leave(away.ident)
    assert {tab.ident for tab in tabs.end("s")} == {here.ident, away.ident}
    assert tabs.end("s") == []
    assert tabs.find(here.ident) is None
    assert tabs.find(other.ident) is other
    assert tabs.leave(here.ident) == []  # its socket closes after that
    assert tabs.arrive("s", "a", "1") is not here


def test_the_oldest_tabs_without_a_socket_are_dropped_first() -> None:
    tabs = Tabs()
    there = tabs.arrive("s", "there", "there")
    left = [tabs.arrive("s", str(number), str(number)) for number in range(AWAY_OF_A_SESSION + 2)]
    dropped = [tab for one in left for tab in tabs.leave(one.ident)]
    assert dropped == left[:2]
    assert tabs.find(there.ident) is there


def test_only_so_many_are_kept_of_all_sessions_together() -> None:
    tabs = Tabs()
    left = [tabs.arrive(f"s{number}", "t", str(number)) for number in range(AWAY + 3)]
    dropped = [tab for one in left for tab in tabs.leave(one.ident)]
    assert dropped == left[:3]
    assert len(tabs._by_ident) == len(tabs._by_name) == len(tabs._away) == AWAY
