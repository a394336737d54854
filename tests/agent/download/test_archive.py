"""Unpacking of archives, and the refusal of bad ones."""

import gzip
import io
import os
import random
import stat
import struct
import tarfile
import tempfile
import tracemalloc
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyserve.agent.download import DownloadError
from manyserve.agent.download.archive.downloader import ArchiveKind, ArchiveLimits, archive_kind
from manyserve.agent.download.archive.formats import DIRECTORY_BYTES
from manyserve.agent.download.archive.unpack import ArchiveNames
from tests.agent.download.archives import (
    LOOSE,
    URI,
    contents,
    entry,
    folders,
    tar,
    tar_gz,
    tar_of,
    tar_of_global_headers,
    unpack_all,
    zipped,
)

MODEL = (("config.pbtxt", b"name"), ("1/model.onnx", b"weights" * 100_000))
WHOLE = {"config.pbtxt": b"name", "1/model.onnx": b"weights" * 100_000}
PACKED = {
    ArchiveKind.TAR: tar_of(MODEL),
    ArchiveKind.TAR_GZ: gzip.compress(tar_of(MODEL)),
    ArchiveKind.ZIP: zipped(*MODEL),
}


def refused(folder: Path, data: bytes, kind: ArchiveKind, limits: ArchiveLimits = LOOSE) -> str:
    """Return the problem of an archive, without the common start of the message."""
    with pytest.raises(DownloadError) as caught:
        unpack_all(folder, data, kind, limits)
    assert caught.value.permanent
    assert caught.value.reason == "bad_archive"
    before, colon, words = str(caught.value).partition("https://host/model was not unpacked: ")
    assert not before, colon
    assert words.isprintable()
    return words


@pytest.mark.parametrize("kind", ArchiveKind)
def test_archive_is_unpacked_with_its_layout(tmp_path: Path, kind: ArchiveKind) -> None:
    assert unpack_all(tmp_path / "a", PACKED[kind], kind) == WHOLE


def test_archive_of_common_tools_is_unpacked(tmp_path: Path) -> None:
    folders = (entry("./", b"", tarfile.DIRTYPE), entry("./1/", b"", tarfile.DIRTYPE))
    data = tar(*folders, entry("./1/model.onnx"), entry("./1/", b"", tarfile.DIRTYPE), entry("./empty", b""))
    assert unpack_all(tmp_path / "a", data, ArchiveKind.TAR) == {"1/model.onnx": b"x", "empty": b""}
    assert unpack_all(tmp_path / "b", zipped(("1/", b""), ("1/x", b"1")), ArchiveKind.ZIP) == {"1/x": b"1"}
    assert unpack_all(tmp_path / "c", _with_library("ü" * 120 + "/x", tarfile.PAX_FORMAT), ArchiveKind.TAR)
    assert unpack_all(tmp_path / "d", _with_library("n" * 200 + "/x", tarfile.GNU_FORMAT), ArchiveKind.TAR)
    assert unpack_all(tmp_path / "e", zipped(("ünï", b"1"), compression=zipfile.ZIP_STORED), ArchiveKind.ZIP) == {
        "ünï": b"1"
    }


@pytest.mark.parametrize("kind", [ArchiveKind.TAR, ArchiveKind.ZIP])
@pytest.mark.parametrize("top", ["", "m/"])
def test_archive_empty_folders_are_part_of_model(tmp_path: Path, kind: ArchiveKind, top: str) -> None:
    config, inner = f"{top}config.pbtxt", (f"{top}1/", f"{top}2/inner/")
    packed = {
        ArchiveKind.TAR: tar(entry(config), *(entry(name, b"", tarfile.DIRTYPE) for name in inner)),
        ArchiveKind.ZIP: zipped((config, b"x"), *((name, b"") for name in inner)),
    }
    assert unpack_all(tmp_path / "a", packed[kind], kind) == {"config.pbtxt": b"x"}
    assert folders(tmp_path / "a") == {"1", "2", "2/inner"}


