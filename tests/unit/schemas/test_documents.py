"""Documents of strangers are read whole or refused."""

import pytest

from schemas.documents import DocumentError, read_json


def test_the_first_key_that_stands_twice_is_named_with_its_path() -> None:
    with pytest.raises(DocumentError, match=r"^a\[1\]\.c stands twice: leave one of them out$"):
        read_json('{"a": [{"b": 1}, {"c": 1, "c": 2}]}')


@pytest.mark.timeout(20)
def test_a_body_of_many_keys_takes_no_time_for_each_pair_of_them() -> None:
    """A hundred thousand keys are five thousand million pairs."""
    keys = ", ".join(f'"k{i}": 1' for i in range(100_000))
    with pytest.raises(DocumentError, match=r"^last stands twice"):
        read_json(f'{{{keys}, "last": 1, "last": 2}}')
