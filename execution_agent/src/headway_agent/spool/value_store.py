"""A store of the customer's for encoded results, by URL: each is an object named by its SHA-256, so that what is there is right
or can be told from what is right, writing twice does no harm, and nothing needs a list.
"""

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from headway_agent.spool.frames import sync_directory

_OBJECT_STORES = frozenset(
    {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "memory", "oss"}
)
"""Have no folders, and show an object only when it is whole."""


NOTE_MAX = 1 << 20
"""Bytes of a small object beside the values."""


class StoreFault(Exception):
    """The store does not do what was asked, now; the message names it and says what to look at."""


class ValueAbsent(Exception):
    """The store has no such value, or one that is not what its name says."""


class ValueStore(Protocol):
    """Holds values by digest, and what is told of them by a name with a slash. Raises StoreFault where the store is away or refuses."""

    url: str

    def put(self, digest: str, file: Path) -> None:
        """Returns when the value is there, whole."""

    def get(self, digest: str, target: Path) -> None:
        """Writes what is there into a file. Raises ValueAbsent."""

    def delete(self, digest: str) -> None:
        """Deletes what is there."""

    def read_note(self, name: str) -> bytes:
        """A small object beside the values; `name` has slashes. Raises ValueAbsent, also for one larger than NOTE_MAX."""

    def write_note(self, name: str, data: bytes) -> None:
        """In the place of what has this name; a reader sees either, whole."""

    def notes(self, folder: str) -> list[str]:
        """The names of all below `folder`, in order."""

    def delete_note(self, name: str) -> bool:
        """Whether there was one."""


def reference(url: str, digest: str) -> str:
    """Where a store keeps the value of this digest, or what has this name."""
    return f"{url.rstrip('/')}/{_place(digest)}"


def _place(name: str) -> str:
    return name if "/" in name else f"{name[:2]}/{name}"


def referred(result: Mapping[str, Any], store: str, *, of_run: bool) -> dict[str, Any]:
    """A recorded result with where the store has it, or will: all files, and what a run gave, are taken there."""
    name = result.get("file") or (result.get("digest") if of_run and "data" in result else None)
    return {**result, "file": reference(store, name)} if isinstance(name, str) else {**result}


def open_store(url: str) -> ValueStore:
    """The store of a URL; connects to nothing yet. Raises StoreFault, which says what is missing."""
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return FolderStore(url, Path(unquote(parts.path)))
    if not parts.scheme or not parts.netloc + parts.path:
        raise StoreFault(f"{url!r} is no URL of a store: write file:///... or s3://bucket/prefix")
    try:
        fsspec: Any = import_module("fsspec")
        options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
        if parts.scheme in ("s3", "s3a"):
            patience = {"connect_timeout": 10, "read_timeout": 60, "retries": {"max_attempts": 3}}
            options["config_kwargs"] = patience
        system, path = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        raise StoreFault(
            f"{url} needs a package that is not here ({error}): install 'headway-agent[stores]',"
            " and the fsspec package for this kind of store"
        ) from error
    except Exception as error:
        # fsspec and its many file systems raise whatever they like.
        raise StoreFault(f"{url} cannot be used: {error}") from error
    return FsspecStore(url, system, str(path), is_object_store=parts.scheme in _OBJECT_STORES)