def _with_library(name: str, form: int) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as packed:
        packed.addfile(tarfile.TarInfo(name), io.BytesIO(b""))
    return file.getvalue()


def test_archive_with_single_model_folder_is_lifted(tmp_path: Path) -> None:
    files = [("m/config.pbtxt", b"c"), ("m/1/x", b"1"), ("m/m/y", b"2")]
    assert unpack_all(tmp_path / "a", tar_of(files), ArchiveKind.TAR) == {
        "config.pbtxt": b"c",
        "1/x": b"1",
        "m/y": b"2",
    }
    as_is = [("m/model.joblib", b"c"), ("m/1/x", b"1")]
    assert unpack_all(tmp_path / "b", tar_of(as_is), ArchiveKind.TAR) == dict(as_is)


def test_archive_with_single_folder_of_versions_is_lifted(tmp_path: Path) -> None:
    files = [("densenet/1/model.onnx", b"1"), ("densenet/2/model.onnx", b"2")]
    lifted = {"1/model.onnx": b"1", "2/model.onnx": b"2"}
    assert unpack_all(tmp_path / "a", tar_of(files), ArchiveKind.TAR) == lifted
    version = [("1/1/variables", b"1")]
    assert unpack_all(tmp_path / "b", tar_of(version), ArchiveKind.TAR) == dict(version)


def test_archive_of_macos_is_lifted_beside_its_own_entries(tmp_path: Path) -> None:
    own = {"__MACOSX/m/._config.pbtxt": b"x", "._m": b"x", ".DS_Store": b"x"}
    data = tar_of([("m/config.pbtxt", b"c"), ("m/1/x", b"1"), *own.items()])
    assert unpack_all(tmp_path / "a", data, ArchiveKind.TAR) == {"config.pbtxt": b"c", "1/x": b"1"} | own


def test_archive_member_may_have_name_of_archive(tmp_path: Path) -> None:
    assert unpack_all(tmp_path / "a", tar_of([("model", b"1")]), ArchiveKind.TAR) == {"model": b"1"}


def test_archive_modes_come_from_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        unpack_all(tmp_path / "a", tar(entry("x", mode=0o6777), entry("1/y", mode=0)), ArchiveKind.TAR)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a").rglob("*")}
    assert modes == {"x": 0o640, "1": 0o750, "y": 0o640}


BAD_NAMES = {
    "line break": ("a\nb", "has a line break in it"),
    "parent": ("../x", "'../x' leads out of the folder"),
    "parent within": ("a/../../x", "'a/../../x' leads out of the folder"),
    "parent that stays": ("a/../x", "'a/../x' leads out of the folder"),
    "absolute": ("/abs", "'/abs' is an absolute name"),
    "1,000 folders deep": ("d/" * 1000, "folders deep"),
    "300 bytes": ("n" * 300, "is too long"),
    "not UTF-8": ("caf\udce9", "'caf\\udce9' is no UTF-8"),
}
LINKS = {
    "link to outside": (entry("l", b"", tarfile.SYMTYPE, linkname="/etc"), "'l' is a link; only files and folders"),
    "link that stays": (entry("l", b"", tarfile.SYMTYPE, linkname="x"), "'l' is a link"),
    "link loop": (entry("l", b"", tarfile.SYMTYPE, linkname="l"), "'l' is a link"),
    "hard link": (entry("h", b"", tarfile.LNKTYPE, linkname="x"), "'h' is a link"),
    "character device": (entry("c", b"", tarfile.CHRTYPE), "'c' is a device or a pipe"),
    "block device": (entry("b", b"", tarfile.BLKTYPE), "'b' is a device or a pipe"),
    "fifo": (entry("f", b"", tarfile.FIFOTYPE), "'f' is a device or a pipe"),
    "unknown type": (entry("u", b"", b"Z"), "'u' "),
    "same name twice": (entry("x") + entry("x"), "'x' is there twice"),
    "same name twice, other spelling": (entry("x") + entry("./x"), "'./x' is there twice"),
    "file that is a folder": (entry("x") + entry("x/y"), "'x/y' is there twice"),
    "folder that is a file": (entry("x/y") + entry("x"), "'x' is there twice"),
    "A and a": (entry("A") + entry("a"), "'a' and 'A' differ only in capital letters"),
    "A/x and a/y": (entry("A/x") + entry("a/y"), "'a/y' and 'A' differ only in capital letters"),
    "huge": (entry("x", b"", size=2**40), "it unpacks to more than the limit of 104857600 bytes"),
    "negative": (entry("x", b"", size=-1), "'x' has an impossible size"),
}


