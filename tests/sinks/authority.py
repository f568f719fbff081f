"""A certificate authority made with openssl for one test run: server, client, expired, wrong name."""

from __future__ import annotations

import subprocess
from pathlib import Path


def run(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Authority:
    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.cert, self.key = folder / "ca.crt", folder / "ca.key"
        run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.key,
            "-out", self.cert, "-days", 30, "-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip

    def issue(self, name: str, alternative: str, *, days: int = 30, password: str = "") -> tuple[Path, Path]:
        """Certificate and key for ``alternative``, such as ``DNS:localhost``; negative days: expired."""
        cert, key, request = (self.folder / f"{name}.{ending}" for ending in ("crt", "key", "csr"))
        secret = ["-passout", f"pass:{password}"] if password else ["-nodes"]
        run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", *secret, "-keyout", key, "-out", request,
            "-subj", f"/CN={name}")  # fmt: skip
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternative}\nbasicConstraints=CA:FALSE\n")
        run("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial", "-out", cert,
            "-days", days, "-extfile", extensions)  # fmt: skip
        for path in (cert, key):
            path.chmod(0o644)
        return cert, key