def fetch(store: ValueStore, digest: str, target: Path) -> None:
    """The value as a file, checked. Raises ValueAbsent and StoreFault; then there is no file."""
    part = target.with_name(f"{target.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        store.get(digest, part)
        if digest_of(part) != digest:
            raise ValueAbsent(f"{reference(store.url, digest)} is not what was written there")
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def digest_of(file: Path) -> str:
    """SHA-256, hex."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _checked(data: bytes, name: str) -> bytes:
    if len(data) > NOTE_MAX:
        raise ValueAbsent(f"{name} is too large")
    return data


class FolderStore:
    """A directory of this machine, or one that is mounted."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self._folder = folder

    def put(self, digest: str, file: Path) -> None:
        """Durable when it returns."""
        target = self._path(digest)
        try:
            if target.exists() and target.stat().st_size == file.stat().st_size:
                return
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Agents of other machines may store the same value at this moment: to each a file of its own.
            fd, name = tempfile.mkstemp(".part", f"{target.name}.", target.parent)
            part = Path(name)
            try:
                with os.fdopen(fd, "wb") as written, file.open("rb") as opened:
                    shutil.copyfileobj(opened, written)
                    written.flush()
                    os.fsync(fd)
                part.replace(target)
            finally:
                part.unlink(missing_ok=True)
            for folder in target.parents:
                _sync_names(folder)
                if folder == self._folder:
                    break
        except OSError as error:
            raise StoreFault(f"{self.url} can't be written: {error}") from error

    def get(self, digest: str, target: Path) -> None:
        """A copy."""
        try:
            shutil.copyfile(self._path(digest), target)
        except FileNotFoundError as error:
            raise ValueAbsent(f"{reference(self.url, digest)} is not there") from error
        except OSError as error:
            raise StoreFault(f"{self.url} can't be read: {error}") from error

    def delete(self, digest: str) -> None:
        """Its folder stays."""
        try:
            self._path(digest).unlink(missing_ok=True)
        except OSError as error:
            raise StoreFault(f"{self.url} can't be changed: {error}") from error

    def read_note(self, name: str) -> bytes:
        """Whole: notes are renamed into place."""
        try:
            with (self._folder / name).open("rb") as file:
                data = file.read(NOTE_MAX + 1)
        except FileNotFoundError as error:
            raise ValueAbsent(f"{self.url} has no {name}") from error
        except OSError as error:
            raise StoreFault(f"{self.url} can't be read: {error}") from error
        return _checked(data, name)

    def write_note(self, name: str, data: bytes) -> None:
        """Not synced: what a power cut tears, its reader tells from what was written."""
        target = self._folder / name
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd, unnamed = tempfile.mkstemp(".part", f"{target.name}.", target.parent)
            part = Path(unnamed)
            try:
                with os.fdopen(fd, "wb") as written:
                    written.write(data)
                part.replace(target)
            finally:
                part.unlink(missing_ok=True)
        except OSError as error:
            raise StoreFault(f"{self.url} can't be written: {error}") from error

    def notes(self, folder: str) -> list[str]:
        """Without parts of those that are being written."""
        try:
            found = [path for path in (self._folder / folder).rglob("*") if path.is_file()]
        except OSError as error:
            raise StoreFault(f"{self.url} can't be listed: {error}") from error
        names = (path.relative_to(self._folder).as_posix() for path in found)
        return sorted(name for name in names if not name.endswith(".part"))

    def delete_note(self, name: str) -> bool:
        """Its folder stays."""
        try:
            (self._folder / name).unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StoreFault(f"{self.url} can't be changed: {error}") from error
        return True

    def _path(self, digest: str) -> Path:
        return self._folder / _place(digest)


def _sync_names(folder: Path) -> None:
    try:
        sync_directory(folder)
    except OSError as error:
        # What is mounted may know no such thing: its server keeps names as it does.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise


class FsspecStore:
    """Whatever fsspec has a file system for."""

    def __init__(self, url: str, system: Any, path: str, *, is_object_store: bool) -> None:
        self.url = url
        self._system = system
        self._root = path.rstrip("/")
        self._is_object_store = is_object_store

    def put(self, digest: str, file: Path) -> None:
        """Where half a file would be seen it gets its name at the end."""
        target = self._path(digest)
        size = file.stat().st_size
        with self._explained("written"):
            if self._size(target) == size:
                return
            if self._is_object_store:
                self._system.put_file(str(file), target)
            else:
                self._system.makedirs(target.rpartition("/")[0], exist_ok=True)
                self._system.put_file(str(file), f"{target}.part")
                self._system.mv(f"{target}.part", target)
            if (found := self._size(target)) != size:
                raise StoreFault(f"{self.url} took {size} bytes, and shows {found}")

    def get(self, digest: str, target: Path) -> None:
        """A copy."""
        path = self._path(digest)
        with self._explained("read"):
            try:
                self._system.get_file(path, str(target))
            except FileNotFoundError as error:
                raise ValueAbsent(f"{reference(self.url, digest)} is not there") from error

    def delete(self, digest: str) -> None:
        """One that is not there is no fault."""
        with self._explained("changed"), contextlib.suppress(FileNotFoundError):
            self._system.rm_file(self._path(digest))

    def read_note(self, name: str) -> bytes:
        """No more of it than a note may have."""
        with self._explained("read"):
            try:
                data = self._system.cat_file(f"{self._root}/{name}", start=0, end=NOTE_MAX + 1)
            except FileNotFoundError as error:
                raise ValueAbsent(f"{self.url} has no {name}") from error
        return _checked(data, name)

    def write_note(self, name: str, data: bytes) -> None:
        """Where half a file would be seen it gets its name at the end."""
        target = f"{self._root}/{name}"
        with self._explained("written"):
            if self._is_object_store:
                self._system.pipe_file(target, data)
                return
            self._system.makedirs(target.rpartition("/")[0], exist_ok=True)
            part = f"{target}.{os.uname().nodename}.{os.getpid()}.{threading.get_ident()}.part"
            self._system.pipe_file(part, data)
            self._system.mv(part, target)

    def notes(self, folder: str) -> list[str]:
        """Without parts of those that are being written."""
        with self._explained("listed"):
            try:
                found = self._system.find(f"{self._root}/{folder}")
            except FileNotFoundError:
                return []
        below = f"{self._root}/".lstrip("/")
        names = (str(path).lstrip("/").removeprefix(below) for path in found)
        return sorted(name for name in names if not name.endswith(".part"))

    def delete_note(self, name: str) -> bool:
        """Object stores do not say whether there was one: then there was."""
        with self._explained("changed"):
            try:
                self._system.rm_file(f"{self._root}/{name}")
            except FileNotFoundError:
                return False
        return True

    def _path(self, digest: str) -> str:
        return f"{self._root}/{_place(digest)}"

    def _size(self, path: str) -> int | None:
        try:
            size: int | None = self._system.info(path)["size"]
        except FileNotFoundError:
            return None
        return size

    @contextlib.contextmanager
    def _explained(self, verb: str) -> Iterator[None]:
        try:
            yield
        except (StoreFault, ValueAbsent):
            raise
        except Exception as error:
            # Each file system has errors of its own: away, refused, no such bucket.
            raise StoreFault(
                f"{self.url} can't be {verb}: {type(error).__name__}: {error}"
            ) from error
