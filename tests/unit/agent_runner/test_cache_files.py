"""What of the flows' cache stays: what was used last, as much as fits."""

import os
from pathlib import Path

from headway.runtime.cache_store import CacheStore, Entry
from headway_agent.spool import cache_files

RESULT = {"codec": "json", "size": 1, "digest": "ab" * 32, "data": "1"}


def filled(store: Path, keys: str) -> CacheStore:
    cache = CacheStore(store / "cache")
    for number, key in enumerate(keys):
        cache.write(Entry(key * 64, "m:t", "t", {}, 1, "r", "c", RESULT), None)
        os.utime(cache.entry_path(key * 64), (1_000 + number, 1_000 + number))
    return cache


def kept(cache: CacheStore) -> str:
    return "".join(sorted(entry.key[0] for entry in cache.entries()))


def test_what_was_used_longest_ago_goes_until_the_rest_fits(tmp_path: Path):
    cache = filled(tmp_path, "abcd")
    cache.used("a" * 64)
    size = cache.size_of(next(cache.entries()))
    assert cache_files.trim(tmp_path, 0, keep_bytes=2 * size) == 2
    assert kept(cache) == "ad"
    assert cache_files.trim(tmp_path, 0, keep_bytes=2 * size) == 0
    assert cache_files.trim(tmp_path, 0, keep_bytes=0) == 2


def test_a_large_value_counts_and_goes_with_its_entry(tmp_path: Path):
    cache = filled(tmp_path, "a")
    value = tmp_path / "value"
    value.write_bytes(b"x" * 10_000)
    large = {"codec": "bytes", "size": 10_000, "digest": "cd" * 32, "file": "cd" * 32}
    cache.write(Entry("b" * 64, "m:t", "t", {}, 1, "r", "c", large), value)
    assert cache_files.trim(tmp_path, 0, keep_bytes=5_000) == 2
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []
    assert value.exists()


def test_parts_that_a_dead_process_left_go_and_fresh_ones_stay(tmp_path: Path):
    cache = filled(tmp_path, "a")
    folder = cache.entry_path("a" * 64).parent
    old, new = folder / f"{'a' * 64}.1.1.part", folder / f"{'a' * 64}.2.2.part"
    for path, at in ((old, 1_000), (new, 9_000)):
        path.touch()
        os.utime(path, (at, at))
    cache_files.trim(tmp_path, 9_001 * 10**6)
    assert (old.exists(), new.exists(), kept(cache)) == (False, True, "a")


def test_no_cache_is_no_error(tmp_path: Path):
    assert cache_files.trim(tmp_path, 0) == 0
