"""Store of the pod's volume: staged downloads, models for the server, previous versions, and markers.

    staging/<name>.<digest>    a download
    models/<name>              the only folder that the server sees, read-only
    kept/<name>                the previous version
    markers/<name>.<KIND>.<digest>
        SUCCESS    models/<name> is complete      LOADED    the server loaded it
        KEPT       the previous version is kept      LOADING, ENDED    see `load_records`
    markers/SETTLED            an agent of this pod has seen its first set of models settled

Markers lie outside the models' folders, so no download can forge them. A marker is removed before its folder changes,
and written after it. Scenarios, with a and b for two versions of one model and a kill possible at each arrow:

    A1  First version.
            staging a ─▶ flushed ─▶ models a ─▶ SUCCESS a ─▶ the server loads ─▶ LOADED a
        A kill before SUCCESS leaves a folder without a marker, which counts as missing.
    A2  Swap to b.
            KEPT a ─▶ LOADED a, SUCCESS a removed ─▶ models a moves to kept ─▶ staging b moves to models ─▶ SUCCESS b
              ─▶ the server loads ─▶ LOADED b ─▶ KEPT a removed ─▶ kept a removed

    B1  The server refuses b: rollback.
            SUCCESS b removed ─▶ models b moves to staging ─▶ kept a moves to models
              ─▶ the server loads a again, if it may answer with b ─▶ SUCCESS a, LOADED a ─▶ KEPT a removed
    B2  A kill while a moves, in A2 or B1.
            KEPT a and a folder kept:        the previous version is there
            KEPT a and no folder kept:       it is models/<name>, which has no SUCCESS of another version

    C1  Swap from a version that the server never loaded.
            SUCCESS a removed ─▶ models a removed ─▶ staging b moves to models ─▶ SUCCESS b
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from manyserve.agent.reconcile import OnDisk
from manyserve.agent.volume.durable_fs import FileSystem
from manyserve.agent.volume.load_records import LoadRecords
from manyserve.agent.volume.markers import (
    KEPT,
    LOADED,
    MARKER,
    SUCCESS,
    Marker,
    MarkerStore,
    Scanner,
    listing,
    models_in,
)

_OLD = "old"
_SETTLED = "SETTLED"  # no model has capitals in its name


class Store:
    """The folders of one pod. Every method except `scan` blocks on the disk: call it from a thread."""

    def __init__(self, root: Path, files: FileSystem | None = None) -> None:
        self.root = root
        self.models = root / "models"
        self.staging = root / "staging"
        self.kept = root / "kept"
        self.markers = root / "markers"
        self._files = files or FileSystem()
        self._marker_store = MarkerStore(self.markers, self._files)
        self._scanner = Scanner(self.models, self._marker_store)
        self.load_records = LoadRecords(self._marker_store)

    def open(self) -> None:
        """Create missing folders, and remove the incomplete work of an earlier run."""
        for folder in (self.models, self.staging, self.kept, self.markers):
            self._files.make_folder(folder)
        for leftover in self.staging.iterdir():
            self._files.remove_tree(leftover)
        kept, present = set(listing(self.kept)), set(models_in(self.models))
        for marker in self.markers.iterdir():
            match = MARKER.fullmatch(marker.name)
            folders = kept | present if match and match["kind"] == KEPT else present
            if marker.name != _SETTLED and (not match or match["name"] not in folders):
                self._files.remove_tree(marker)
        for name in kept:
            if not self._marker_store.get(name, KEPT):
                self._files.remove_tree(self.kept / name)

    def scan(self) -> Mapping[str, OnDisk]:
        """Return the models on disk; the identical mapping while nothing changed."""
        return self._scanner.scan()

    def marker(self, name: str, kind: str, digest: str) -> Path:
        """Return the path of a marker."""
        return self._marker_store.path(name, kind, digest)

    def fingerprint(self, name: str, digest: str) -> str:
        """Return the fingerprint of the source at the download of these files; empty when unknown."""
        return self._marker_store.read(name, SUCCESS, digest).fingerprint

    def stage(self, name: str, digest: str) -> Path:
        """Return a new empty folder to download into."""
        self.discard(name)
        folder = self.staged(name, digest)
        self._files.make_folder(folder)
        return folder

    def discard(self, name: str) -> None:
        """Remove the staged downloads of a model."""
        for folder in listing(self.staging):
            if folder.startswith(f"{name}."):
                self._files.remove_tree(self.staging / folder)

    def swap_in(self, name: str, digest: str) -> None:
        """Replace the model's folder by the staged one. The old one is kept if the server loaded it, else removed."""
        staged, live = self.staged(name, digest), self.models / name
        self._files.flush_tree(staged)
        if self._is_proven(name):
            self._mark_kept(name)
        if self._is_kept_in_place(name):
            self._marker_store.remove(name, LOADED, SUCCESS)
            self._files.rename(live, self.kept / name)
        else:
            if not (self.kept / name).exists():
                self._marker_store.remove(name, KEPT)
            self._clear(name)
        self._files.touch_tree(staged)
        self._files.rename(staged, live)

    def mark(self, name: str, kind: str, digest: str, fingerprint: str = "") -> None:
        """Write a marker."""
        self._marker_store.write(name, Marker(kind, digest, fingerprint))

    def record_load_attempt(self, name: str) -> None:
        """Record that the server is asked to load other files than the kept ones, which it may do without an answer."""
        if (kept := self._marker_store.get(name, KEPT)) and kept.still_loaded:
            self._marker_store.write(name, Marker(KEPT, kept.digest, kept.fingerprint))

    def kept_digest(self, name: str) -> str:
        """Return the digest of the kept version; empty for none."""
        kept = self._marker_store.get(name, KEPT)
        return kept.digest if kept else ""

    def is_previous_loaded(self, name: str) -> bool:
        """Return whether a server that answers for the model has the kept files loaded."""
        kept = self._marker_store.get(name, KEPT)
        return kept is not None and kept.still_loaded

    def restore_kept(self, name: str, *, touch: bool) -> str:
        """Move the kept version back, and the present one into staging; the marker stays until `confirm_restored`.

        `touch` sets new times, so that the server reads the files again. Returns the fingerprint of the files in
        staging, empty if there are none.
        """
        fingerprint, folder = "", self.kept / name
        if folder.exists():
            fingerprint = self._unmark_and_stage(name)
            self._files.rename(folder, self.models / name)
        if touch:
            self._files.touch_tree(self.models / name)
        return fingerprint

    def confirm_restored(self, name: str) -> None:
        """Mark the restored version as complete and loaded, as it was before."""
        kept = self._marker_store.get(name, KEPT)
        if kept and (self.models / name).exists():
            self._marker_store.write(name, Marker(SUCCESS, kept.digest, kept.fingerprint))
            self._marker_store.write(name, Marker(LOADED, kept.digest))
        self._marker_store.remove(name, KEPT)

    def drop_kept(self, name: str) -> None:
        """Remove the previous version."""
        self._marker_store.remove(name, KEPT)
        self._files.remove_tree(self.kept / name)

    def delete(self, name: str, *, keep_folder: bool = False) -> None:
        """Remove a model: its markers, then its folder, atomically for the server; or only the folder's content."""
        if keep_folder:
            self._empty(name)
        else:
            self._clear(name)
        self.drop_kept(name)
        self.discard(name)
        self.load_records.remove(name)

    def settle(self) -> None:
        """Record for later agents of this pod that it was settled."""
        self._files.write(self.markers / _SETTLED, "")

    def was_settled(self) -> bool:
        """Return whether an earlier agent recorded the pod as settled."""
        return (self.markers / _SETTLED).exists()

    def staged(self, name: str, digest: str) -> Path:
        """Return the path of a staged download."""
        return self.staging / f"{name}.{digest[:16]}"

    def _is_proven(self, name: str) -> bool:
        success, loaded = self._marker_store.get(name, SUCCESS), self._marker_store.get(name, LOADED)
        return bool(success and loaded and success.digest == loaded.digest and (self.models / name).exists())

    def _mark_kept(self, name: str) -> None:
        """Mark the model's folder, not moved yet, as the kept version."""
        self.drop_kept(name)
        if success := self._marker_store.get(name, SUCCESS):
            self._marker_store.write(name, Marker(KEPT, success.digest, success.fingerprint, still_loaded=True))

    def _is_kept_in_place(self, name: str) -> bool:
        """Return whether the kept version has not moved out yet, or has moved back."""
        kept, success = self._marker_store.get(name, KEPT), self._marker_store.get(name, SUCCESS)
        if not kept or (self.kept / name).exists() or (success and success.digest != kept.digest):
            return False
        return (self.models / name).exists()

    def _unmark_and_stage(self, name: str) -> str:
        """Move the model's folder into staging, if it is complete, and return its fingerprint."""
        success = self._marker_store.get(name, SUCCESS)
        if not success or not (self.models / name).exists():
            self._clear(name)
            return ""
        self._marker_store.remove(name, LOADED, SUCCESS)
        self._files.remove_tree(self.staged(name, success.digest))
        self._files.rename(self.models / name, self.staged(name, success.digest))
        return success.fingerprint

    def _empty(self, name: str) -> None:
        """Remove the model's markers and the content of its folder; create a missing folder."""
        self._marker_store.remove(name, LOADED, SUCCESS)
        self._files.make_folder(self.models / name)
        for path in (self.models / name).iterdir():
            self._files.remove_tree(path)

    def _clear(self, name: str) -> None:
        """Remove the model's markers and folder."""
        self._marker_store.remove(name, LOADED, SUCCESS)
        old = self.staging / f"{name}.{_OLD}"
        self._files.remove_tree(old)
        if (self.models / name).exists():
            self._files.rename(self.models / name, old)
        self._files.remove_tree(old)
