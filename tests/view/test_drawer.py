import io

import numpy as np

from ksim_cli.view.drawer import arrays_as_bytes, messages, packed


def test_messages_come_out_as_they_went_in():
    sent = [({"a": [1, "ü"]}, b"12\n3"), ({}, b""), ({"b": None}, bytes(1000))]
    stream = io.BytesIO(b"".join(packed(*each) for each in sent))
    assert list(messages(stream)) == sent


def test_what_was_cut_off_is_no_message():
    whole = packed({"a": 1}, b"12345678")
    assert list(messages(io.BytesIO(whole + whole[:-3]))) == [({"a": 1}, b"12345678")]
    assert list(messages(io.BytesIO(b""))) == []


def test_arrays_come_out_as_they_went_in():
    payload = arrays_as_bytes({"qpos": np.arange(3.0), "step": np.array([1, 2])})
    with np.load(io.BytesIO(payload), allow_pickle=False) as arrays:
        assert arrays["qpos"].tolist() == [0, 1, 2] and arrays["step"].dtype == int
