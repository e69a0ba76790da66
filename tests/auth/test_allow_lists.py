"""Lists of who may connect, without a socket: keys, folders that change, networks."""

import errno
import ipaddress
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet import ArgumentError, _allow_lists, auth
from ratchet._allow_lists import Folder, KeyList, Networks, to_address
from ratchet.z85 import decode


@pytest.fixture(scope="module")
def keys():
    return [auth.generate().public for _ in range(4)]


@pytest.fixture
def said():
    return []


def write(path, key, secret=None):
    secret = f'    secret-key = "{secret}"\n' if secret else ""
    path.write_text(f'curve\n    public-key = "{key}"\n{secret}')


def found(folder):
    folder.look()
    return set(folder.keys.values())


# Keys


def test_keys_in_every_form(keys):
    listed = KeyList([keys[0], keys[1].encode(), decode(keys[2]), auth.CurveKeys(keys[3])], print)
    for key in keys:
        assert listed.find(decode(key)) == key
    assert listed.find(bytes(32)) is None
    assert KeyList([], print).find(decode(keys[0])) is None


@pytest.mark.parametrize("around", [" {}", "{}\n", "{}\r\n", "\t{} "])
def test_keys_with_line_ends_are_refused(keys, around):
    with pytest.raises(ArgumentError, match="strip") as caught:
        KeyList([around.format(keys[0])], print)
    assert keys[0] not in str(caught.value)


def test_what_is_neither_key_nor_folder(keys, tmp_path):
    for wrong in (keys[0][:-1], keys[0] + "x", "~" * 40):
        with pytest.raises(ArgumentError, match="is no folder, and no key") as caught:
            KeyList([wrong], print)
        assert wrong not in str(caught.value)
    with pytest.raises(ArgumentError, match=r"'missing' is no folder"):
        KeyList(["missing"], print)
    for wrong in (b"x" * 31, b"\xff" * 40, "é".encode() * 20):
        with pytest.raises(ArgumentError, match="32 bytes"):
            KeyList([wrong], print)
    for wrong in (None, 7, [keys[0]]):
        with pytest.raises(TypeError, match="CLIENTS takes public keys"):
            KeyList([wrong], print)
    public, secret = auth.save(tmp_path, "a", auth.generate())
    with pytest.raises(ArgumentError, match=r"auth\.load"):
        KeyList([public], print)
    with pytest.raises(ArgumentError, match="the public ones"):
        KeyList([secret], print)


# Folders


def test_a_folder_that_changes(tmp_path, keys, said):
    folder = Folder(str(tmp_path), said.append)
    assert found(folder) == set()
    write(tmp_path / "a.key", keys[0])
    assert found(folder) == {keys[0]}
    write(tmp_path / "b.cert", keys[1])
    write(tmp_path / "c.txt", keys[2])
    assert found(folder) == {*keys[:3]}
    write(tmp_path / "a.key", keys[3])  # of the same size, and perhaps in the same tick
    assert found(folder) == {*keys[1:]}
    (tmp_path / "b.cert").unlink()
    assert found(folder) == {keys[2], keys[3]}
    (tmp_path / "a.key").rename(tmp_path / "a.key.revoked")
    assert found(folder) == {keys[2]}
    (tmp_path / "a.key.revoked").replace(tmp_path / "c.txt")
    assert found(folder) == {keys[3]}
    assert said == []


def test_what_is_written_in_the_same_tick_is_seen(tmp_path, keys, said, monkeypatch):
    """As on a file system whose clock stands still."""
    monkeypatch.setattr(_allow_lists, "_stamp", lambda _: (0,))
    folder = Folder(str(tmp_path), said.append)
    for key in [*keys, *keys]:
        write(tmp_path / "a.key", key)
        assert found(folder) == {key}


def test_what_has_not_changed_is_not_read_again(tmp_path, keys, said, monkeypatch):
    write(tmp_path / "a.key", keys[0])
    write(tmp_path / "b.key", keys[1])
    folder = Folder(str(tmp_path), said.append)
    monkeypatch.setattr(_allow_lists, "TICK", -1)  # all is old enough
    read = []
    real = _allow_lists.read
    monkeypatch.setattr(_allow_lists, "read", lambda path: read.append(path.name) or real(path))
    for _ in range(3):
        assert found(folder) == {keys[0], keys[1]}
    assert sorted(read) == ["a.key", "b.key"]
    time.sleep(0.03)  # a tick
    write(tmp_path / "b.key", keys[2])
    assert found(folder) == {keys[0], keys[2]}
    assert read[2:] == ["b.key"]


def test_a_large_folder_is_looked_at_now_and_then(tmp_path, keys, said, monkeypatch):
    write(tmp_path / "a.key", keys[0])
    folder = Folder(str(tmp_path), said.append)
    monkeypatch.setattr(_allow_lists, "TICK", -1)
    monkeypatch.setattr(_allow_lists, "FEW", 0)
    monkeypatch.setattr(_allow_lists, "LOOKS", 1e9)
    assert found(folder) == {keys[0]}
    scans = []
    real = folder._scan
    monkeypatch.setattr(folder, "_scan", lambda: scans.append(1) or real())
    for _ in range(3):
        assert found(folder) == {keys[0]}
    assert scans == []
    time.sleep(0.03)
    (tmp_path / "a.key").unlink()  # what is added or taken away is seen at once
    assert found(folder) == set()
    assert scans == [1]


