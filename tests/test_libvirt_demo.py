"""`make demo-libvirt`: its script shows what it promises, and leaves nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.guest_image import GuestImage
from tests.libvirtd import Libvirtd

ROOT = Path(__file__).parent.parent


def test_the_demo_deploys_stops_starts_destroys_and_leaves_nothing(
    libvirtd: Libvirtd, image: GuestImage, tmp_path: Path
) -> None:
    before = libvirtd.listing()
    told = {
        "KERNEL": str(image.kernel),
        "INITRD": str(image.initrd),
        "LIBVIRT_DEFAULT_URI": libvirtd.uri,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    command = ["sh", str(ROOT / "examples" / "demo-libvirt.sh"), str(tmp_path / "demo")]
    done = subprocess.run(command, env=os.environ | told, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    for shown in ("GUEST name web-1", "GUEST name web-2", "GUEST leased 10.214.0.", "Nothing is left."):
        assert shown in done.stdout
    assert done.stdout.count("GUEST goes down") == 2, "both were asked to shut down, and heeded it"
    assert "interlock-web" not in done.stdout.rsplit("vol-list", 1)[1]
    assert libvirtd.listing() == before