@pytest.mark.parametrize("case", BAD_NAMES)
def test_input_11_tar_with_bad_name_is_refused(tmp_path: Path, case: str) -> None:
    name, words = BAD_NAMES[case]
    assert words in refused(tmp_path / "a", tar(entry("first"), entry(name)), ArchiveKind.TAR)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("case", LINKS)
@pytest.mark.parametrize("pack", [tar, tar_gz])
def test_input_11_tar_with_bad_member_is_refused(tmp_path: Path, case: str, pack: object) -> None:
    data, words = LINKS[case]
    kind = ArchiveKind.TAR if pack is tar else ArchiveKind.TAR_GZ
    packed = tar(data) if pack is tar else tar_gz(data)
    assert words in refused(tmp_path / "a", packed, kind)
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


def test_input_11_tar_with_million_entries_ends_at_limit(tmp_path: Path) -> None:
    data = gzip.compress(b"".join(entry(f"f{number}", b"") for number in range(2000)))
    limits = ArchiveLimits(files=50, bytes=1000, ratio=100)
    assert refused(tmp_path / "a", data, ArchiveKind.TAR_GZ, limits) == "it has more than 50 entries"
    assert len(contents(tmp_path / "a")) == 50


def test_input_11_tar_with_sparse_file_is_refused(tmp_path: Path) -> None:
    sparse = entry("s", b"", tarfile.GNUTYPE_SPARSE)
    assert "'s' is a sparse file" in refused(tmp_path / "a", tar(sparse), ArchiveKind.TAR)
    pax = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.size": str(2**40), "GNU.sparse.map": "0,1"}
    info = tarfile.TarInfo("t")
    info.size, info.pax_headers = 1, pax
    data = info.tobuf(tarfile.PAX_FORMAT) + b"x" + bytes(511)
    assert "'t' is a sparse file" in refused(tmp_path / "b", tar(data), ArchiveKind.TAR)


@pytest.mark.parametrize("kind", ArchiveKind)
def test_input_11_and_12_archive_cut_short_is_refused(tmp_path: Path, kind: ArchiveKind) -> None:
    small = [("config.pbtxt", b"name"), ("1/model", random.Random(1).randbytes(2000)), ("2/model", b"x" * 512)]
    whole = {
        ArchiveKind.TAR: tar_of(small),
        ArchiveKind.TAR_GZ: gzip.compress(tar_of(small)),
        ArchiveKind.ZIP: zipped(*small),
    }[kind]
    least = len(whole) - 1024 if kind is ArchiveKind.TAR else len(whole)  # one block of zeros is enough as its end
    for length in {*range(600, least, 97), *range(least - 20, least)}:
        assert refused(tmp_path / f"{length}", whole[:length], kind)


@pytest.mark.parametrize("kind", ArchiveKind)
@pytest.mark.parametrize("junk", [b"junk", b"\0" * 2_000_000 + b"x", entry("more")])
def test_input_11_and_12_archive_with_data_behind_end_is_refused(
    tmp_path: Path, kind: ArchiveKind, junk: bytes
) -> None:
    words = refused(tmp_path / "a", PACKED[kind] + junk, kind)
    assert "behind its end" in words or "no whole" in words


