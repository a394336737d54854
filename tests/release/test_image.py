"""The image: its packages, its size, and the arguments of its Dockerfile."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import distributions, packages_distributions, version
from pathlib import Path

from scripts.release.lock import installed_bytes, locked

from tests.support.figures import Figures
from tests.support.programs import PROJECT

MAX_LAYERS_MB = 150
LOCK = locked((PROJECT / "requirements" / "runtime.txt").read_text())
METADATA = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
IMPORTS = """
import importlib, pathlib, sys
blocked, package = set(sys.argv[1].split(",")), pathlib.Path(sys.argv[2])
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name in blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
paths = [path for folder in sys.argv[3:] for path in sorted(package.glob(folder)) if path.name != "__main__.py"]
for path in paths:
    importlib.import_module(".".join(["manyserve", *path.relative_to(package).with_suffix("").parts]))
print(len(paths))
"""


def imported(blocked: Iterable[str], *patterns: str) -> int:
    """Import the modules of these paths in a process without some packages, and return their number."""
    package = PROJECT / "src" / "manyserve"
    words = [sys.executable, "-c", IMPORTS, ",".join(sorted(blocked)), str(package), *patterns]
    env = {"PYTHONPATH": str(PROJECT / "src")}
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def normalized(name: str) -> str:
    """Return the name of a package in the form of the locks."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", name, maxsplit=1)[0]).lower()


def tops(*, of: set[str] | None = None, outside: set[str] | None = None) -> set[str]:
    """Return the names to import of these packages, or of all packages outside of some."""
    found = {top: {normalized(each) for each in names} for top, names in packages_distributions().items()}
    if of is not None:
        return {top for top, names in found.items() if names <= of}
    return {top for top, names in found.items() if not names & (outside or set())}


def names(requirements: list[str]) -> set[str]:
    """Return the packages of some requirements."""
    return {normalized(each) for each in requirements}


def test_image_imports_every_module_with_the_packages_of_its_lock_only() -> None:
    blocked = tops(outside={each.name for each in LOCK} | {"manyserve"})
    assert {"kubernetes", "pytest", "requests"} <= blocked
    assert imported(blocked, "**/*.py") > 200


def test_client_imports_its_modules_without_the_packages_of_the_server() -> None:
    blocked = tops(of=names(METADATA["optional-dependencies"]["server"]))
    assert {"kopf", "grpc", "obstore", "cryptography"} <= blocked
    assert imported(blocked, "cli.py", "api/**/*.py", "check/**/*.py", "plan/**/*.py", "cluster/client.py") > 100


def test_lock_of_the_image_has_the_packages_of_the_extra_server_and_not_those_of_kubeconfigs() -> None:
    extras = METADATA["optional-dependencies"]
    asked = {each.name for each in LOCK if "-r requirements/runtime.in" in each.needed_by}
    assert asked == names(METADATA["dependencies"]) | names(extras["server"])
    assert not names(extras["kubeconfig"]) & {each.name for each in LOCK}


def test_lock_of_the_image_is_a_part_of_the_lock_of_the_tests() -> None:
    tested = {(each.name, each.version) for each in locked((PROJECT / "requirements" / "dev.txt").read_text())}
    assert {(each.name, each.version) for each in LOCK} <= tested


def test_layers_of_the_image_above_its_base_are_small(chart_figures: Figures) -> None:
    names_here = {normalized(each.name) for each in distributions()}
    needed = [each for each in LOCK if each.name in names_here]  # the others are for other platforms
    assert len(needed) > len(LOCK) - 5
    assert [each.name for each in needed if version(each.name) != each.version] == []
    source = sum(path.stat().st_size for path in (PROJECT / "src").rglob("*.py"))
    size = sum(installed_bytes(each.name) for each in needed) + 2 * source  # with the bytecode
    chart_figures.take("image: packages above the base, uncompressed", size / 1e6, "MB", below=MAX_LAYERS_MB)
    assert size / 1e6 < MAX_LAYERS_MB


def test_dockerfile_takes_its_base_as_an_argument_and_has_the_labels_of_oci() -> None:
    text = (PROJECT / "Dockerfile").read_text()
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["${BASE}", "dependencies", "${BASE}"]
    arguments = set(re.findall(r"^ARG (\w+)", text, re.MULTILINE))
    assert arguments == {"BASE", "VERSION", "REVISION", "CREATED"}
    labels = set(re.findall(r"org\.opencontainers\.image\.([\w.]+)=", text))
    assert labels >= {"title", "licenses", "version", "revision", "created", "base.name"}


def test_dockerfile_copies_files_that_the_build_context_has() -> None:
    ignored = (PROJECT / ".dockerignore").read_text()
    sources = re.findall(r"^COPY (?!--from)(.*) \S+$", (PROJECT / "Dockerfile").read_text(), re.MULTILINE)
    for source in " ".join(sources).split():
        assert (PROJECT / source).exists()
        assert f"!{Path(source).parts[0]}" in ignored


def test_bake_file_gives_the_dockerfile_its_arguments_for_both_architectures() -> None:
    text = (PROJECT / "docker-bake.hcl").read_text()
    arguments = re.findall(r"^ARG (\w+)", (PROJECT / "Dockerfile").read_text(), re.MULTILINE)
    given = dict(re.findall(r"^    (\w+) += (\w+)$", text, re.MULTILINE))
    assert given == {name: name for name in arguments}
    assert set(given) < set(re.findall(r'^variable "(\w+)"', text, re.MULTILINE))
    assert '["linux/amd64", "linux/arm64"]' in text
    assert "Rendered, not run" in text