def test_half_written_files_keep_out_their_owner_alone(tmp_path, keys, said):
    folder = Folder(str(tmp_path), said.append)
    write(tmp_path / "a.key", keys[0])
    whole = (tmp_path / "a.key").read_text()
    for size in range(len(whole)):
        (tmp_path / "b.key").write_text(whole.replace(keys[0], keys[1])[:size])
        allowed = found(folder)
        assert allowed <= {keys[0], keys[1]}
        assert keys[0] in allowed
    assert "b.key' lets nobody in" in said[0]
    assert not any(key in text for key in keys for text in said)
    said.clear()
    (tmp_path / "b.key").write_text("half")
    for _ in range(3):
        assert found(folder) == {keys[0]}
    assert len(said) <= 1  # once for each reason


def test_what_is_no_certificate_of_a_client(tmp_path, keys, said):
    secret = auth.generate()
    write(tmp_path / "good.key", keys[0])
    write(tmp_path / "editor.key~", keys[1])
    write(tmp_path / ".hidden.key", keys[1])
    write(tmp_path / "old.key.bak", keys[1])
    write(tmp_path / "x.key_secret", keys[1], secret.secret)
    (tmp_path / "folder.key").mkdir()
    write(tmp_path / "folder.key" / "deep.key", keys[1])
    (tmp_path / "gone.key").symlink_to(tmp_path / "nothing")
    (tmp_path / "link.key").symlink_to(tmp_path / "good.key")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.key")
    folder = Folder(str(tmp_path), said.append)
    for _ in range(2):
        assert found(folder) == {keys[0]}
    assert len([text for text in said if "folder.key" in text]) == 1
    # A certificate with both keys, in a folder of public ones, lets in its owner.
    write(tmp_path / "both.key", secret.public, secret.secret)
    assert found(folder) == {keys[0], secret.public}


def test_a_folder_that_is_gone_lets_in_nobody(tmp_path, keys, said):
    place = tmp_path / "clients"
    place.mkdir()
    write(place / "a.key", keys[0])
    listed = KeyList([place, keys[1]], said.append)
    assert listed.find(decode(keys[0])) == keys[0]
    place.rename(tmp_path / "away")
    for key in (keys[0], keys[2]):
        with pytest.raises(FileNotFoundError):
            listed.find(decode(key))
    assert listed.find(decode(keys[1])) == keys[1]
    (tmp_path / "away").rename(place)
    assert listed.find(decode(keys[0])) == keys[0]
    assert listed.find(decode(keys[2])) is None


def test_a_lack_of_descriptors_lasts_no_longer_than_it_does(tmp_path, keys, said, monkeypatch):
    write(tmp_path / "a.key", keys[0])
    monkeypatch.setattr(_allow_lists, "TICK", -1)

    def fails(*_):
        raise OSError(errno.EMFILE, "too many")

    for name in ("scandir", "read"):
        folder = Folder(str(tmp_path), said.append)
        with monkeypatch.context() as patch:
            patch.setattr(_allow_lists.os if name == "scandir" else _allow_lists, name, fails)
            for _ in range(2):
                with pytest.raises(OSError, match="too many"):
                    folder.look()
                assert folder.keys == {}
        assert found(folder) == {keys[0]}


def test_relative_folders_stay_what_they_were(tmp_path, keys, said, monkeypatch):
    (tmp_path / "clients").mkdir()
    write(tmp_path / "clients" / "a.key", keys[0])
    monkeypatch.chdir(tmp_path)
    listed = KeyList(["clients"], said.append)
    monkeypatch.chdir("/")
    assert listed.find(decode(keys[0])) == keys[0]


# Networks

addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


@given(st.data())
def test_networks_are_those_of_ipaddress(data):
    networks = []
    for address in data.draw(st.lists(addresses, max_size=5)):
        length = data.draw(st.integers(0, address.max_prefixlen))
        networks.append(ipaddress.ip_network((address, length), strict=False))
    asked = [data.draw(addresses), *(network[0] for network in networks)]
    listed = Networks("ALLOW", map(str, networks))
    for address in asked:
        plain = to_address(str(address))
        wanted = any(plain in network for network in map(_plain, networks))
        assert (plain in listed) == wanted


def _plain(network):
    if network.version == 6 and network.prefixlen >= 96 and network[0].ipv4_mapped:
        return ipaddress.ip_network((network[0].ipv4_mapped, network.prefixlen - 96))
    return network


def test_ipv4_in_ipv6():
    for listed in (["10.0.0.0/8"], ["::ffff:10.0.0.0/104"], [ipaddress.ip_network("10.0.0.0/8")]):
        networks = Networks("ALLOW", listed)
        for inside in ("10.1.2.3", "::ffff:10.1.2.3", "::ffff:a01:203"):
            assert to_address(inside) in networks
        for outside in ("11.0.0.0", "::ffff:11.0.0.0", "::1", "::10.1.2.3"):
            assert to_address(outside) not in networks
    assert to_address("fe80::1%eth0") in Networks("ALLOW", ["fe80::/10"])
    assert to_address("1.2.3.4") in Networks("ALLOW", [ipaddress.ip_address("1.2.3.4")])


@pytest.mark.parametrize("wrong", ["10.0.0.1/8", "10.0.0.0/33", "host", "", "10.0.0.0-10.0.0.9"])
def test_what_is_no_network(wrong):
    with pytest.raises(ArgumentError, match="DENY takes addresses and networks, not"):
        Networks("DENY", [wrong])


@pytest.mark.parametrize("wrong", [7, True, b"\x01\x02\x03\x04", None, ("10.0.0.0", 8)])
def test_what_ipaddress_would_take_for_one(wrong):
    with pytest.raises((TypeError, ArgumentError), match="DENY takes addresses and networks"):
        Networks("DENY", [wrong])
