"""Generates the Python code of the wire contract, in an environment of its own, and with --check compares instead of writing.

The generator is pinned below what a development environment has, because generated code refuses a protobuf runtime that is older than
its generator: grpcio-tools 1.74 makes code for protobuf 6.31, which runs on 6 and 7.
"""

from __future__ import annotations

import argparse
import filecmp
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

PINS = ["grpcio-tools==1.74.0", "protobuf==6.31.1", "mypy-protobuf==3.6.0", "setuptools<81"]
HERE = Path(__file__).resolve().parent


def environment(at: Path) -> Path:
    """Returns the interpreter of an environment at `at` that holds exactly the pinned generator, made when it is not there."""
    python = at / "bin" / "python"
    marker = at / "pins"
    if not marker.exists() or marker.read_text() != "\n".join(PINS):
        venv.create(at, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PINS], check=True)
        marker.write_text("\n".join(PINS))
    return python


def generate(python: Path, out: Path) -> None:
    """Generates messages, services and their stubs below `out`."""
    protos = sorted(str(p.relative_to(HERE)) for p in (HERE / "headway_api").rglob("*.proto"))
    outs = [f"--{kind}_out={out}" for kind in ("python", "mypy", "grpc_python", "mypy_grpc")]
    plugins = [
        f"--plugin=protoc-gen-{n}={python.parent / f'protoc-gen-{n}'}"
        for n in ("mypy", "mypy_grpc")
    ]
    subprocess.run(
        [python, "-m", "grpc_tools.protoc", "-I.", *plugins, *outs, *protos], check=True, cwd=HERE
    )
    for path in out.rglob("*_pb2_grpc.py*"):
        if (
            "agent_service" not in path.name
        ):  # files without a service get empty modules: leave them out
            path.unlink()


def main() -> int:
    """Writes the generated code, or says which files differ."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument(
        "--check",
        action="store_true",
        help="write nothing; exit 1 when generated code is not current",
    )
    arguments.add_argument(
        "--environment",
        type=Path,
        default=HERE.parent / ".venv-proto",
        help="where the generator is installed",
    )
    options = arguments.parse_args()
    python = environment(options.environment)
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        generate(python, out)
        made = {p.relative_to(out) for p in out.rglob("*_pb2*")}
        there = {
            p.relative_to(HERE)
            for p in (HERE / "headway_api").rglob("*_pb2*.py*")
            if "__pycache__" not in p.parts
        }
        stale = sorted(str(p) for p in made ^ there) + sorted(
            str(p) for p in made & there if not filecmp.cmp(out / p, HERE / p, shallow=False)
        )
        if options.check:
            if stale:
                sys.stderr.write(
                    "Generated code is not current (run `make proto`): " + ", ".join(stale) + "\n"
                )
            return 1 if stale else 0
        for path in there - made:
            (HERE / path).unlink()
        for path in made:
            shutil.copyfile(out / path, HERE / path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