def test_input_11_tar_with_huge_headers_is_refused(tmp_path: Path) -> None:
    pax = tarfile.TarInfo("PaxHeader")
    pax.type, pax.size = tarfile.XHDTYPE, 10**9
    data = gzip.compress(pax.tobuf() + bytes(1024**2))
    assert "its headers are too long" in refused(tmp_path / "a", data, ArchiveKind.TAR_GZ)
    chain = b"".join(entry("L", b"n" * 100, tarfile.GNUTYPE_LONGNAME) for _ in range(1000))
    assert refused(tmp_path / "b", tar(chain, entry("x")), ArchiveKind.TAR)


def test_input_11_tar_with_many_global_headers_is_refused(tmp_path: Path) -> None:
    assert len(unpack_all(tmp_path / "a", tar_of_global_headers(100), ArchiveKind.TAR)) == 100
    assert refused(tmp_path / "b", tar_of_global_headers(101), ArchiveKind.TAR) == "its headers are too long"


def test_input_12_zip_with_huge_directory_is_refused_in_little_memory(tmp_path: Path) -> None:
    data = zipped(*((f"{number:060}", b"") for number in range(10_000)), compression=zipfile.ZIP_STORED)
    tracemalloc.start()
    words = refused(tmp_path / "a", data, ArchiveKind.ZIP)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "its headers are too long" in words
    assert most < 4 * DIRECTORY_BYTES


@pytest.mark.parametrize("kind", ArchiveKind)
def test_input_12_archive_over_limit_is_refused(tmp_path: Path, kind: ArchiveKind) -> None:
    few = ArchiveLimits(files=10, bytes=1000, ratio=100)
    assert refused(tmp_path / "a", PACKED[kind], kind, few) == "it unpacks to more than the limit of 1000 bytes"
    assert refused(tmp_path / "b", PACKED[kind], kind, ArchiveLimits(1, 10**7, 100)) == "it has more than 1 entries"


@pytest.mark.parametrize("kind", [ArchiveKind.TAR_GZ, ArchiveKind.ZIP])
def test_input_12_archive_with_ratio_of_bomb_is_refused(tmp_path: Path, kind: ArchiveKind) -> None:
    zeros = bytes(80 * 1024**2)
    data = zipped(("x", zeros)) if kind is ArchiveKind.ZIP else gzip.compress(tar(entry("x", zeros)), 1)
    assert refused(tmp_path / "a", data, kind) == "it unpacks to more than 100 times its size"
    assert not contents(tmp_path / "a")


def _zip_of(name: str, **fields: int) -> bytes:
    info = zipfile.ZipInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    return zipped((info, b"x"))


def _encrypted() -> bytes:
    data = bytearray(zipped(("x", b"1")))
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    return bytes(data)


def _renamed(inner: bytes) -> bytes:
    """Return a zip with different names in its directory and at the member."""
    data = zipped(("good", b"1"))
    return data.replace(b"good", inner, 1)


def _lying_size() -> bytes:
    data = bytearray(zipped(("x", b"content"), compression=zipfile.ZIP_STORED))
    at = data.index(b"PK\1\2") + 24
    data[at : at + 4] = struct.pack("<I", 3)
    return bytes(data)


def _overlapping() -> bytes:
    """Return a zip with two names for one member in its directory: such a bomb has any ratio."""
    data = zipped(("x", b"1"), ("y", b"2"))
    first = data.index(b"PK\1\2")
    second = data.index(b"PK\1\2", first + 1)
    return data[: second + 42] + struct.pack("<I", 0) + data[second + 46 :]


def _miscounted() -> bytes:
    data = bytearray(zipped(("x", b"1"), ("y", b"2")))
    data[-12] = data[-14] = 1
    return bytes(data)


def _raw_name() -> bytes:
    """Return a zip with a name in Latin-1 and without the UTF-8 flag, as old tools write it."""
    return zipped(("cafe", b"1")).replace(b"cafe", b"caf\xe9")


