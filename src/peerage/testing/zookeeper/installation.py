"""Where Java and ZooKeeper are installed on this machine."""

import os
import shutil
from pathlib import Path
from typing import Final

__all__ = ["class_path", "java"]

_DEBIAN: Final = Path("/usr/share/java/zookeeper.jar")
# A server with TLS needs these; the manifest of Debian's jar doesn't name them.
_DEBIAN_TLS: Final = tuple(
    Path(f"/usr/share/java/netty-{part}.jar")
    for part in ("codec", "resolver", "transport-native-unix-common")
)
# Without it, Debian's ZooKeeper writes no log, not even why it ends.
_DEBIAN_LOG: Final = Path("/usr/share/java/slf4j-simple.jar")
_DEBIAN_CONFIGURATION: Final = Path("/etc/zookeeper/conf")


def java() -> str:
    """Return the path of the ``java`` command.

    Raises:
        RuntimeError: there is none.
    """
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin" if home else None) or shutil.which("java")
    if found is None:
        raise RuntimeError("There is no Java: install Debian's default-jre-headless, or set JAVA_HOME.")
    return found


def class_path() -> str:
    """Return where Java finds ZooKeeper: ``ZOOKEEPER_HOME``, else Debian's package.

    Raises:
        RuntimeError: there is none.
    """
    home = os.environ.get("ZOOKEEPER_HOME")
    if home:
        jars = sorted({*Path(home).glob("*.jar"), *Path(home).glob("lib/*.jar")})
        if not jars:
            raise RuntimeError(
                f"ZOOKEEPER_HOME={home} has no jars: name the folder of an unpacked ZooKeeper."
            )
        return os.pathsep.join([f"{home}/conf", *map(str, jars)])
    if not _DEBIAN.exists():
        raise RuntimeError("There is no ZooKeeper: install Debian's zookeeper, or set ZOOKEEPER_HOME.")
    # The manifest of Debian's jar names the other jars.
    return os.pathsep.join(
        [str(_DEBIAN_CONFIGURATION), str(_DEBIAN), str(_DEBIAN_LOG), *map(str, _DEBIAN_TLS)]
    )
