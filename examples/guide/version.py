"""Versions: ratchet's own, libzmq's, and what that can do (ZeroMQ Guide, chapter 1: version)."""

import ratchet

if __name__ == "__main__":
    print(f"ratchet {ratchet.__version__}", "on libzmq", *ratchet.libzmq_version())
    print("CURVE:", ratchet.has("curve"))
