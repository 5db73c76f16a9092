"""Apache Kafka's jar files from Maven Central, fetched once into a cache; the broker itself is started by `kafka`."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from threadline_runtime.testing.requirements import find_program, require

KAFKA_VERSION = "4.3.0"
CACHE_VARIABLE = "THREADLINE_CACHE"
_OLDEST_JAVA = 17
# Without it the broker writes no log; the version is that of the log4j-core which Kafka brings.
_LOG4J_VERSION = "2.25.4"
_POM = f"""<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>threadline</groupId><artifactId>kafka-for-tests</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA_VERSION}</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>{KAFKA_VERSION}</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>{_LOG4J_VERSION}</version></dependency>
  </dependencies>
</project>
"""

__all__ = ["CACHE_VARIABLE", "KAFKA_VERSION", "kafka_jars", "require_kafka"]


def require_kafka() -> None:
    """Skip the test, or fail it under THREADLINE_REQUIRE_SERVICES=1, where Kafka can be neither fetched nor run."""
    require(_java_version() >= _OLDEST_JAVA, f"Java {_OLDEST_JAVA} or newer is missing: apt-get install openjdk-17-jre-headless")
    require(_folder().exists() or find_program("mvn"), "Maven is missing, which fetches Kafka: apt-get install maven")


def kafka_jars() -> Path:
    """The folder with Kafka's jars; the first call on a machine fetches 57 MB. Raises RuntimeError where Maven cannot."""
    folder = _folder()
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _fetch(folder)
    return folder


def _folder() -> Path:
    cache = os.environ.get(CACHE_VARIABLE)
    return (Path(cache) if cache else Path.home() / ".cache" / "threadline") / f"kafka-{KAFKA_VERSION}"


def _fetch(folder: Path) -> None:
    """Fetch beside the folder and rename, so that a broken fetch leaves nothing that looks whole."""
    work = Path(tempfile.mkdtemp(prefix="fetch-", dir=folder.parent))
    try:
        (work / "pom.xml").write_text(_POM)
        command = ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=lib"]
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)  # noqa: S603 - the command is ours
        if done.returncode:
            raise RuntimeError(f"Maven could not fetch Kafka {KAFKA_VERSION}:\n{(done.stdout + done.stderr)[-2000:]}")
        (work / "lib").rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _java_version() -> int:
    """The major version of the Java in PATH; 0 where there is none."""
    java = find_program("java")
    if java is None:
        return 0
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr  # noqa: S603 - the command is ours
    version = said.partition('version "')[2].partition('"')[0].split(".")
    major = version[1] if version[0] == "1" and len(version) > 1 else version[0]
    return int(major) if major.isdigit() else 0
