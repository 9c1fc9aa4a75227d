from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolctl.config.units import BYTES, SECONDS, seconds, size


@pytest.mark.parametrize(
    ("written", "meant"),
    [("30s", 30.0), ("500ms", 0.5), ("2m", 120.0), ("1h", 3600.0), ("1.5s", 1.5), ("7", 7.0), (7, 7.0), (0.25, 0.25)],
)
def test_times(written: object, meant: float) -> None:
    assert seconds(written) == pytest.approx(meant)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("64KiB", 65536),
        ("16MiB", 16 << 20),
        ("1GiB", 1 << 30),
        ("1.5KiB", 1536),
        ("10kB", 10000),
        ("5B", 5),
        (4096, 4096),
    ],
)
def test_sizes(written: object, meant: int) -> None:
    assert size(written) == meant
    assert isinstance(size(written), int)


@pytest.mark.parametrize("written", [True, None, "", "s", "-1s", "1 2s", "1e3s", -1, float("inf"), float("nan"), [1]])
def test_invalid_times(written: object) -> None:
    with pytest.raises(ValueError, match='a time such as "500ms", "30s" or "2m"'):
        seconds(written)


def test_an_unknown_unit_gets_the_known_ones() -> None:
    with pytest.raises(ValueError, match="a time such as"):
        seconds("1d")
    with pytest.raises(ValueError, match="a size such as"):
        size("64kb")


def test_a_size_is_whole() -> None:
    with pytest.raises(ValueError, match="a size such as"):
        size("0.3B")


@given(st.integers(0, 10**9), st.sampled_from(sorted(BYTES)))
def test_whole_sizes_are_exact(number: int, unit: str) -> None:
    assert size(f"{number}{unit}") == number * BYTES[unit]


@given(st.integers(0, 10**6), st.sampled_from(sorted(SECONDS)))
def test_times_are_in_seconds(number: int, unit: str) -> None:
    assert seconds(f"{number} {unit}") == pytest.approx(number * SECONDS[unit])
