"""Programs of Node's with its zeromq, as peers.

It is looked for where ``npm install --prefix build/node zeromq`` puts it, and by NODE_PATH.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

NODE = Path(__file__).parents[2] / "build" / "node" / "node_modules"


def programs_of_node():
    """Do what a fixture does: yield what starts a program, of a text and its arguments."""
    paths = os.pathsep.join([str(NODE), os.environ.get("NODE_PATH", "")])
    environment = {**os.environ, "NODE_PATH": paths}
    program = shutil.which("node")
    found = program and subprocess.run(
        [program, "-e", "require('zeromq')"], env=environment, capture_output=True, check=False
    )
    if not found or found.returncode:
        pytest.skip("no Node with zeromq here (npm install --prefix build/node zeromq)")
    started = []

    def start(text, *given):
        command = [program, "-e", text, json.dumps(given)]
        started.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()
