"""What is kept warm: the most recently used, within both bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ronkms.backends.warm_handles import WarmHandles

MOST, MOST_IN_HEAP = 6, 2


def test_those_in_the_heap_have_a_bound_of_their_own() -> None:
    warm = WarmHandles[str](MOST, MOST_IN_HEAP)
    warm.keep(b"locked", "locked", in_heap=False)
    for name in ("a", "b"):
        warm.keep(name.encode(), name, in_heap=True)
    assert warm.get(b"a") == "a"
    warm.keep(b"c", "c", in_heap=True)
    assert [warm.get(name) for name in (b"locked", b"a", b"b", b"c")] == ["locked", "a", None, "c"]


def test_a_fork_leaves_nothing() -> None:
    warm = WarmHandles[str]()
    warm.keep(b"a", "a", in_heap=True)
    warm.after_fork()
    assert (len(warm), warm.get(b"a"), warm.drop_oldest()) == (0, None, False)


names = st.integers(min_value=0, max_value=9)
steps = st.one_of(
    st.tuples(st.just("keep"), names, st.booleans()),
    st.tuples(st.just("get"), names),
    st.tuples(st.just("drop"), names),
    st.tuples(st.just("drop_oldest")),
)


@given(st.lists(steps, max_size=60))
def test_it_is_a_list_by_last_use(history: list[tuple[object, ...]]) -> None:
    warm = WarmHandles[int](MOST, MOST_IN_HEAP)
    model: list[tuple[int, bool]] = []
    for what, *rest in history:
        known = [entry for entry in model if rest and entry[0] == rest[0]]
        if what == "keep":
            number, in_heap = rest
            assert isinstance(number, int) and isinstance(in_heap, bool)
            warm.keep(bytes([number]), number, in_heap=in_heap)
            model = [entry for entry in model if entry not in known] + [(number, in_heap)]
            heap = [entry for entry in model if entry[1]]
            if len(heap) > MOST_IN_HEAP:
                model.remove(heap[0])
            model = model[-MOST:]
        elif what == "get":
            (number,) = rest
            assert isinstance(number, int)
            assert warm.get(bytes([number])) == (number if known else None)
            model = [entry for entry in model if entry not in known] + known
        elif what == "drop":
            (number,) = rest
            assert isinstance(number, int)
            warm.drop(bytes([number]))
            model = [entry for entry in model if entry not in known]
        else:
            assert warm.drop_oldest() is bool(model)
            model = model[1:]
    assert len(warm) == len(model)
    assert all(warm.get(bytes([number])) == number for number, _ in model)
