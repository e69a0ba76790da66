"""What options refuse: values of other types than each takes."""

# By what the option takes, as its table says.
WRONG = {
    "int": [True, 1.0, "1", b"1", None, [1]],
    "int | None": [True, 1.0, "1", [1]],
    "bool": [1.0, "True", b"", None],
    "bool | None": [0.5, "True", b""],
    "float": [True, "1", b"1", None, 1j],
    "float | None": [True, "1", b"1", [1], 1j],
    "bytes": ["text", 1, None, [b"x"]],
    "str | None": [b"bytes", 1, ["x"]],
    "str | bytes": [1, None, ["x"]],
    "str | bytes | CurveKeys": [1, None, ["x"]],
    "CurveKeys": [1, None, "x" * 40, ("x" * 40, "x" * 40)],
    "Clients": [1, None, "x" * 40, b"x" * 40, {"a": "b"}],
    "Users": [1, None, "alice", ["alice"]],
    "NetworkList": [1, None, "10.0.0.0/8", b"10.0.0.0/8"],
    "Mapping[str, str]": [1, None, "X-a:b", [("X-a", "b")], {b"X-a": "b"}, {"X-a": 1}],
    "bytes | Iterable[bytes]": ["text", 1, None, ["x"], [b"x", None]],
}
