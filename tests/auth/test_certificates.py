"""Key pairs, and the files that hold them."""

import copy
import os
import pickle
import stat
import sys
from pathlib import Path

import pytest
import zmq.auth
from hypothesis import given
from hypothesis import strategies as st

from ratchet import ArgumentError, Error, auth
from ratchet.z85 import decode, encode

posix = pytest.mark.skipif(os.name != "posix", reason="there are no modes")


@given(st.binary(min_size=32, max_size=32))
def test_z85_and_back(key):
    assert decode(encode(key)) == key


def test_a_pair():
    keys = auth.generate()
    assert [len(keys.public), len(keys.secret), dict(keys.metadata)] == [40, 40, {}]
    assert type(keys.public) is type(keys.secret) is str
    assert keys == auth.CurveKeys(keys.public, keys.secret, {"a": "b"}) != auth.generate()
    for same in (copy.copy(keys), copy.deepcopy(keys), pickle.loads(pickle.dumps(keys))):
        assert same == keys
        assert same.secret == keys.secret
    with pytest.raises(AttributeError):
        keys.secret = keys.public


def test_a_secret_is_not_shown():
    keys = auth.generate()
    for text in (repr(keys), str(keys), f"{keys}", f"{[keys]}"):
        assert keys.secret not in text
        assert keys.public in text
    with pytest.raises(ArgumentError, match="secret takes a key") as caught:
        auth.CurveKeys(keys.public, keys.secret + "\n")
    assert keys.secret not in str(caught.value)
    with pytest.raises(ArgumentError, match="public takes a key"):
        auth.CurveKeys(keys.secret[:-1])


def test_keys_that_do_not_belong_together(tmp_path):
    keys, others = auth.generate(), auth.generate()
    for public, secret in ((keys.secret, keys.public), (others.public, keys.secret)):
        with pytest.raises(ArgumentError, match="public is not the key that belongs") as caught:
            auth.CurveKeys(public, secret)
        assert keys.secret not in str(caught.value)
    _, secret_file = auth.save(tmp_path, "alice", keys)
    secret_file.write_text(secret_file.read_text().replace(keys.public, others.public))
    with pytest.raises(ValueError, match="belongs to secret") as caught:
        auth.load(secret_file)
    assert keys.secret not in str(caught.value)


def test_saved_and_loaded(tmp_path):
    keys = auth.generate()
    public, secret = auth.save(tmp_path / "new", "alice", keys, {"email": "a@b", "name": "A # B"})
    assert [public.name, secret.name] == ["alice.key", "alice.key_secret"]
    assert (auth.load(public).public, auth.load(public).secret) == (keys.public, None)
    assert auth.load(str(secret)) == keys
    for path in (public, secret):
        assert auth.load(path).metadata == {"email": "a@b", "name": "A # B"}
    assert keys.secret not in public.read_text()
    assert sorted(path.name for path in public.parent.iterdir()) == [public.name, secret.name]


@posix
def test_modes(tmp_path):
    public, secret = auth.save(tmp_path, "alice", auth.generate())
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(public.stat().st_mode) == 0o644
    for mode in (0o640, 0o604, 0o660):
        secret.chmod(mode)
        with pytest.raises(Error, match="chmod 600") as caught:
            auth.load(secret)
        assert caught.value.code == "EACCES"
        assert auth.load(public).secret is None
    secret.chmod(0o400)
    assert auth.load(secret).secret


def test_saved_again(tmp_path):
    first, second = auth.generate(), auth.generate()
    _, path = auth.save(tmp_path, "alice", first, {"a": "1"})
    kept = auth.load(path)
    auth.save(tmp_path, "bob", kept)
    assert auth.load(tmp_path / "bob.key").metadata == {"a": "1"}
    auth.save(tmp_path, "alice", second)
    assert auth.load(path) == second
    assert auth.save(tmp_path, "eve", auth.load(tmp_path / "bob.key")) == (
        tmp_path / "eve.key",
        None,
    )
    assert not (tmp_path / "eve.key_secret").exists()


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "a\\b", "a\0b", "../up"])
def test_names_that_are_none(tmp_path, name):
    with pytest.raises(ArgumentError, match="cannot be the name"):
        auth.save(tmp_path, name, auth.generate())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "metadata", [{"a b": "c"}, {"a": "c\nd"}, {"a": 'c"'}, {"": "c"}, {"é": "c"}]
)
def test_metadata_that_cannot_be_written(tmp_path, metadata):
    with pytest.raises(ArgumentError, match="metadata"):
        auth.save(tmp_path, "alice", auth.generate(), metadata)
    assert list(tmp_path.iterdir()) == []


def test_keys_alone_are_saved(tmp_path):
    with pytest.raises(TypeError, match="CurveKeys, not tuple"):
        auth.save(tmp_path, "alice", ("a", "b"))


