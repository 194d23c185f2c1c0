import pytest
from django.http import QueryDict

from surveys.errors import DomainError
from surveys.sliders import Line, Mark, Touch, filled, read_mark, read_touch
from tests.walk import mark


def read(fields: dict[str, str], **options: bool) -> Mark:
    data = QueryDict(mutable=True)
    data.update(fields)
    return read_mark(data, "score_0", minimum=1, maximum=100, **options)


def test_it_works() -> None:
    sent = read(mark("score_0", 64))
    assert (sent.value, sent.is_touched, sent.is_missing) == (64, True, False)
    assert sent.touch == Touch(64, "pointer", 1, 900)


def test_an_untouched_line_is_missing_whatever_its_resting_value() -> None:
    assert read({"score_0": "50"}).is_missing
    assert read({}).is_missing


def test_untouched_counts_where_the_protocol_says_so() -> None:
    sent = read({"score_0": "50"}, untouched_counts=True)
    assert (sent.value, sent.is_touched) == (50, False)
    assert read({}, untouched_counts=True).is_missing


def test_na_wins_over_a_mark() -> None:
    sent = read(mark("score_0", 64) | {"score_0_na": "on"}, na_allowed=True)
    assert (sent.value, sent.is_na, sent.is_missing) == (None, True, False)


def test_na_is_not_allowed_everywhere() -> None:
    assert read({"score_0_na": "on"}).is_missing


@pytest.mark.parametrize("value", ["0", "101", "-3", "1e2", "ten", "", "5 0", "9" * 5000])
def test_a_value_no_line_could_send_is_refused(value: str) -> None:
    with pytest.raises(DomainError, match="place this mark again"):
        read({"score_0": value, "score_0_rated": "on"})


@pytest.mark.parametrize(
    "record",
    ["", "[]", "{", '{"first": "x"}', '{"moves": -1}', '{"ms": 1e400}', "null", "[" * 100_000],
)
def test_a_broken_record_is_no_record(record: str) -> None:
    assert read_touch(record) == Touch()


def test_na_after_a_mark_is_restored() -> None:
    line = Line("score_0", "", "Low", "High", 1, 100, na_allowed=True)
    # A line that does not apply is disabled, so its value is not sent.
    data = {"score_0_rated": "on", "score_0_record": "{}", "score_0_na": "on"}
    restored = filled(line, data)
    assert (restored.value, restored.is_na, restored.record) == (None, True, "")