BAD_ZIPS = {
    "encrypted": (_encrypted(), "'x' is encrypted"),
    "link": (_zip_of("l", external_attr=(stat.S_IFLNK | 0o777) << 16), "'l' is a link"),
    "device": (_zip_of("d", external_attr=stat.S_IFCHR << 16), "'d' is neither a file nor a folder"),
    "parent": (zipped(("../x", b"1")), "'../x' leads out of the folder"),
    "absolute": (zipped(("/x", b"1")), "'/x' is an absolute name"),
    "A and a": (zipped(("A", b"1"), ("a", b"1")), "'a' and 'A' differ only in capital letters"),
    "not UTF-8": (_raw_name(), "'caf\\udce9' is no UTF-8"),
    "line break": (zipped(("a\nb", b"1")), "has a line break in it"),
    "NUL": (zipped(("cafe", b"1")).replace(b"cafe", b"ca\0e"), "'ca\\x00e' has a NUL in it"),
    "other name in the directory": (_renamed(b"evil"), "is not whole"),
    "other size in the directory": (_lying_size(), "is not whole"),
    "two names for one member": (_overlapping(), "its directory disagrees with its members"),
    "miscounted": (_miscounted(), "its directory disagrees with its members"),
    "something before it": (b"PK\3\4" + zipped(("x", b"1")), "its directory disagrees with its members"),
    "bzip2": (zipped(("x", b"1"), compression=zipfile.ZIP_BZIP2), "'x' is packed in a way that is not supported"),
    "empty": (zipped(), "it is empty"),
    "wrong checksum": (
        zipped(("x", b"content"), compression=zipfile.ZIP_STORED).replace(b"content", b"Content"),
        "not whole",
    ),
}


@pytest.mark.parametrize("case", BAD_ZIPS)
def test_input_12_zip_with_bad_member_or_directory_is_refused(tmp_path: Path, case: str) -> None:
    data, words = BAD_ZIPS[case]
    assert words in refused(tmp_path / "a", data, ArchiveKind.ZIP)


def test_input_11_archive_limit_counts_implied_folders(tmp_path: Path) -> None:
    deep = [(f"{number}/" + "d/" * 60 + "x", b"") for number in range(10)]
    few = ArchiveLimits(files=100, bytes=1000, ratio=100)
    assert refused(tmp_path / "a", tar_of(deep), ArchiveKind.TAR, few) == "it has more than 100 entries"
    assert refused(tmp_path / "b", zipped(*deep), ArchiveKind.ZIP, few) == "it has more than 100 entries"
    assert sum(1 for _ in (tmp_path / "a").rglob("*")) < 100


def test_input_11_archive_names_stay_small() -> None:
    names = ArchiveNames()
    tracemalloc.start()
    for number in range(1000):
        names.add(f"{number}/" + "d/" * 60 + "x", is_folder=False)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 500 * len(names)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_input_12_zip_with_duplicate_name_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "a", zipped(("x", b"1"), ("x", b"2")), ArchiveKind.ZIP) == "'x' is there twice"


