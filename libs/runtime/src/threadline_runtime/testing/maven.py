"""Jar files from Maven Central, fetched once a machine into a cache, for servers in Java that tests start. Starts nothing."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from threadline_runtime.testing.requirements import find_program, require

CACHE_VARIABLE = "THREADLINE_CACHE"
_OLDEST_JAVA = 17

__all__ = ["CACHE_VARIABLE", "Jars"]


@dataclass(frozen=True, slots=True)
class Jars:
    """A server's jars: `name` and `version` name their folder in the cache, `artifacts` are `group:artifact:version`."""

    name: str
    version: str
    artifacts: Sequence[str]

    def require(self) -> None:
        """Skip the test, or fail it under THREADLINE_REQUIRE_SERVICES=1, where the server can be neither fetched nor run."""
        require(_java_version() >= _OLDEST_JAVA, f"Java {_OLDEST_JAVA} or newer is missing: apt-get install openjdk-17-jdk-headless")
        require(self._folder.exists() or find_program("mvn"), f"Maven is missing, which fetches {self.name}: apt-get install maven")

    def folder(self) -> Path:
        """Where the jars lie; the first call on a machine fetches them. Raises RuntimeError where Maven cannot."""
        folder = self._folder
        if folder.exists():
            return folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / f"{folder.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                self._fetch(folder)
        return folder

    @property
    def _folder(self) -> Path:
        cache = os.environ.get(CACHE_VARIABLE)
        return (Path(cache) if cache else Path.home() / ".cache" / "threadline") / f"{self.name}-{self.version}"

    def _fetch(self, folder: Path) -> None:
        """Fetch beside the folder and rename, so that a broken fetch leaves nothing that looks whole."""
        work = Path(tempfile.mkdtemp(prefix="fetch-", dir=folder.parent))
        try:
            (work / "pom.xml").write_text(self._pom())
            command = ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=lib"]
            done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)  # noqa: S603 - the command is ours
            if done.returncode:
                raise RuntimeError(f"Maven could not fetch {self.name} {self.version}:\n{(done.stdout + done.stderr)[-2000:]}")
            (work / "lib").rename(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _pom(self) -> str:
        parts = (artifact.split(":") for artifact in self.artifacts)
        dependencies = "\n".join(
            f"    <dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>"
            for group, artifact, version in parts
        )
        return f"""<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>threadline</groupId><artifactId>{self.name}-for-tests</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
{dependencies}
  </dependencies>
</project>
"""


def _java_version() -> int:
    """The major version of the Java in PATH; 0 where there is none."""
    java = find_program("java")
    if java is None:
        return 0
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr  # noqa: S603 - the command is ours
    version = said.partition('version "')[2].partition('"')[0].split(".")
    major = version[1] if version[0] == "1" and len(version) > 1 else version[0]
    return int(major) if major.isdigit() else 0
