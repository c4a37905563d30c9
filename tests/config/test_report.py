import pytest

from ksim_cli.config.report import JobFailedError, explain, report
from ksim_cli.errors import UserError


def test_a_mistake_is_status_two_and_one_message(capsys):
    assert report(UserError("no such thing"), "train", False) == 2
    assert capsys.readouterr().err == "ksim train: no such thing\n"


def test_a_crash_is_status_one_with_its_traceback(capsys):
    assert report(RuntimeError("broken"), "train", False) == 1
    error = capsys.readouterr().err
    assert "RuntimeError: broken" in error


def test_a_failed_job_of_a_sweep_has_said_why_already(capsys):
    assert report(JobFailedError(1), "train", False) == 1
    assert report(JobFailedError(2), "train", False) == 2
    assert capsys.readouterr().err == ""


def test_who_asks_for_the_full_error_gets_it(capsys):
    assert report(UserError("no such thing"), "train", True) == 2
    assert "UserError" in capsys.readouterr().err


def test_a_mistake_inside_another_error_is_found():
    with pytest.raises(RuntimeError) as outer:
        try:
            raise UserError("the cause")
        except UserError as error:
            raise RuntimeError("wrapped") from error
    assert explain(outer.value) == "the cause"
    assert explain(ValueError("x")) is None


def test_what_the_system_refuses_is_told_with_its_file():
    assert (
        explain(PermissionError(13, "Permission denied", "a.yaml")) == "a.yaml: Permission denied"
    )
    assert explain(OSError("of a library")) is None
