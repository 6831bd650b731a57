"""What programs ask of all services, kept ready."""

from pydantic import TypeAdapter

from status.documents import Documents
from status.views import RolloutStatus
from tests.page_pictures import snapshot

ALL = TypeAdapter(list[RolloutStatus])


def statuses() -> list[RolloutStatus]:
    made = (snapshot("collecting").status, snapshot("rolled_back").status, snapshot("new").status)
    return [status.model_copy(update={"service": f"s{i}"}) for i, status in enumerate(made)]


def test_it_is_what_the_model_says() -> None:
    shown = statuses()
    assert Documents()(shown) == ALL.dump_json(shown)
    assert Documents()([]) == b"[]"


def test_another_status_of_a_service_takes_the_place_of_the_older_one() -> None:
    documents, shown = Documents(), statuses()
    documents(shown)
    shown[1] = shown[1].model_copy(update={"ledger": ()})
    assert documents(shown) == ALL.dump_json(shown)
    assert documents(shown[:1]) == ALL.dump_json(shown[:1])


def test_only_what_has_changed_is_written_anew() -> None:
    documents, shown = Documents(), statuses()
    documents(shown)
    before = [documents._one(status) for status in shown]
    shown[2] = shown[2].model_copy()
    after = [documents._one(status) for status in shown]
    assert [a is b for a, b in zip(after, before, strict=True)] == [True, True, False]