@pytest.mark.parametrize("metadata", [[("a", "b")], "name", 5])
def test_metadata_is_a_dict(tmp_path, metadata):
    with pytest.raises(TypeError, match="metadata is a dict"):
        auth.save(tmp_path, "alice", auth.generate(), metadata)
    assert list(tmp_path.iterdir()) == []


PUBLIC = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
SECRET = "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"


@pytest.mark.parametrize(
    ("text", "metadata"),
    [
        (f'curve\n    public-key = "{PUBLIC}"\n', {}),
        (f"curve\n\tpublic-key='{PUBLIC}'", {}),
        (f'curve\r\n    public-key = "{PUBLIC}"\r\n', {}),
        (f'\ufeffcurve\n  public-key = "{PUBLIC}"  # mine\n\n# end', {}),
        (f'metadata\n    name = A B  # who\ncurve\n    public-key = "{PUBLIC}"', {"name": "A B"}),
        (f'#  comment\nother\n    x = 1\ncurve\n    public-key = "{PUBLIC}"\n', {}),
    ],
)
def test_what_is_a_certificate(tmp_path, text, metadata):
    path = tmp_path / "a.key"
    path.write_text(text, encoding="utf-8", newline="")
    keys = auth.load(path)
    assert (keys.public, keys.secret, keys.metadata) == (PUBLIC, None, metadata)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "curve",
        "curve\n    public-key",
        f'public-key = "{PUBLIC}"',
        f'    public-key = "{PUBLIC}"\ncurve\n',
        f'curve\n    public-key = "{PUBLIC[:-1]}"',
        f'curve\n    public-key = "{PUBLIC}\n',
        f'curve\n    public-key = "{PUBLIC} "',
        f'curve\n    public-key = "{PUBLIC}"\n    public-key = "{PUBLIC}"',
        f'curve\n    public-key = "{PUBLIC}"\ncurve\n    public-key = "{SECRET}"',
        f'curve\n    public-key = "{PUBLIC}"\n    secret-key = "{SECRET[:-2]}"',
        f'metadata\n    public-key = "{PUBLIC}"\n',
        f'curve\n    secret-key = "{SECRET}"',
        "x" * 70_000,
        "\udcff",
    ],
)
def test_what_is_none(tmp_path, text):
    path = tmp_path / "a.key_secret"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    path.chmod(0o600)
    with pytest.raises(ArgumentError, match=r"a.key_secret' is no certificate") as caught:
        auth.load(path)
    assert SECRET[:-2] not in str(caught.value)


def test_keys_of_two_pairs_are_no_certificate(tmp_path):
    path = tmp_path / "a.key_secret"
    path.write_text(f'curve\n    public-key = "{SECRET}"\n    secret-key = "{PUBLIC}"\n')
    path.chmod(0o600)
    with pytest.raises(ArgumentError, match="the two of one pair") as caught:
        auth.load(path)
    assert str(caught.value).count("[EINVAL]") == 1


@pytest.mark.parametrize("kind", [int, bool])
def test_a_descriptor_is_no_path(kind, monkeypatch):
    """It would be read and closed, and it is another file's of the program."""
    opened = []
    monkeypatch.setattr("builtins.open", lambda *arguments, **_: opened.append(arguments))
    with pytest.raises(TypeError, match=rf"os.PathLike object, not {kind.__name__}"):
        auth.load(kind(1))
    assert opened == []


@posix
def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "a.key")
    with pytest.raises(ArgumentError, match="no regular file"):
        auth.load(tmp_path / "a.key")  # and does not wait for a writer
    with pytest.raises(FileNotFoundError):
        auth.load(tmp_path / "b.key")
    with pytest.raises(IsADirectoryError):
        auth.load(tmp_path)


def test_pyzmq_reads_ours(tmp_path):
    keys = auth.generate()
    for path, secret in zip(
        auth.save(tmp_path, "a", keys, {"x": "y"}), (None, keys.secret), strict=True
    ):
        found = zmq.auth.load_certificate(path)
        assert found == (keys.public.encode(), secret and secret.encode())
    assert zmq.auth.load_certificates(tmp_path) == {keys.public.encode(): True}


def test_we_read_pyzmqs(tmp_path):
    public, secret = zmq.auth.create_certificates(tmp_path, "a")
    keys = auth.load(secret) if sys.platform == "win32" else _private(secret)
    assert zmq.auth.load_certificate(secret) == (keys.public.encode(), keys.secret.encode())
    assert auth.load(public).public == keys.public
    assert auth.load(public).metadata == {}


def _private(path):
    with pytest.raises(Error, match="chmod 600"):  # pyzmq leaves that to the umask
        auth.load(path)
    Path(path).chmod(0o600)
    return auth.load(path)
