"""When the decision point counts as answering, and what readiness says when it does not."""

from __future__ import annotations

from ronkms.errors import PolicyUnavailable
from ronkms.policy.external.answer import Answer
from ronkms.policy.external.operation_class import OperationClass
from ronkms.policy.external.probe import Probe
from ronkms.policy.external.question import Question


class Asked:
    """``answer`` None: none is given."""

    def __init__(self, answer: Answer | None) -> None:
        self.answer = answer
        self.questions: list[Question] = []

    def __call__(self, question: Question, corr_id: str) -> Answer:
        self.questions.append(question)
        if self.answer is None:
            raise PolicyUnavailable(fault="timeout", reason="not answered in time")
        return self.answer


def make(asked: Asked, closed: tuple[OperationClass, ...] = (OperationClass.SIGN,)) -> Probe:
    return Probe(asked, failures=3, closed=closed)


def test_nothing_is_known_before_the_first_answer() -> None:
    probe = make(Asked(Answer(True, "", "")))
    assert probe.missing() == ["external policy: not asked yet; refused meanwhile: sign"]
    assert not probe.up
    probe.turn()
    assert (probe.missing(), probe.up, probe.fault) == ([], True, "")


def test_a_denial_is_an_answer() -> None:
    asked = Asked(Answer(False, "no", ""))
    probe = make(asked)
    probe.turn()
    assert probe.up
    assert (asked.questions[0].action, asked.questions[0].key) == ("probe", None)


def test_some_failures_in_a_row_make_it_missing_and_one_answer_mends_it() -> None:
    asked = Asked(Answer(True, "", ""))
    probe = make(asked)
    probe.turn()
    asked.answer = None
    seen = []
    for _ in range(3):
        probe.turn()
        seen.append(probe.up)
    assert seen == [True, True, False]
    assert probe.missing() == ["external policy: timeout: not answered in time; refused meanwhile: sign"]
    asked.answer = Answer(True, "", "")
    probe.turn()
    assert (probe.missing(), probe.up) == ([], True)


def test_it_is_never_missing_if_nothing_fails_closed() -> None:
    probe = make(Asked(None), closed=())
    for _ in range(5):
        probe.turn()
    assert (probe.missing(), probe.up) == ([], False)
    assert probe.fault == "timeout: not answered in time"