def test_input_12_zip64_of_small_size_is_unpacked(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed, packed.open("x", "w", force_zip64=True) as member:
        member.write(b"1")
    assert unpack_all(tmp_path / "a", file.getvalue(), ArchiveKind.ZIP) == {"x": b"1"}


def test_input_13_archive_with_forged_marker_keeps_it_as_ordinary_file(tmp_path: Path) -> None:
    forged = f"SUCCESS.{'0' * 64}"
    data = tar_of([("config.pbtxt", b"c"), (forged, b"{}"), ("markers/a." + forged, b"{}")])
    assert set(unpack_all(tmp_path / "a", data, ArchiveKind.TAR)) == {"config.pbtxt", forged, "markers/a." + forged}
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("name", "content_type", "start", "kind"),
    [
        ("model.tar.gz", "text/plain", PACKED[ArchiveKind.TAR_GZ], ArchiveKind.TAR_GZ),
        ("model.zip", "application/x-tar", PACKED[ArchiveKind.TAR], ArchiveKind.TAR),
        ("model", "", PACKED[ArchiveKind.ZIP], ArchiveKind.ZIP),
        ("v1.2", "", PACKED[ArchiveKind.ZIP], ArchiveKind.ZIP),
        ("", "", PACKED[ArchiveKind.TAR], ArchiveKind.TAR),
        ("download.php", "application/zip", PACKED[ArchiveKind.ZIP], ArchiveKind.ZIP),
        ("model.pt", "application/octet-stream", PACKED[ArchiveKind.ZIP], None),
        ("model.nemo", "", PACKED[ArchiveKind.TAR], None),
        ("weights.gz", "application/gzip", gzip.compress(b"w" * 600, mtime=0), None),
        ("model.onnx", "application/zip", b"onnx" * 200, None),
        ("model", "", bytes(1024), None),
    ],
)
def test_archive_kind_needs_content_and_name_or_type(
    name: str, content_type: str, start: bytes, kind: ArchiveKind | None
) -> None:
    assert archive_kind(URI, name, content_type, start) == kind


@pytest.mark.parametrize("name", ["model.zip", "model.tar.bz2", "model.tar.xz", "model.TXZ", "model.tar.zst", "m.7z"])
def test_archive_kind_refuses_archive_name_with_other_content(name: str) -> None:
    with pytest.raises(DownloadError, match=r"is called an archive, but its content is no tar, tar\.gz or zip"):
        archive_kind(URI, name, "application/zip", b"something else" * 100)


PARTS = st.sampled_from(["..", ".", "", "a", "A", "b", "1", "config.pbtxt", "/", "\0", "c\udcff", "n" * 300])
NAMES = st.lists(PARTS, min_size=1, max_size=5).map("/".join)
TYPES = st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, b"g"])
MEMBERS = st.lists(st.tuples(NAMES, TYPES, NAMES, st.binary(max_size=20)), max_size=6)


@settings(max_examples=300, deadline=None)
@given(members=MEMBERS, cut=st.integers(0, 3000))
def test_archive_writes_only_in_its_folder(members: list[tuple[str, bytes, str, bytes]], cut: int) -> None:
    parts = [
        entry(name, content if kind == tarfile.REGTYPE else b"", kind, linkname=link)
        for name, kind, link, content in members
    ]
    data = tar(*parts)
    with tempfile.TemporaryDirectory() as top:
        folder = Path(top) / "folder"
        with suppress(DownloadError):
            unpack_all(folder, data[: len(data) - cut], ArchiveKind.TAR)
        assert [path.name for path in Path(top).iterdir()] == ["folder"]
        assert not any(path.is_symlink() for path in folder.rglob("*"))


SMALL = [("config.pbtxt", b"name" * 50), ("1/model.onnx", bytes(range(256)) * 4), ("1/b", b"")]
GOOD = {
    ArchiveKind.TAR: tar_of(SMALL),
    ArchiveKind.TAR_GZ: gzip.compress(tar_of(SMALL), mtime=0),
    ArchiveKind.ZIP: zipped(*SMALL),
}
CHANGES = st.lists(st.tuples(st.integers(0, 6000), st.integers(0, 255)), min_size=1, max_size=4)


@settings(max_examples=300, deadline=None)
@given(kind=st.sampled_from(list(ArchiveKind)), changes=CHANGES)
def test_archive_that_is_damaged_stays_in_its_folder(kind: ArchiveKind, changes: list[tuple[int, int]]) -> None:
    data = bytearray(GOOD[kind])
    for place, byte in changes:
        data[place % len(data)] = byte
    with tempfile.TemporaryDirectory() as top:
        with suppress(DownloadError):
            unpack_all(Path(top) / "folder", bytes(data), kind)
        assert [path.name for path in Path(top).iterdir()] == ["folder"]
